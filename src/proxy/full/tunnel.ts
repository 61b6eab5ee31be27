import { Agent, type ClientRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import { createProxyServer } from "http-proxy-3";

import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import { sayGoingAway } from "./drain-websocket.ts";
import { EarlyBytes } from "./early-bytes.ts";
import { forwardResponseHeaders } from "../forwarding/forwarding.ts";
import { firstValue } from "../http1/request-head.ts";
import type { Reason } from "../reply/reasons.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import type { TunnelConnection } from "./tunnel-connection.ts";
import { headerRecord } from "./tunnel-headers.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { Splice } from "./splice.ts";
import type { Transport } from "../transport/transport.ts";
import { FrameBoundaryTracker } from "./websocket-frames.ts";

/** What the pod is asked. */
export interface TunnelRequest {
  readonly method: string;
  readonly path: string;
  /** Flat; without Connection and Upgrade. */
  readonly headers: readonly string[];
  readonly protocols: string;
  readonly isWebSocket: boolean;
}

/** Times of a tunnel. */
export interface TunnelOptions {
  readonly clock: Clock;
  readonly transport: Transport;
  /** From the request to the pod's answer. 0: no limit. */
  readonly handshakeTimeoutMs: Milliseconds;
  /** Longest time without a byte in either direction. 0: no limit. */
  readonly idleTimeoutMs: Milliseconds;
  /** How long one side may take to close after the other did. */
  readonly closeTimeoutMs: Milliseconds;
}

/** Told what becomes of a tunnel. Its end is the client socket's `close`. */
export interface TunnelEvents {
  /** The pod answered: 101, or a status with which it declined. */
  answered(status: number): void;
  /** There will be no answer from the pod; nothing was written to the client, and writing to it is the listener's. */
  failed(error: Error): void;
  /** An established tunnel or a response is being cut, and why. */
  cut(reason: Reason): void;
  /** A 1xx response of the pod, to be passed on; its answer is yet to come. */
  informational(head: string): void;
  bytesIn(count: number): void;
  bytesOut(count: number): void;
}

/**
 * Where a tunnel is, and where it goes on to.
 *
 * | state | meaning | time limit |
 * |---|---|---|
 * | `asking` | the upgrade request is with the pod | `handshakeTimeoutMs` |
 * | `open` | 101: bytes are passed both ways | `idleTimeoutMs` |
 * | `leaving` | the client of a WebSocket was told 1001, and has yet to close | `idleTimeoutMs` |
 * | `closing` | one side has closed, and the other has yet to | `closeTimeoutMs` |
 * | `declined` | the pod answered otherwise; its response is being relayed | `idleTimeoutMs` |
 * | `over` | | |
 */
export const TUNNEL_TRANSITIONS = {
  asking: ["open", "declined", "over"],
  open: ["leaving", "closing", "over"],
  leaving: ["closing", "over"],
  closing: ["over"],
  declined: ["over"],
  over: [],
} as const;

/** See the table above. */
export type TunnelState = keyof typeof TUNNEL_TRANSITIONS;

/**
 * One upgrade: http-proxy-3 makes the handshake, and a {@link Splice} passes the bytes. What they leave open is closed here: each
 * side's end at any moment ends the other; the handshake and silence have limits; a pod that resets the connection resets the client's; heads go
 * through with their exact names, paths unchanged; a declined upgrade's body has backpressure and never ends cleanly
 * when the pod cut it; a drain says 1001.
 */
export class Tunnel {
  readonly #client: Socket;
  readonly #connection: TunnelConnection;
  readonly #request: TunnelRequest;
  readonly #options: TunnelOptions;
  readonly #events: TunnelEvents;
  readonly #early: EarlyBytes;
  #state: TunnelState = "asking";
  #timer: TimerHandle | undefined;
  #outgoing: ClientRequest | undefined;
  #frames: FrameBoundaryTracker | undefined;
  #splice: Splice | undefined;
  #draining = false;

  /** `client` must have its `error` heard already; `head` is what came after the request. */
  constructor(
    client: Socket,
    head: Buffer,
    connection: TunnelConnection,
    request: TunnelRequest,
    options: TunnelOptions,
    events: TunnelEvents,
  ) {
    this.#client = client;
    this.#connection = connection;
    this.#request = request;
    this.#options = options;
    this.#events = events;
    this.#early = new EarlyBytes(client, head);
  }

  /** Asks the pod. Call once. */
  start(): void {
    const client = this.#client;
    // Read from the first moment: of a socket that nobody reads nobody learns that it ended.
    this.#early.start();
    client.once("close", () => this.#clientClosed());
    this.enter("asking");
    const { address, socket } = this.#connection;
    const { method, protocols } = this.#request;
    socket.guard.begin({
      method,
      protocols,
      informational: (text) => {
        if (this.#state === "asking" && !this.#client.destroyed) this.#events.informational(text);
      },
    });
    const proxy = createProxyServer({
      target: { protocol: "http:", host: address.ip, port: address.port },
      agent: new OneSocketAgent(socket),
      method,
      toProxy: true,
      prependPath: false,
    });
    proxy.on("error", (error) => this.#failed(error));
    proxy.on("open", () => this.#piped());
    proxy.on("proxyReqWs", (outgoing) => this.#prepare(outgoing));
    // http-proxy-3 looks only at these, and tunnels nothing that does not call itself a WebSocket.
    const incoming = {
      method: "GET",
      url: "/",
      headers: { upgrade: "websocket" },
      httpVersion: "1.1",
      httpVersionMajor: 1,
    };
    proxy.ws(incoming as unknown as IncomingMessage, client, Buffer.alloc(0), {}, (error) =>
      this.#failed(error),
    );
  }

  /** The incarnation ended. */
  cut(error: UpstreamError): void {
    // First of all, since every other way to end it would send a FIN.
    resetSocket(this.#connection.socket);
    if (this.#state === "asking") this.#fail(error);
    else this.#reset(error.code);
  }

  /**
   * The router drains: a WebSocket is told 1001, once it is open; other protocols may go on until {@link abort}.
   */
  drain(): void {
    this.#draining = true;
    if (this.#state === "open") this.#goAway();
  }

  /** Cuts both sides at once. */
  abort(reason: Reason): void {
    this.#reset(reason);
  }

  /** http-proxy-3 pipes both ways, and has put back what came of the pod's first bytes. Its part ends here. */
  #piped(): void {
    const frames = this.#frames;
    const { socket } = this.#connection;
    const { transport } = this.#options;
    this.#splice = new Splice(this.#client, socket, transport, frames && ((bytes) => frames.push(bytes)));
    this.#splice.start();
    if (this.#draining && frames && this.#state === "open") this.#goAway();
    else this.#splice.passPod();
  }

  #goAway(): void {
    if (!this.#frames) return;
    this.enter("leaving");
    const { socket } = this.#connection;
    this.#splice?.releasePod();
    sayGoingAway(socket, this.#client, this.#frames);
    this.#events.cut("draining");
  }

  /** Makes http-proxy-3's request ours, and hears its answer before http-proxy-3 does. */
  #prepare(outgoing: ClientRequest): void {
    this.#outgoing = outgoing;
    const { path, headers, protocols } = this.#request;
    outgoing.path = path;
    for (const name of outgoing.getHeaderNames()) outgoing.removeHeader(name);
    for (let i = 0; i + 1 < headers.length; i += 2)
      outgoing.appendHeader(headers[i] ?? "", headers[i + 1] ?? "");
    outgoing.setHeader("Connection", "Upgrade");
    outgoing.setHeader("Upgrade", protocols);
    outgoing.once("upgrade", (response: IncomingMessage, _socket: Duplex, podHead: Buffer) => {
      this.#opened(response, podHead);
    });
    outgoing.once("response", (response: IncomingMessage) => this.#declined(response));
  }

  #opened(response: IncomingMessage, podHead: Buffer): void {
    const { socket } = this.#connection;
    if (this.#state !== "asking" || this.#client.destroyed) {
      socket.destroy();
      return;
    }
    const agreed = firstValue(response.rawHeaders, "upgrade") ?? this.#request.protocols;
    if (!this.#takeHead(response, ["Connection", "Upgrade", "Upgrade", agreed])) return;
    this.enter("open");
    this.#events.answered(101);
    this.#early.putBack();
    if (this.#request.isWebSocket) this.#frames = new FrameBoundaryTracker();
    this.#countBytes(socket, podHead.length);
    socket.once("error", () => this.#reset("upstream_reset"));
    socket.once("close", () => this.#podClosed());
    // Before http-proxy-3, which would end the pod's side in good order.
    this.#client.prependOnceListener("error", () => resetSocket(socket));
    // A half-closed WebSocket is one that is being closed; other protocols may go on one way.
    if (this.#request.isWebSocket) this.#client.once("end", () => this.#closeSoon());
  }

  #declined(response: IncomingMessage): void {
    if (this.#state !== "asking" || this.#client.destroyed) {
      this.#connection.socket.destroy();
      return;
    }
    const status = response.statusCode ?? 0;
    if (status < 200) {
      // A 101 that names no protocol is none: node:http takes it for a response.
      this.#fail(new UpstreamError("upstream_protocol", `the pod answered ${status} without an upgrade`));
      return;
    }
    // Without a length http-proxy-3 would announce chunks.
    const isUnframed = status === 204 || (status === 304 && !hasLength(response));
    const extra = isUnframed ? ["content-length", "0"] : [];
    if (!this.#takeHead(response, [...extra, "Connection", "close"])) return;
    this.enter("declined");
    this.#events.answered(status);
    this.#early.putBack();
    this.#client.resume();
    this.#client.once("end", () => this.#reset("client_closed"));
    response.on("data", (chunk: Buffer) => {
      this.#events.bytesOut(chunk.length);
      if (!this.#client.writableNeedDrain) return;
      response.pause();
      this.#client.once("drain", () => response.resume());
    });
    response.once("close", () => {
      if (!response.complete) this.#reset("upstream_reset");
    });
    response.on("error", () => {});
  }

  /** Puts the fields that the client may have in the place where http-proxy-3 reads them. */
  #takeHead(response: IncomingMessage, extra: readonly string[]): boolean {
    const fields = forwardResponseHeaders(response.rawHeaders, response.statusCode ?? 0);
    if (fields.kind === "invalid") {
      this.#fail(new UpstreamError("upstream_protocol", `the pod's response is invalid: ${fields.message}`));
      return false;
    }
    response.headers = headerRecord([...fields.headers, ...extra]);
    return true;
  }

  #countBytes(podSocket: Socket, podHeadBytes: number): void {
    const client = this.#client;
    // What came before the pod had agreed was put back, and waits to be read.
    const readBefore = client.bytesRead - client.readableLength;
    const podReadBefore = podSocket.bytesRead - podHeadBytes;
    // Prepended: the record is told by a listener that was there before.
    client.prependOnceListener("close", () => {
      this.#events.bytesIn(client.bytesRead - readBefore);
      this.#events.bytesOut(podSocket.bytesRead - podReadBefore);
    });
  }

  /** The one place where the state changes, and with it what is waited for. Called by the tunnel itself alone. */
  enter(state: TunnelState): void {
    const { clock, closeTimeoutMs, handshakeTimeoutMs } = this.#options;
    this.#state = state;
    // The client that was told to leave is watched as before.
    if (state === "leaving") return;
    this.#timer?.clear();
    switch (state) {
      case "asking":
        if (handshakeTimeoutMs === 0) return;
        this.#timer = clock.setTimeout(() => {
          this.#fail(new UpstreamError("first_byte_timeout", "the pod did not answer the upgrade in time"));
        }, handshakeTimeoutMs);
        return;
      case "open":
      case "declined":
        this.#watchIdle();
        return;
      case "closing":
        this.#timer = clock.setTimeout(() => {
          this.#connection.discard();
          this.#client.destroy();
        }, closeTimeoutMs);
        return;
      case "over":
        return;
    }
  }

  #watchIdle(): void {
    const limitMs = this.#options.idleTimeoutMs;
    if (limitMs === 0) return;
    const moved = () => {
      const { socket } = this.#connection;
      return this.#client.bytesRead + socket.bytesRead + this.#client.bytesWritten + socket.bytesWritten;
    };
    let before = moved();
    let quietSinceMs = this.#options.clock.monotonicMs();
    const check = () => {
      const nowMs = this.#options.clock.monotonicMs();
      const now = moved();
      if (now !== before) {
        before = now;
        quietSinceMs = nowMs;
      } else if (nowMs - quietSinceMs >= limitMs) {
        this.#reset("upstream_idle_timeout");
        return;
      }
      this.#timer = this.#options.clock.setTimeout(check, limitMs / 4);
    };
    this.#timer = this.#options.clock.setTimeout(check, limitMs / 4);
  }

  /** http-proxy-3 reports an error of either side, perhaps more than once. */
  #failed(error: Error): void {
    if (this.#state === "asking") this.#fail(error);
    else if (this.#state === "declined") this.#reset("upstream_reset");
  }

  #fail(error: Error): void {
    if (this.#state !== "asking") return;
    this.enter("over");
    this.#early.stop();
    this.#outgoing?.destroy();
    this.#connection.discard();
    if (!this.#client.destroyed) this.#events.failed(error);
  }

  #podClosed(): void {
    this.#connection.discard();
    if (this.#state === "over") return;
    this.#client.end();
    this.#closeSoon();
  }

  #clientClosed(): void {
    this.enter("over");
    this.#outgoing?.destroy();
    this.#connection.discard();
  }

  #closeSoon(): void {
    if (this.#state !== "over") this.enter("closing");
  }

  #reset(reason: Reason): void {
    if (this.#state === "over") return;
    this.#events.cut(reason);
    this.enter("over");
    resetSocket(this.#client);
    this.#connection.discard();
  }
}

function hasLength(response: IncomingMessage): boolean {
  return firstValue(response.rawHeaders, "content-length") !== undefined;
}

/** Gives http-proxy-3 the connection that belongs to the incarnation, in place of one of its own. */
class OneSocketAgent extends Agent {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ keepAlive: false });
    this.#socket = socket;
  }

  override createConnection(): Socket {
    return this.#socket;
  }
}
