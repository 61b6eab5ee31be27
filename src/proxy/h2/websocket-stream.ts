import { createHash, randomBytes } from "node:crypto";
import { constants } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";

import type { Milliseconds } from "../../system/clock.ts";
import { stackOf } from "../../system/error-text.ts";
import { orderedRequestHead } from "../forwarding/request-text.ts";
import { sayGoingAway } from "../full/drain-websocket.ts";
import { seekPassage } from "../full/seek-passage.ts";
import type { PassageSeeker } from "../full/seek-passage.ts";
import type { TunnelConnection } from "../full/tunnel-connection.ts";
import { FrameBoundaryTracker } from "../full/websocket-frames.ts";
import { firstValue } from "../http1/request-head.ts";
import { fieldsOf } from "../http1/scanned-head.ts";
import type { Timed } from "../limits/deadlines.ts";
import type { Passage } from "../passage/lane.ts";
import { RequestTrace } from "../record/request-trace.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import { replyFor } from "../reply/reply.ts";
import { authorityOf } from "../target/pod-address.ts";
import { shareOfRequest } from "../upstream/client-share.ts";
import type { Lessee } from "../upstream/incarnation-pool.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import { exchangeFailure, UpstreamError } from "../upstream/upstream-error.ts";
import type { H2Context } from "./h2-context.ts";
import type { OutboundRequest } from "./pod-leg.ts";
import { ResponseDecoder } from "./response-decoder.ts";
import type { StreamHead } from "./stream-head.ts";
import { faultOf, tracedStream } from "./stream-origin.ts";
import type { StreamOrigin } from "./stream-origin.ts";

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR } = constants;

/** What a server adds to the key (RFC 6455 1.3). */
const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/**
 * | phase | meaning | deadline |
 * |---|---|---|
 * | `seeking` | on the way to its verdict, or waits for a connection | its own |
 * | `asking` | the upgrade request is with the pod | `handshakeTimeoutMs` |
 * | `open` | frames go both ways | `idleTimeoutMs` |
 * | `declined` | the pod answered otherwise; its response is relayed | `idleTimeoutMs` |
 * | `closing` | one side has closed, or the answer is written | `closeTimeoutMs` |
 * | `over` | | |
 */
type Phase = "seeking" | "asking" | "open" | "declined" | "closing" | "over";

/**
 * A WebSocket on a stream (RFC 8441), turned into an upgrade of HTTP/1.1 to the pod. END_STREAM stands for a FIN, and
 * RST_STREAM for a RST, both ways (RFC 8441 5.1).
 */
export class WebSocketStream implements Lessee<TunnelConnection>, PassageSeeker, Timed {
  deadlineMs: Milliseconds = Infinity;
  readonly client: string;
  readonly trace: RequestTrace;
  readonly #stream: ServerHttp2Stream;
  readonly #head: StreamHead;
  readonly #origin: StreamOrigin;
  readonly #context: H2Context;
  readonly #frames = new FrameBoundaryTracker();
  readonly #key = randomBytes(16).toString("base64");
  #phase: Phase = "seeking";
  #outbound: OutboundRequest | undefined;
  #connection: TunnelConnection | undefined;
  #cancelHold: (() => void) | undefined;
  #cancelLease: (() => void) | undefined;
  /** Of the pod's answer, until its head is whole. */
  #answer = "";
  #status = 0;
  #isDraining = false;

