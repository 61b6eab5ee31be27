import { constants } from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Milliseconds } from "../../system/clock.ts";
import { stackOf } from "../../system/error-text.ts";
import { ClientPace } from "../fast/client-pace.ts";
import { forwardTrailers } from "../forwarding/forwarding.ts";
import { seekPassage } from "../full/seek-passage.ts";
import type { PassageSeeker } from "../full/seek-passage.ts";
import type { Timed } from "../limits/deadlines.ts";
import type { Passage } from "../passage/lane.ts";
import { RequestTrace } from "../record/request-trace.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import { LINGER_MS } from "../reply/raw-reply.ts";
import { replyFor } from "../reply/reply.ts";
import { shareOfRequest } from "../upstream/client-share.ts";
import { exchangeFailure, timedOut, UpstreamError } from "../upstream/upstream-error.ts";
import { framedFor, Http1Leg } from "./pod-leg.ts";
import type { OutboundRequest, PodLeg, PodLegEvents } from "./pod-leg.ts";
import type { H2Context } from "./h2-context.ts";
import type { StreamHead } from "./stream-head.ts";
import { faultOf, tracedStream } from "./stream-origin.ts";
import type { StreamOrigin } from "./stream-origin.ts";
import { asHeaders, flat } from "./flat-fields.ts";
import { StreamBody, type StreamBodyTaker } from "./stream-body.ts";
import { resetCodeOf, type StreamPhase } from "./stream-phase.ts";

const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

/** Others keep the time in these, or {@link StreamExchange.enter} has set it. */
const UNTIMED: ReadonlySet<StreamPhase> = new Set(["seeking", "leasing", "cut", "over"]);

/** One request on a stream of HTTP/2: verdict, pod, answer, record. Nothing is thrown. */
export class StreamExchange implements PassageSeeker, PodLegEvents, StreamBodyTaker, Timed {
  deadlineMs: Milliseconds = Infinity;
  readonly trace: RequestTrace;
  readonly #stream: ServerHttp2Stream;
  readonly #head: StreamHead;
  readonly #origin: StreamOrigin;
  readonly #context: H2Context;
  readonly #pace: ClientPace;
  /** The client has sent all of its request. */
  #received: boolean;
  #phase: StreamPhase = "seeking";
  #leg: PodLeg | undefined;
  #cancelHold: (() => void) | undefined;
  readonly #body: StreamBody;
  /** The client takes no more for now. */
  #isFull = false;
  #trailers: readonly (readonly [string, string])[] = [];
  /** The head of the response, until it is clear whether all of it is there at once. */
  #answer: { readonly status: number; readonly fields: string[]; readonly data: Buffer[] } | undefined;
  /** Sent to the client; 0 before. */
  #status = 0;
  #responseTrailers: readonly string[] = [];

