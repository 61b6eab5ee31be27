import type { IncomingMessage, ServerResponse } from "node:http";

import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Incarnation } from "../../routes/lookup.ts";
import { Attempt } from "./attempt.ts";
import type { AttemptEvents } from "./attempt.ts";
import { shareOfRequest } from "../upstream/client-share.ts";
import { endResponse, isUploading } from "../reply/end-response.ts";
import { forwardResponseHeaders, forwardTrailers } from "../forwarding/forwarding.ts";
import type { ForwardedRequest } from "../forwarding/forwarding.ts";
import type { Lessee } from "../upstream/incarnation-pool.ts";
import type { LeastRate } from "../limits/least-rate.ts";
import type { PodConnection } from "./pod-connection.ts";
import type { ConnectionKind } from "../upstream/pooled-connection.ts";
import { ReadingPace } from "../limits/reading-pace.ts";
import { RequestBody } from "./request-body.ts";
import { allValues } from "../http1/request-head.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import type { SmallBodies } from "../limits/small-bodies.ts";
import type { TargetParser } from "../target/target.ts";
import { exchangeFailure, UpstreamError } from "../upstream/upstream-error.ts";
import type { Upstreams } from "../upstream/upstreams.ts";

/** Times of an exchange, and what it works with. */
export interface ExchangeOptions {
  readonly upstreams: Upstreams;
  readonly connections: ConnectionKind<PodConnection>;
  readonly clock: Clock;
  /** From the end of the request to the pod's response head. 0: no limit. */
  readonly firstByteTimeoutMs: Milliseconds;
  /** Longest time without a byte in either direction. 0: no limit. */
  readonly idleTimeoutMs: Milliseconds;
  /** A request that undici has not begun to send after so long, on an open connection, never will be. */
  readonly wedgeTimeoutMs: Milliseconds;
  /** See `LaneOptions`. */
  readonly uploadRate: LeastRate;
  readonly downloadRate: LeastRate;
  readonly smallBodies: SmallBodies;
  readonly trustForwarded: boolean;
  /** Its fields stay out of trailers. */
  readonly parseTarget: TargetParser;
  /** Responses then ask clients to close their connections. */
  readonly draining: () => boolean;
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
 * | state | meaning | ends with |
 * |---|---|---|
 * | `collecting` | a small body is read whole | `leasing`; after `idleTimeoutMs` or below the least rate a 408 |
 * | `leasing` | waits for a connection | `dispatched`, or a refusal |
 * | `dispatched` | given to undici, which has not begun | `sending`; after `wedgeTimeoutMs` the connection is thrown away |
 * | `sending` | head or body are being sent | `awaiting`, or `responding` when the pod answers early |
 * | `awaiting` | all is sent | `responding`; after `firstByteTimeoutMs` a 504 |
 * | `responding` | the response's head is with the client | `over` |
 * | `over` | nothing more happens | |
 */
type State = "collecting" | "leasing" | "dispatched" | "sending" | "awaiting" | "responding" | "over";

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
  readonly #options: ExchangeOptions;
  readonly #refuse: (reason: RefusalReason, error: Error) => void;
  #state: State = "leasing";
  #cancelLease: (() => void) | undefined;
  #attempt: Attempt | undefined;
  #body: RequestBody | undefined;
  #timer: TimerHandle | undefined;
  #lastMoveMs: Milliseconds = 0;
  /** When the client has sent its body too slowly; `Infinity` while the pod does not wait for it. */
  #paceMs: Milliseconds = Infinity;
  /** A small body, read before the lease; `#collectedBytes` of it are here. */
  #collected: Buffer | undefined;
  #collectedBytes = 0;
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
    options: ExchangeOptions,
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
    if (mayCollect && this.#options.smallBodies.reserve(length)) this.#collect(length);
    else this.#lease("kept");
  }

  /** The client left: what is under way to the pod is cut at once. */
  clientGone(): void {
    this.#stop();
  }