  constructor(stream: ServerHttp2Stream, head: StreamHead, origin: StreamOrigin, context: H2Context) {
    this.#stream = stream;
    this.#head = head;
    this.#origin = origin;
    this.#context = context;
    this.trace = new RequestTrace(tracedStream(head.head, origin), context.options);
    this.client = shareOfRequest(this.trace, context.options.trustForwarded);
    stream.on("error", () => {});
    stream.once("close", () => this.#closed());
    stream.once("aborted", () => {
      // The client's RST_STREAM, or the end of its connection.
      if (this.#connection) resetSocket(this.#connection.socket);
    });
  }

  /** Begins. Call once. */
  begin(): void {
    const { deadlines, options } = this.#context;
    deadlines.add(this);
    const fault = faultOf(this.#head, this.#origin);
    if (fault !== undefined) {
      options.refusals.tell(this.trace, fault.reason);
      this.refuse(fault.reason, fault.message);
      return;
    }
    this.#cancelHold = seekPassage(this, options);
  }

  /** It carries frames. */
  get isOpen(): boolean {
    return this.#phase === "open";
  }

  get isOver(): boolean {
    return this.#phase === "over" || this.#phase === "closing";
  }

  forward({ verdict, head }: Extract<Passage, { kind: "forward" }>): void {
    const { incarnation, port } = verdict;
    const { options, tunnels } = this.#context;
    this.#outbound = { incarnation, port, head };
    this.#cancelLease = options.upstreams.lease(incarnation, { kind: tunnels, port, want: "tunnel" }, this);
  }

  granted(connection: TunnelConnection): void {
    const outbound = this.#outbound;
    if (outbound === undefined || this.isOver) {
      connection.discard();
      return;
    }
    this.#connection = connection;
    this.trace.sentOn(connection);
    const { socket } = connection;
    socket.guard.begin({
      method: "GET",
      protocols: "websocket",
      informational: () => this.#touch(),
    });
    socket.on("data", this.#onAnswer);
    socket.once("error", (error: Error) => this.#fail(error));
    socket.once("close", () => this.#podClosed());
    const { head, incarnation, port } = outbound;
    const headers = [
      ...head.headers,
      "Connection",
      "Upgrade",
      "Upgrade",
      "websocket",
      "Sec-WebSocket-Key",
      this.#key,
    ];
    this.#enter("asking");
    socket.write(
      orderedRequestHead({ ...head, headers }, authorityOf({ ip: incarnation.ip, port })),
      "latin1",
    );
  }

  refused(error: UpstreamError): void {
    this.#fail(error);
  }

  cut(error: UpstreamError): void {
    if (this.#connection) resetSocket(this.#connection.socket);
    this.#fail(error);
  }

  refuse(reason: RefusalReason, message?: string): void {
    if (this.isOver) return;
    this.trace.reason = reason;
    const { status, headers, body } = replyFor(reason, this.trace.replyContext(message));
    this.trace.bytesOut = body.length;
    this.#enter("closing");
    if (this.#respond(status, headers, false)) this.#stream.end(body);
    this.#endRequest();
  }

  broke(): void {
    try {
      this.refuse("internal_error");
    } catch {
      this.trace.reason ??= "internal_error";
      this.#stream.close(NGHTTP2_INTERNAL_ERROR);
    }
  }

  /** The router drains: the client is told 1001, once the WebSocket is open. */
  drain(): void {
    this.#isDraining = true;
    const { socket } = this.#connection ?? {};
    if (this.#phase !== "open" || socket === undefined) return;
    this.trace.reason ??= "draining";
    socket.off("data", this.#onPodBytes);
    socket.unpipe(this.#stream);
    sayGoingAway(socket, this.#stream, this.#frames);
  }

  onDeadline(): void {
    switch (this.#phase) {
      case "asking":
        this.#fail(new UpstreamError("first_byte_timeout", "the pod did not answer the upgrade in time"));
        return;
      case "open":
      case "declined":
        this.#fail(new UpstreamError("upstream_idle_timeout", "nothing moved for too long"));
        return;
      case "closing":
        this.#connection?.discard();
        // Not even its RST_STREAM was taken.
        if (this.#stream.closed) this.#origin.abort();
        else this.#stream.close(NGHTTP2_CANCEL);
        this.#touch();
        return;
      case "seeking":
      case "over":
        return;
    }
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    if (phase === "over") this.#context.deadlines.delete(this);
    else this.#touch();
  }

  #touch(): void {
    const { deadlines, options } = this.#context;
    const limitMs = {
      seeking: 0,
      asking: options.handshakeTimeoutMs,
      open: options.idleTimeoutMs,
      declined: options.idleTimeoutMs,
      closing: options.closeTimeoutMs,
      over: 0,
    }[this.#phase];
    this.deadlineMs = deadlines.in(limitMs);
  }

  readonly #onAnswer = (bytes: Buffer): void => {
    this.#answer += bytes.toString("latin1");
    const end = this.#answer.indexOf("\r\n\r\n");
    if (end === -1) return;
    const { socket } = this.#connection ?? {};
    socket?.off("data", this.#onAnswer);
    const status = Number(this.#answer.slice(9, 12));
    this.trace.firstByte();
    if (status === 101) this.#open(this.#answer.slice(0, end + 4), this.#answer.slice(end + 4));
    else this.#decline(this.#answer);
    this.#answer = "";
  };

  #open(head: string, rest: string): void {
    const sent = fieldsOf(head, head.indexOf("\r\n") + 2);
    const accepted = createHash("sha1").update(`${this.#key}${KEY_SUFFIX}`).digest("base64");
    if (firstValue(sent, "sec-websocket-accept") !== accepted) {
      this.#fail(new UpstreamError("upstream_protocol", "the pod's Sec-WebSocket-Accept is wrong"));
      return;
    }
    const { socket } = this.#connection ?? {};
    const fields: string[] = [];
    const decoder = new ResponseDecoder({
      head: (_status, kept) => {
        for (let i = 0; i + 1 < kept.length; i += 2) {
          if (kept[i] !== "sec-websocket-accept") fields.push(kept[i] ?? "", kept[i + 1] ?? "");
        }
      },
      data() {},
      atTrailers() {},
    });
    decoder.head(head);
    if (socket === undefined || !this.#respond(200, fields, true)) return;
    this.trace.upgraded = true;
    this.#enter("open");
    const first = Buffer.from(rest, "latin1");
    this.#onPodBytes(first);
    if (first.length > 0) this.#stream.write(first);
    socket.on("data", this.#onPodBytes);
    socket.pipe(this.#stream);
    this.#stream.on("data", (bytes: Buffer) => {
      this.trace.bytesIn += bytes.length;
      this.#touch();
    });
    this.#stream.once("end", () => {
      if (!this.isOver) this.#enter("closing");
    });
    this.#stream.pipe(socket);
    if (this.#isDraining) this.drain();
  }

  readonly #onPodBytes = (bytes: Buffer): void => {
    this.trace.bytesOut += bytes.length;
    this.#frames.push(bytes);
    this.#touch();
  };

  /** The pod does not upgrade: its response is the client's. */
  #decline(text: string): void {
    const { socket } = this.#connection ?? {};
    if (socket === undefined) return;
    let left = Infinity;
    const decoder = new ResponseDecoder({
      head: (status, fields, isChunked) => {
        const length = firstValue(fields, "content-length");
        const isBodiless = status === 204 || status === 304;
        left = isBodiless ? 0 : isChunked || length === undefined ? Infinity : Number(length);
        this.#respond(status, fields, true);
      },
      data: (bytes) => {
        left -= bytes.length;
        this.trace.bytesOut += bytes.length;
        if (this.#stream.writableEnded || this.#stream.write(bytes)) return;
        socket.pause();
        this.#stream.once("drain", () => socket.resume());
      },
      atTrailers() {},
    });
    this.#enter("declined");
    const isWhole = () => left === 0 || decoder.isChunkedEnd;
    decoder.head(text);
    const endIfWhole = () => {
      if (!isWhole()) return;
      this.#enter("closing");
      this.#stream.end();
      this.#connection?.discard();
      this.#endRequest();
    };
    socket.on("data", (bytes: Buffer) => {
      if (this.isOver) return;
      this.#touch();
      decoder.bytes(bytes, 0, bytes.length);
      endIfWhole();
    });
    socket.once("end", () => {
      // Only where nothing else tells the end.
      if (this.#phase === "declined" && decoder.isUntilClose && left === Infinity) left = 0;
      endIfWhole();
    });
    endIfWhole();
  }

  /** The client is told that nothing more of it is read, if it has not ended. */
  #endRequest(): void {
    const stream = this.#stream;
    if (!stream.readableEnded) stream.once("finish", () => stream.close(constants.NGHTTP2_NO_ERROR));
  }

  #respond(status: number, fields: readonly string[], waitForTrailers: boolean): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return false;
    this.#status = status;
    try {
      // See `StreamExchange`: without it Node would end a stream that is cut as if it were whole.
      if (waitForTrailers) stream.once("wantTrailers", () => stream.sendTrailers({}));
      stream.respond([":status", String(status), ...fields], { waitForTrailers });
      return true;
    } catch (error) {
      const { requestId } = this.trace;
      this.#context.options.log.error("a response could not be sent", { requestId, error: stackOf(error) });
      this.trace.reason = "internal_error";
      stream.close(NGHTTP2_INTERNAL_ERROR);
      return false;
    }
  }

  #podClosed(): void {
    this.#connection?.discard();
    if (this.#phase === "asking") {
      this.#fail(new UpstreamError("upstream_reset", "the pod closed the connection before it responded"));
    } else if (this.#phase === "declined") {
      this.#fail(new UpstreamError("upstream_reset", "the pod closed the connection within its response"));
    } else if (this.#phase === "open" || this.#phase === "closing") {
      this.#enter("closing");
      this.#stream.end();
      this.#endRequest();
    }
  }

  #fail(error: Error): void {
    if (this.isOver) return;
    const reason = exchangeFailure(error);
    this.#cancelLease?.();
    this.#connection?.discard();
    if (this.#status === 0) {
      this.#context.options.refusals.tell(this.trace, reason, error);
      this.refuse(reason);
      return;
    }
    this.trace.reason ??= reason;
    this.#enter("closing");
    this.#stream.close(NGHTTP2_CANCEL);
  }

  #closed(): void {
    this.#cancelHold?.();
    this.#cancelLease?.();
    this.#enter("over");
    this.#connection?.discard();
    const status = this.#status === 0 ? 499 : this.#status;
    this.trace.end(status, this.trace.reason ?? (this.#status === 0 ? "client_closed" : "ok"));
  }
}
