import { constants, performServerHandshake } from "node:http2";
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

import type { Milliseconds } from "../../system/clock.ts";
import { stackOf } from "../../system/error-text.ts";
import { TokenBucket } from "../../system/token-bucket.ts";
import { acceptedOf } from "../client/accepted.ts";
import type { Timed } from "../limits/deadlines.ts";
import type { NotAdmitted } from "../passage/admission.ts";
import { LINGER_MS } from "../reply/raw-reply.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import type { H2Context } from "./h2-context.ts";
import { StreamExchange } from "./stream-exchange.ts";
import { readStreamHead } from "./stream-head.ts";
import type { StreamOrigin } from "./stream-origin.ts";
import { WebSocketStream } from "./websocket-stream.ts";

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_FLAG_END_STREAM, NGHTTP2_NO_ERROR } = constants;

/**
 * Streams of one connection that may end by a reset, by whoever sends it: clients that cancel much are fine, but opening and
 * resetting is the cheapest way to make a server work (CVE-2023-44487), and so is making the server reset (CVE-2025-8671).
 */
const RESETS_BURST = 1000;
const RESETS_PER_SECOND = 100;
/** Header fields of a request, cookie crumbs and pseudo-header fields counted. */
const MAX_FIELDS = 1000;
/** Frames that nghttp2 ignores or refuses, and streams above the limit, before the connection is ended. */
const MAX_INVALID_FRAMES = 100;
const MAX_REFUSED_STREAMS = 100;

/** Where a connection is: `waiting` for its first request, `open`, `leaving` after its GOAWAY, or `gone`. */
type Phase = "waiting" | "open" | "leaving" | "gone";

/** One client connection of HTTP/2. */
export class H2Connection implements Timed {
  deadlineMs: Milliseconds = Infinity;
  readonly #socket: Socket;
  readonly #session: ServerHttp2Session;
  readonly #origin: StreamOrigin;
  readonly #context: H2Context;
  readonly #webSockets = new Set<WebSocketStream>();
  readonly #resets: TokenBucket;
  #phase: Phase = "waiting";
  /** Streams that are open, and requests so far. */
  #streams = 0;
  #requests = 0;

  /** `refusal`: what its first requests are refused with; then it is closed. */
  constructor(socket: Socket, refusal: NotAdmitted | undefined, context: H2Context) {
    this.#context = context;
    this.#socket = socket;
    this.#origin = { accepted: acceptedOf(socket), refusal, abort: () => this.#abort() };
    const { clock, http2, maxHeaderBytes, headerTimeoutMs } = context.options;
    this.#resets = new TokenBucket(RESETS_PER_SECOND, RESETS_BURST, clock.monotonicMs());
    this.#session = performServerHandshake(socket, {
      settings: {
        enablePush: false,
        enableConnectProtocol: true,
        maxConcurrentStreams: http2.maxConcurrentStreams,
        initialWindowSize: http2.streamWindowBytes,
        maxHeaderListSize: maxHeaderBytes,
      },
      maxHeaderListPairs: MAX_FIELDS,
      maxSessionInvalidFrames: MAX_INVALID_FRAMES,
      maxSessionRejectedStreams: MAX_REFUSED_STREAMS,
      // What pods send twice is passed on twice.
      strictSingleValueFields: false,
    });
    this.#session
      .on("stream", (stream, _headers, flags, rawFields) => this.#onStream(stream, flags, rawFields))
      // What was wrong is told to the client by nghttp2; unheard, the error would end the process.
      .on("error", () => {});
    socket.once("close", () => {
      this.#phase = "gone";
      context.deadlines.delete(this);
    });
    this.#session.setLocalWindowSize(http2.connectionWindowBytes);
    context.deadlines.add(this);
    this.deadlineMs = context.deadlines.in(headerTimeoutMs);
  }

  /** WebSockets on it. */
  get tunnels(): number {
    let open = 0;
    for (const each of this.#webSockets) if (each.isOpen) open += 1;
    return open;
  }

  /** Takes no further request, and closes when those under way are done; WebSockets are told 1001. */
  drain(): void {
    this.#leave();
    for (const each of this.#webSockets) each.drain();
  }

  /** Cuts everything at once. */
  cut(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }

  onDeadline(): void {
    if (this.#phase === "leaving") this.#abort();
    else this.#leave();
  }

  /** Not by the session alone: that waits until the client has taken what was written. */
  #abort(): void {
    this.#session.destroy();
    resetSocket(this.#socket);
  }

  /** GOAWAY: what the client has sent up to now is answered, and nothing more is taken (RFC 9113 6.8). */
  #leave(): void {
    if (this.#phase === "leaving" || this.#phase === "gone") return;
    this.#phase = "leaving";
    this.#session.close();
    this.#rest();
  }

  /** Nothing is under way: the connection is idle from now on. */
  #rest(): void {
    const { deadlines, options } = this.#context;
    if (this.#streams > 0) this.deadlineMs = Infinity;
    else this.deadlineMs = deadlines.in(this.#phase === "leaving" ? LINGER_MS : options.keepAliveTimeoutMs);
  }

  #onStream(stream: ServerHttp2Stream, flags: number, rawFields: readonly string[]): void {
    const { options } = this.#context;
    try {
      this.#streams += 1;
      this.#requests += 1;
      this.deadlineMs = Infinity;
      if (this.#phase === "waiting") this.#phase = "open";
      stream.once("close", () => this.#onClosed(stream));
      options.requestStarted();
      this.#begin(stream, flags, rawFields);
      const isLast =
        this.#requests === options.maxRequestsPerConnection || this.#origin.refusal !== undefined;
      if (isLast) this.#leave();
    } catch (error) {
      options.log.error("a stream failed with an exception", { error: stackOf(error) });
      stream.close(NGHTTP2_CANCEL);
    }
  }

  #begin(stream: ServerHttp2Stream, flags: number, rawFields: readonly string[]): void {
    const head = readStreamHead(rawFields);
    if (head.isWebSocket) {
      const webSocket = new WebSocketStream(stream, head, this.#origin, this.#context);
      this.#webSockets.add(webSocket);
      stream.once("close", () => this.#webSockets.delete(webSocket));
      webSocket.begin();
    } else {
      const endsWithHead = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
      new StreamExchange(stream, head, endsWithHead, this.#origin, this.#context).begin();
    }
  }

  #onClosed(stream: ServerHttp2Stream): void {
    this.#streams -= 1;
    if (this.#phase === "gone") return;
    if (this.#streams === 0) this.#rest();
    if (stream.rstCode === NGHTTP2_NO_ERROR || stream.rstCode === undefined) return;
    const { clock, refusals } = this.#context.options;
    if (this.#resets.take(clock.monotonicMs())) return;
    refusals.tellOfClient(
      "HTTP/2 connection ended: too many of its streams were reset",
      this.#origin.accepted.clientAddress,
    );
    this.#phase = "leaving";
    this.#session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
    this.#rest();
  }
}
