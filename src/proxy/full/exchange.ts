import type { IncomingMessage, ServerResponse } from "node:http";

import type { Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Incarnation } from "../../routes/lookup.ts";
import { Attempt } from "./attempt.ts";
import type { AttemptEvents } from "./attempt.ts";
import { CollectedBody } from "./collected-body.ts";
import { shareOfRequest } from "../upstream/client-share.ts";
import { endResponse, isUploading } from "../reply/end-response.ts";
import { forwardResponseHeaders, forwardTrailers } from "../forwarding/forwarding.ts";
import type { ForwardedRequest } from "../forwarding/forwarding.ts";
import type { Lessee } from "../upstream/incarnation-pool.ts";
import type { PodConnection } from "./pod-connection.ts";
import type { ConnectionKind } from "../upstream/pooled-connection.ts";
import type { LaneOptions } from "../passage/lane.ts";
import { ReadingPace } from "../limits/reading-pace.ts";
import { RequestBody } from "./request-body.ts";
import { allValues } from "../http1/request-head.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import { exchangeFailure, timedOut, UpstreamError } from "../upstream/upstream-error.ts";

/** What the full lane's requests work with beside {@link LaneOptions}. */
export interface FullLaneOptions extends LaneOptions {
  readonly connections: ConnectionKind<PodConnection>;
  /** If undici has not begun to send after this time, on an open connection, it never will: the connection is discarded. */
  readonly wedgeTimeoutMs: Milliseconds;
}

/** A request that is to be sent to a pod. */
export interface OutboundRequest {
  readonly incarnation: Incarnation;
  readonly port: number;
  readonly head: Extract<ForwardedRequest, { kind: "forward" }>;
  /** The client waits for a `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

/**
 * Where an exchange is, and where it goes on to; `over` is reached from everywhere.
 *
 * | state | meaning | time limit |
 * |---|---|---|
 * | `collecting` | a small body is read whole | `idleTimeoutMs` and the least rate, then a 408 |
 * | `leasing` | waits for a connection | the pool's |
 * | `dispatched` | given to undici, which has not begun | `wedgeTimeoutMs`, then the connection is thrown away |
 * | `sending` | head or body are being sent | `idleTimeoutMs` and, while the pod waits for the client, the least rate |
 * | `awaiting` | all is sent | `firstByteTimeoutMs`, then a 504 |
 * | `responding` | the response's head is with the client | `idleTimeoutMs` |
 * | `over` | nothing more happens | |
 */
export const EXCHANGE_TRANSITIONS = {
  collecting: ["leasing", "over"],
  leasing: ["dispatched", "over"],
  dispatched: ["leasing", "sending", "over"],
  sending: ["leasing", "awaiting", "responding", "over"],
  awaiting: ["leasing", "responding", "over"],
  responding: ["over"],
  over: [],
} as const;

/** See the table above. */
export type ExchangeState = keyof typeof EXCHANGE_TRANSITIONS;

/**
 * One request's way to a pod and its response's way back, over one connection. Retried once, on a new connection,
 * and only when the first was a kept one and failed before a byte was given to it; the pod can't have seen such a
 * request. Whatever has been sent is never sent again (not even a GET: a sandbox runs whatever its user likes).
 */
export class Exchange implements Lessee<PodConnection>, AttemptEvents {
  readonly client: string;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #outbound: OutboundRequest;
  readonly #trace: RequestTrace;
  readonly #options: FullLaneOptions;
  readonly #refuse: (reason: RefusalReason, error: Error) => void;
  #state: ExchangeState = "leasing";
  #cancelLease: (() => void) | undefined;
  #attempt: Attempt | undefined;
  #body: RequestBody | undefined;
  #timer: TimerHandle | undefined;
  #lastMoveMs: Milliseconds = 0;
  /** When the client has sent its body too slowly; `Infinity` while the pod does not wait for it. */
  #paceMs: Milliseconds = Infinity;
  /** A small body, read before the lease. */
  #collected: CollectedBody | undefined;
  #reading: ReadingPace | undefined;
  /** The message tells the client by itself where it ends. */
  #delimited = true;
  /** The pod tells the end of the body by closing the connection. */
  #endsWithConnection = false;
  /** `100 Continue` was sent; a retry does not send it again. */
  #continued = false;