  constructor(
    stream: ServerHttp2Stream,
    head: StreamHead,
    endsWithHead: boolean,
    origin: StreamOrigin,
    context: H2Context,
  ) {
    this.#stream = stream;
    this.#head = head;
    this.#origin = origin;
    this.#received = endsWithHead;
    this.#context = context;
    this.#pace = new ClientPace(context);
    this.#body = new StreamBody(stream, context.options.smallBodies, this);
    this.trace = new RequestTrace(tracedStream(head.head, origin), context.options);
    // Why it fails is known from its 'close'; unheard, the error would end the process.
    stream.on("error", ignore);
    stream.once("close", () => this.#closed());
    // Told whether or not the body is read yet.
    if (!endsWithHead) stream.once("trailers", (fields) => this.#onTrailers(fields));
  }

  /** Begins. Call once. */
  begin(): void {
    const { options } = this.#context;
    this.#context.deadlines.add(this);
    const fault = faultOf(this.#head, this.#origin);
    if (fault !== undefined) {
      options.refusals.tell(this.trace, fault.reason);
      this.refuse(fault.reason, fault.message);
      return;
    }
    this.#cancelHold = seekPassage(this, options);
  }

  get isOver(): boolean {
    return this.#phase === "over" || this.#phase === "flushing" || this.#phase === "cut";
  }

  forward({ verdict, head }: Extract<Passage, { kind: "forward" }>): void {
    const { incarnation, port } = verdict;
    const { trustForwarded } = this.#context.options;
    const { contentLength } = this.#head;
    const request: OutboundRequest = { incarnation, port, head: framedFor(head, this.#received) };
    this.#body.expect(request.head.body === "chunked" ? Infinity : Math.max(0, contentLength));
    const client = shareOfRequest(this.trace, trustForwarded);
    this.#leg = new Http1Leg(request, client, this.trace, this.#context, this);
    // A client that waits for a 100 Continue gets it when the pod can take its body.
    const mayCollect = request.head.body === "length" && contentLength > 0 && !this.#head.expectsContinue;
    if (mayCollect && this.#body.collect(contentLength)) {
      this.enter("collecting");
      this.#body.read();
    } else {
      this.enter("leasing");
      this.#leg.start(undefined);
    }
  }

  sent(): void {
    this.#body.dropCollected();
    if (this.#received) {
      this.enter("awaiting");
      return;
    }
    this.enter("sending");
    if (this.#head.expectsContinue && !this.#stream.headersSent) this.#inform(100, []);
    this.#body.read();
  }

  drained(): void {
    if (this.#phase === "sending") this.#pace.mustSend();
    this.#touch();
    this.#stream.resume();
  }

  informational(status: number, fields: readonly string[]): void {
    this.#touch();
    this.#inform(status, fields);
  }

  head(status: number, fields: string[]): void {
    this.trace.firstByte();
    this.#answer = { status, fields, data: [] };
    this.#pace.rest();
    this.enter("answering");
  }

  data(bytes: Buffer): void {
    this.trace.bytesOut += bytes.length;
    if (this.#answer !== undefined) this.#answer.data.push(bytes);
    else this.#write(bytes);
  }

  continues(): void {
    const answer = this.#answer;
    if (answer === undefined) return;
    this.#answer = undefined;
    // Until the trailers are asked for nothing says that the body is whole: Node would say so of a stream that is cut.
    if (!this.#respond(answer.status, answer.fields, { waitForTrailers: true })) return;
    for (const bytes of answer.data) this.#write(bytes);
  }

  ended(trailers: readonly string[]): void {
    const answer = this.#answer;
    this.#answer = undefined;
    this.#responseTrailers = trailers;
    if (answer !== undefined) {
      const { status, fields, data } = answer;
      const hasTrailers = trailers.length > 0;
      const isEmpty = data.length === 0 && !hasTrailers;
      if (!this.#respond(status, fields, { endStream: isEmpty, waitForTrailers: hasTrailers })) return;
      if (!this.#stream.writableEnded) this.#stream.end(data.length === 1 ? data[0] : Buffer.concat(data));
    } else {
      this.#stream.end();
    }
    this.#flush();
  }

  failed(error: UpstreamError): void {
    this.#fail(error);
  }

  refuse(reason: RefusalReason, message?: string): void {
    if (this.isOver) return;
    this.#leg?.giveUp("close");
    this.trace.reason = reason;
    const { status, headers, body } = replyFor(reason, this.trace.replyContext(message));
    this.trace.bytesOut = body.length;
    if (!this.#respond(status, headers, { endStream: body.length === 0 })) return;
    if (body.length > 0) this.#stream.end(body);
    this.#flush();
  }

  broke(): void {
    try {
      this.refuse("internal_error");
    } catch {
      this.trace.reason ??= "internal_error";
      this.#reset(NGHTTP2_INTERNAL_ERROR);
    }
  }

  onDeadline(nowMs: Milliseconds): void {
    if (this.#phase === "cut") {
      // Not even its RST_STREAM was taken.
      this.#origin.abort();
      return;
    }
    const isReading = this.#phase === "answering" || this.#phase === "flushing";
    if (isReading && this.#pace.deadlineMs <= nowMs && this.#stream.writableLength === 0) {
      // It has taken all in time, of which a stream tells only when it was full.
      this.#pace.rest();
      this.#touch();
      return;
    }
    this.#fail(this.#timeoutError(nowMs));
  }

  /** The one place where the phase changes, and with it what is waited for. Called by the exchange itself alone. */
  enter(phase: StreamPhase): void {
    this.#phase = phase;
    switch (phase) {
      case "seeking":
      case "leasing":
        this.deadlineMs = Infinity;
        return;
      case "collecting":
      case "sending":
        this.#pace.mustSend();
        this.#touch();
        return;
      case "awaiting":
        this.#pace.rest();
        this.#touch();
        return;
      case "answering":
      case "flushing":
        this.#touch();
        return;
      case "cut":
        this.#body.dropCollected();
        this.deadlineMs = this.#context.deadlines.in(LINGER_MS);
        return;
      case "over":
        this.#body.dropCollected();
        this.#context.deadlines.delete(this);
        return;
    }
  }

  #touch(): void {
    const { deadlines, options } = this.#context;
    if (UNTIMED.has(this.#phase)) return;
    const limitMs = this.#phase === "awaiting" ? options.firstByteTimeoutMs : options.idleTimeoutMs;
    this.deadlineMs = Math.min(deadlines.in(limitMs), this.#pace.deadlineMs);
  }

  #timeoutError(nowMs: Milliseconds): UpstreamError {
    const isReading = this.#phase === "answering" || this.#phase === "flushing";
    if (this.#pace.deadlineMs <= nowMs) return timedOut(isReading ? "slow_reader" : "slow_request");
    if (this.#phase === "awaiting") return timedOut("first_byte");
    const clientStalls = isReading ? this.#stream.writableLength > 0 : !this.#stream.isPaused();
    return timedOut(clientStalls ? "silent_client" : "silent_pod");
  }

  bodyMisfits(how: "longer" | "shorter"): void {
    this.#received ||= how === "shorter";
    this.#fail(new UpstreamError("internal_error", `the body is ${how} than its content-length`));
  }

  bodyBytes(bytes: Buffer, isKept: boolean): void {
    this.trace.bytesIn += bytes.length;
    const isAwaited = this.#phase === "collecting" || this.#phase === "sending";
    if (isAwaited) this.#pace.sent(bytes.length);
    this.#touch();
    if (isKept || this.#leg?.write(bytes) !== false) return;
    this.#stream.pause();
    if (isAwaited) this.#pace.rest();
    this.#touch();
  }

  #onTrailers(fields: IncomingHttpHeaders): void {
    this.#trailers = forwardTrailers(flat(fields), this.#context.options.parseTarget.fields);
  }

  bodyEnded(): void {
    this.#received = true;
    if (this.#phase === "collecting") {
      this.enter("leasing");
      this.#leg?.start(this.#body.collected);
    } else {
      this.#leg?.end(this.#trailers);
      if (this.#phase === "sending") this.enter("awaiting");
    }
  }

  /** Sends the head of an answer; false when that can't be done, and the stream is reset. */
  #respond(
    status: number,
    fields: readonly string[],
    options: { readonly endStream?: boolean; readonly waitForTrailers?: boolean },
  ): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return false;
    this.#status = status;
    try {
      if (options.waitForTrailers) stream.once("wantTrailers", () => this.#sendTrailers());
      stream.respond([":status", String(status), ...fields], options);
      return true;
    } catch (error) {
      this.#context.options.log.error("a response could not be sent", {
        requestId: this.trace.requestId,
        error: stackOf(error),
      });
      this.trace.reason = "internal_error";
      this.#leg?.giveUp("close");
      this.#reset(NGHTTP2_INTERNAL_ERROR);
      return false;
    }
  }

  #sendTrailers(): void {
    if (!this.#stream.destroyed) this.#stream.sendTrailers(asHeaders(this.#responseTrailers));
  }

  #inform(status: number, fields: readonly string[]): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed || stream.headersSent) return;
    stream.additionalHeaders({ ...asHeaders(fields), ":status": status });
  }

  #write(bytes: Buffer): void {
    const stream = this.#stream;
    if (stream.writableEnded || stream.destroyed) return;
    const flows = stream.write(bytes);
    const { writableLength } = stream;
    if (writableLength > 0) this.#pace.mustTake(bytes.length, writableLength);
    this.#touch();
    if (flows || this.#isFull) return;
    this.#isFull = true;
    this.#leg?.pause();
    stream.once("drain", () => {
      this.#isFull = false;
      this.#pace.rest();
      this.#touch();
      this.#leg?.resume();
    });
  }

  /** All of the answer is written. */
  #flush(): void {
    const stream = this.#stream;
    this.#leg = undefined;
    this.enter("flushing");
    if (stream.writableLength > 0) {
      this.#pace.mustTake(stream.writableLength, stream.writableLength);
      this.#touch();
    }
    if (this.#received) return;
    // The client need not send what is left (RFC 9113 8.1). Not in one write with a head that ends the stream: Node 26 as a
    // client loses such a head when it reads both at once.
    stream.once("finish", () => {
      setImmediate(() => {
        if (!stream.destroyed) stream.close(NGHTTP2_NO_ERROR);
      });
    });
    this.#body.dropCollected();
  }

  #fail(error: UpstreamError): void {
    if (this.#phase === "over" || this.#phase === "cut") return;
    const reason = exchangeFailure(error);
    // The pod is told at once, whatever is still on its way to it.
    this.#leg?.giveUp(reason === "client_too_slow" ? "reset" : "close");
    this.#answer = undefined;
    if (this.#status === 0) {
      this.#context.options.refusals.tell(this.trace, reason, error);
      this.refuse(reason);
      return;
    }
    this.trace.reason ??= reason;
    this.#reset(resetCodeOf(reason));
  }

  #reset(code: number): void {
    this.enter("cut");
    this.#stream.close(code);
  }

  /** The stream is closed, whoever closed it. */
  #closed(): void {
    this.#cancelHold?.();
    this.#leg?.giveUp("close");
    const isWhole = this.#phase === "flushing" && this.#stream.writableFinished;
    this.enter("over");
    const wasReset = this.#stream.rstCode !== undefined && this.#stream.rstCode !== NGHTTP2_NO_ERROR;
    const reason = this.trace.reason ?? (isWhole && !wasReset ? "ok" : "client_closed");
    this.trace.end(this.#status === 0 ? 499 : this.#status, reason);
  }
}

function ignore(): void {}