  granted(connection: PodConnection): void {
    const { head } = this.#outbound;
    this.#state = "dispatched";
    this.#trace.sentOn(connection);
    this.#touch();
    this.#arm(this.#options.wedgeTimeoutMs);
    const attempt = new Attempt(this, connection);
    this.#attempt = attempt;
    const isStreamed = head.body !== "none" && this.#collected === undefined;
    this.#body = isStreamed ? new RequestBody(this.#request, this.#bodyEvents) : undefined;
    connection.dispatch(
      {
        method: head.method,
        path: head.path,
        headers: head.headers,
        body: this.#collected ?? this.#body ?? null,
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
    this.#state = "sending";
    this.#touch();
    if (this.#body) {
      this.#paceMs = this.#options.uploadRate.begin(this.#options.clock.monotonicMs());
      this.#rearm();
    }
    if (!this.#outbound.expectsContinue || this.#continued) return;
    this.#continued = true;
    this.#response.writeContinue();
  }

  bodySent(): void {
    this.#touch();
  }

  requestSent(): void {
    if (this.#state === "sending") this.#state = "awaiting";
    this.#paceMs = Infinity;
    this.#touch();
    this.#rearm();
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
    this.#state = "responding";
    // From here on pod and client talk to each other, at whatever pace the pod puts up with.
    this.#paceMs = Infinity;
    this.#rearm();
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
    this.#settle();
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

  #collect(length: number): void {
    this.#state = "collecting";
    this.#collected = Buffer.allocUnsafeSlow(length);
    this.#touch();
    this.#paceMs = this.#options.uploadRate.begin(this.#lastMoveMs);
    this.#rearm();
    this.#request.on("data", this.#onCollected).on("end", this.#onCollectedWhole);
  }

  readonly #onCollected = (chunk: Buffer): void => {
    const held = this.#collected;
    if (held === undefined) return;
    this.#collectedBytes += chunk.copy(held, this.#collectedBytes);
    this.#trace.bytesIn += chunk.length;
    this.#touch();
    this.#paceMs = this.#options.uploadRate.sent(this.#paceMs, chunk.length, this.#lastMoveMs);
  };

  readonly #onCollectedWhole = (): void => {
    if (this.#state !== "collecting") return;
    this.#paceMs = Infinity;
    this.#timer?.clear();
    this.#lease("kept");
  };

  #dropCollected(): void {
    if (this.#collected === undefined) return;
    this.#options.smallBodies.release(this.#collected.length);
    this.#collected = undefined;
    this.#request.off("data", this.#onCollected).off("end", this.#onCollectedWhole);
  }

  /** The pod may be done with the response by now. */
  #readsTooSlowly(): void {
    const error = new UpstreamError("client_too_slow", "the client reads its answer too slowly");
    this.#fail(error);
    this.#trace.reason ??= error.code;
    if (this.#response.socket) resetSocket(this.#response.socket);
  }

  #lease(want: "kept" | "new"): void {
    const { incarnation, port } = this.#outbound;
    const { connections, upstreams } = this.#options;
    this.#state = "leasing";
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
    this.#settle();
    this.#cancelLease?.();
    this.#attempt?.abandon();
    this.#attempt?.connection.discard();
    this.#body?.destroy();
  }

  #settle(): void {
    this.#state = "over";
    this.#dropCollected();
    this.#timer?.clear();
  }

  #touch(): void {
    this.#lastMoveMs = this.#options.clock.monotonicMs();
  }

  #arm(delayMs: Milliseconds): void {
    this.#timer?.clear();
    this.#timer = this.#options.clock.setTimeout(() => this.#checkTime(), delayMs);
  }

  /** The limit that holds now, 0 for none. Moves only push deadlines back, so the timer is not touched for each. */
  #limitMs(): Milliseconds {
    return this.#state === "awaiting" ? this.#options.firstByteTimeoutMs : this.#options.idleTimeoutMs;
  }

  #rearm(): void {
    const deadlineMs = this.#deadlineMs();
    if (deadlineMs < Infinity) this.#arm(Math.max(0, deadlineMs - this.#options.clock.monotonicMs()));
    else this.#timer?.clear();
  }

  #deadlineMs(): Milliseconds {
    const limitMs = this.#limitMs();
    return limitMs > 0 ? Math.min(this.#lastMoveMs + limitMs, this.#paceMs) : this.#paceMs;
  }

  #checkTime(): void {
    if (this.#state === "over" || this.#state === "leasing") return;
    if (this.#state === "dispatched") this.#wedged();
    else if (this.#deadlineMs() > this.#options.clock.monotonicMs()) this.#rearm();
    else this.#fail(this.#timeoutError());
  }

  #timeoutError(): UpstreamError {
    if (this.#state === "awaiting") {
      return new UpstreamError("first_byte_timeout", "the pod did not answer in time");
    }
    if (this.#paceMs <= this.#options.clock.monotonicMs()) {
      return new UpstreamError("client_too_slow", "the client sends its request too slowly");
    }
    if (this.#state === "collecting") return new UpstreamError("request_timeout", "the client stalled");
    const clientStalls = this.#state === "sending" ? this.#body?.starved : this.#response.writableNeedDrain;
    return clientStalls
      ? new UpstreamError("request_timeout", "the client stalled")
      : new UpstreamError("upstream_idle_timeout", "the pod fell silent");
  }

  #wedged(): void {
    const connection = this.#attempt?.connection;
    this.#options.upstreams.observer.wedged();
    if (connection && !this.#trace.retried) this.#retry(connection);
    else this.#fail(new UpstreamError("internal_error", "undici never began to send the request"));
  }

  readonly #bodyEvents = {
    moved: (bytes: number): void => {
      this.#trace.bytesIn += bytes;
      this.#touch();
      if (this.#paceMs === Infinity) return;
      this.#paceMs = this.#options.uploadRate.sent(this.#paceMs, bytes, this.#lastMoveMs);
    },
    blocked: (isBlocked: boolean): void => {
      if (this.#state !== "sending") return;
      const { clock, uploadRate } = this.#options;
      this.#paceMs = isBlocked ? Infinity : uploadRate.begin(clock.monotonicMs());
      if (!isBlocked) this.#rearm();
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