  /** `refuse` is called, at most once, when nothing was sent to the client and the client is to be told why. */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    outbound: OutboundRequest,
    trace: RequestTrace,
    options: FullLaneOptions,
    refuse: (reason: RefusalReason, error: Error) => void,
  ) {
    this.#request = request;
    this.#response = response;
    this.#outbound = outbound;
    this.#trace = trace;
    this.#options = options;
    this.#refuse = refuse;
    this.client = shareOfRequest(trace, options.trustForwarded);
  }

  /** Begins. Call once. */
  start(): void {
    const { head, expectsContinue } = this.#outbound;
    const length = Number(this.#request.headers["content-length"] ?? -1);
    // A client that waits for a 100 Continue gets it when the pod can take its body.
    const mayCollect = head.body !== "none" && !expectsContinue && length > 0;
    if (!mayCollect || !this.#options.smallBodies.reserve(length)) {
      this.#lease("kept");
      return;
    }
    this.enter("collecting");
    this.#collected = new CollectedBody(this.#request, length, this.#options.smallBodies, {
      moved: (bytes) => this.#bodyMoved(bytes),
      whole: () => {
        if (this.#state === "collecting") this.#lease("kept");
      },
    });
  }

  /** The client left: what is under way to the pod is cut at once. */
  clientGone(): void {
    this.#stop();
  }

  granted(connection: PodConnection): void {
    const { head } = this.#outbound;
    this.#trace.sentOn(connection);
    this.enter("dispatched");
    const attempt = new Attempt(this, connection);
    this.#attempt = attempt;
    const isStreamed = head.body !== "none" && this.#collected === undefined;
    this.#body = isStreamed ? new RequestBody(this.#request, this.#bodyEvents) : undefined;
    connection.dispatch(
      {
        method: head.method,
        path: head.path,
        headers: head.headers,
        body: this.#collected?.bytes ?? this.#body ?? null,
      },
      attempt,
      attempt.onInformational,
    );
  }

  refused(error: UpstreamError): void {
    this.#fail(error);
  }

  cut(error: UpstreamError): void {
    this.#fail(error);
  }

  requestStarted(): void {
    this.enter("sending");
    if (!this.#outbound.expectsContinue || this.#continued) return;
    this.#continued = true;
    this.#response.writeContinue();
  }

  bodySent(): void {
    this.#touch();
  }

  requestSent(): void {
    if (this.#state === "sending") this.enter("awaiting");
    else this.#touch();
  }

  /** Passed on, as a proxy must (RFC 9110 15.2), but not to clients that don't know them. */
  informational(head: string): void {
    this.#touch();
    const { socket } = this.#response;
    const isOldClient = this.#request.httpVersionMajor === 1 && this.#request.httpVersionMinor === 0;
    if (socket && !isOldClient && !this.#response.headersSent) socket.write(head, "latin1");
  }

  responseStarted(status: number, phrase: string, rawHeaders: readonly Buffer[]): void {
    this.#touch();
    const fields = forwardResponseHeaders(rawHeaders, status);
    if (fields.kind === "invalid") {
      this.#fail(new UpstreamError("upstream_protocol", `the pod's response is invalid: ${fields.message}`));
      return;
    }
    this.enter("responding");
    this.#trace.firstByte();
    const { headers } = fields;
    const hasLength = allValues(headers, "content-length").length > 0;
    const hasBody = this.#request.method !== "HEAD" && status !== 204 && status !== 304;
    const isOldClient = this.#request.httpVersionMajor === 1 && this.#request.httpVersionMinor === 0;
    const chunked = hasBody && !hasLength && !isOldClient;
    this.#delimited = !hasBody || hasLength || chunked;
    this.#endsWithConnection = hasBody && !hasLength && !isChunked(rawHeaders);
    // An upload that still runs must be stopped, and there is no other way to say so.
    if (this.#options.draining() || isUploading(this.#request)) headers.push("Connection", "close");
    const response = this.#response;
    // node:http throws on Trailer without chunks, where there can be none.
    response.writeHead(status, phrase, chunked ? headers : withoutTrailer(headers));
    response.on("drain", () => this.#attempt?.resume());
    // With the first bytes of the body when they are at hand, else alone: an event stream may stay silent for long.
    process.nextTick(() => {
      // Not by flushHeaders(), which writes bytes above ASCII as UTF-8.
      if (this.#state === "responding" && this.#trace.bytesOut === 0) response.write("", "latin1");
    });
  }

  responseData(chunk: Buffer): boolean {
    this.#touch();
    this.#trace.bytesOut += chunk.length;
    const { clock, downloadRate } = this.#options;
    this.#reading ??= new ReadingPace(this.#response, downloadRate, clock, () => this.#readsTooSlowly());
    return this.#reading.write(chunk);
  }

  responseEnded(rawTrailers: readonly Buffer[], broken: boolean): void {
    if (broken && this.#endsWithConnection) {
      // undici takes a RST for the end of such a body (it says that macOS needs it).
      this.#fail(new UpstreamError("upstream_reset", "the pod reset the connection"));
      return;
    }
    this.enter("over");
    if (rawTrailers.length > 0 && this.#delimited) this.#response.addTrailers(forwardTrailers(rawTrailers));
    endResponse(this.#request, this.#response, this.#options.clock);
  }

  attemptFailed(error: Error, connection: PodConnection, unsent: boolean): void {
    const mayRetry = unsent && !this.#trace.retried && (this.#body?.untouched ?? true);
    if (!mayRetry || this.#state === "responding") {
      this.#fail(error);
      return;
    }
    this.#retry(connection);
  }

  /** The pod may be done with the response by now. */
  #readsTooSlowly(): void {
    const error = timedOut("slow_reader");
    this.#fail(error);
    this.#trace.reason ??= error.code;
    if (this.#response.socket) resetSocket(this.#response.socket);
  }

  #lease(want: "kept" | "new"): void {
    const { incarnation, port } = this.#outbound;
    const { connections, upstreams } = this.#options;
    this.enter("leasing");
    this.#cancelLease = upstreams.lease(incarnation, { kind: connections, port, want }, this);
  }

  #retry(connection: PodConnection): void {
    this.#attempt?.abandon();
    connection.discard();
    this.#body?.destroy();
    this.#trace.retried = true;
    this.#options.upstreams.observer.retried();
    this.#lease("new");
  }

  #fail(error: Error): void {
    if (this.#state === "over") return;
    const reason = exchangeFailure(error);
    // The pod is told at once, whatever is still on its way to it.
    if (reason === "client_too_slow") this.#attempt?.connection.reset();
    this.#stop();
    if (!this.#response.headersSent) {
      this.#refuse(reason, error);
      return;
    }
    this.#trace.reason = reason;
    // Never a clean end: without a length or chunks a FIN would look like the end of the body.
    const isCut = this.#delimited && reason !== "client_too_slow";
    if (isCut || !this.#response.socket) this.#response.destroy();
    else resetSocket(this.#response.socket);
  }

  /** Gives up what is under way. */
  #stop(): void {
    if (this.#state === "over") return;
    this.enter("over");
    this.#cancelLease?.();
    this.#attempt?.abandon();
    this.#attempt?.connection.discard();
    this.#body?.destroy();
  }

  /** The one place where the state changes, and with it what is waited for. Called by the exchange itself alone. */
  enter(state: ExchangeState): void {
    const { clock, uploadRate, wedgeTimeoutMs } = this.#options;
    this.#state = state;
    this.#touch();
    // The pod waits for the client in these two; in others it is not the client's turn, or they talk at the pod's pace.
    const isClientsTurn = state === "collecting" || (state === "sending" && this.#body !== undefined);
    this.#paceMs = isClientsTurn ? uploadRate.begin(this.#lastMoveMs) : Infinity;
    this.#timer?.clear();
    if (state === "over") this.#collected?.drop();
    else if (state === "dispatched") this.#timer = clock.setTimeout(() => this.#wedged(), wedgeTimeoutMs);
    // Until there is a connection the pool keeps the time.
    else if (state !== "leasing") this.#arm();
  }

  #touch(): void {
    this.#lastMoveMs = this.#options.clock.monotonicMs();
  }

  /** Sets the timer for the deadline as it is now. Moves only push it back, so the timer is not touched for each. */
  #arm(): void {
    const { clock } = this.#options;
    const deadlineMs = this.#deadlineMs();
    this.#timer?.clear();
    if (deadlineMs === Infinity) return;
    const delayMs = Math.max(0, deadlineMs - clock.monotonicMs());
    this.#timer = clock.setTimeout(() => this.#checkTime(), delayMs);
  }

  #deadlineMs(): Milliseconds {
    const { firstByteTimeoutMs, idleTimeoutMs } = this.#options;
    const limitMs = this.#state === "awaiting" ? firstByteTimeoutMs : idleTimeoutMs;
    return limitMs > 0 ? Math.min(this.#lastMoveMs + limitMs, this.#paceMs) : this.#paceMs;
  }

  #checkTime(): void {
    if (this.#deadlineMs() > this.#options.clock.monotonicMs()) this.#arm();
    else this.#fail(this.#timeoutError());
  }

  #timeoutError(): UpstreamError {
    if (this.#state === "awaiting") return timedOut("first_byte");
    if (this.#paceMs <= this.#options.clock.monotonicMs()) return timedOut("slow_request");
    if (this.#state === "collecting") return timedOut("silent_client");
    const clientStalls = this.#state === "sending" ? this.#body?.starved : this.#response.writableNeedDrain;
    return timedOut(clientStalls ? "silent_client" : "silent_pod");
  }

  #wedged(): void {
    const connection = this.#attempt?.connection;
    this.#options.upstreams.observer.wedged();
    if (connection && !this.#trace.retried) this.#retry(connection);
    else this.#fail(new UpstreamError("internal_error", "undici never began to send the request"));
  }

  #bodyMoved(bytes: number): void {
    this.#trace.bytesIn += bytes;
    this.#touch();
    if (this.#paceMs === Infinity) return;
    this.#paceMs = this.#options.uploadRate.sent(this.#paceMs, bytes, this.#lastMoveMs);
  }

  readonly #bodyEvents = {
    moved: (bytes: number): void => this.#bodyMoved(bytes),
    blocked: (isBlocked: boolean): void => {
      if (this.#state !== "sending") return;
      const { clock, uploadRate } = this.#options;
      this.#paceMs = isBlocked ? Infinity : uploadRate.begin(clock.monotonicMs());
      if (!isBlocked) this.#arm();
    },
    trailers: (rawTrailers: readonly string[]): void => {
      this.#attempt?.connection.sendTrailers(forwardTrailers(rawTrailers, this.#options.parseTarget.fields));
    },
  };
}

function isChunked(rawHeaders: readonly Buffer[]): boolean {
  return rawHeaders.some(
    (name, i) => i % 2 === 0 && name.toString("latin1").toLowerCase() === "transfer-encoding",
  );
}

function withoutTrailer(headers: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() !== "trailer") kept.push(headers[i] ?? "", headers[i + 1] ?? "");
  }
  return kept;
}
