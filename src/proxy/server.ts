import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, Server as HttpServer, ServerResponse } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Duplex } from "node:stream";

import { systemClock } from "../clock.ts";
import type { Clock, Milliseconds } from "../clock.ts";
import { silentLog } from "../log.ts";
import type { Log } from "../log.ts";
import type { RouteLookup } from "../routes/lookup.ts";
import { ClientConnections } from "./client-connections.ts";
import { ConnectionLimits } from "./connection-limits.ts";
import { FastLane } from "./fast-lane.ts";
import { handleRequest } from "./full-lane.ts";
import { closeWithReply } from "./raw-reply.ts";
import { RefusalLog } from "./refusal-log.ts";
import { refuseUnparsed } from "./unparsed-request.ts";
import { requestIdOf } from "./request-id.ts";
import type { RequestObserver } from "./request-record.ts";
import { replyFor } from "./reply.ts";
import { resetSocket } from "./reset-socket.ts";
import type { TargetParser } from "./target.ts";
import { upgradeRequestOf } from "./upgrade-request.ts";
import { handleUpgrade } from "./upgrade-lane.ts";
import type { UpgradeLaneOptions } from "./upgrade-lane.ts";
import type { Upstreams } from "./upstreams.ts";
import type { VerdictOptions } from "./verdict.ts";

/** Who is told of requests and client connections. Called synchronously; must not throw. */
export interface ProxyObserver {
  /** A request's head arrived, or something in its place that can't be parsed. Exactly one `requestEnded` follows. */
  requestStarted?(): void;
  readonly requestEnded?: RequestObserver;
  /** A client connection was refused, since there were `maxConnections` or `maxConnectionsPerAddress`. */
  connectionDropped?(): void;
}

/** Options of {@link createProxyServer}. Times are in milliseconds. */
export interface ProxyServerOptions {
  /** Port 0 takes a free one; without a host, all interfaces. */
  readonly listen: {
    readonly host?: string | undefined;
    readonly port: number;
    /** Other processes that ask for the same may listen on the port too; the system spreads connections. Default false. */
    readonly reusePort?: boolean;
  };
  readonly routes: RouteLookup;
  readonly parseTarget: TargetParser;
  readonly verdict: VerdictOptions;
  /** Not closed by the server: it may outlive it. */
  readonly upstreams: Upstreams;
  /** From a request's last byte to the pod's response head; then 504. 0: no limit. Default 600,000. */
  readonly firstByteTimeoutMs?: Milliseconds;
  /** Longest silence of a request, a response or a tunnel, both directions counted. 0: no limit. Default 600,000. */
  readonly idleTimeoutMs?: Milliseconds;
  /** From an upgrade request to the pod's answer; then 504. 0: no limit. Default 30,000. */
  readonly handshakeTimeoutMs?: Milliseconds;
  /** How long one side of a WebSocket may take to close after the other did. Default 5,000. */
  readonly closeTimeoutMs?: Milliseconds;
  /** When a connection that does not begin its request is thrown away (see `Exchange`). Default 1,000. */
  readonly wedgeTimeoutMs?: Milliseconds;
  /** How long a client may take to send a request's head; then 408. Default 10,000. */
  readonly headerTimeoutMs?: Milliseconds;
  /** How long an idle client connection is kept. Default 75,000. */
  readonly keepAliveTimeoutMs?: Milliseconds;
  /** Size of a request's head; above, 431. Default 65,536. */
  readonly maxHeaderBytes?: number;
  /** Client connections at a time; more are told 503 (`overloaded`) and closed. Default 20,000. */
  readonly maxConnections?: number;
  /** The same for connections from one address; 0: no limit. Default 10,000. */
  readonly maxConnectionsPerAddress?: number;
  /** Requests on one client connection; the last is answered with `Connection: close`. 0: no limit. Default 100,000. */
  readonly maxRequestsPerConnection?: number;
  /** Off: every request goes through the full lane. The same comes out, at several times the cost. Default on. */
  readonly fastLane?: boolean;
  /** See `RequestForwarding.trustForwarded`. Default false. */
  readonly trustForwarded?: boolean;
  readonly observer?: ProxyObserver;
  readonly clock?: Clock;
  readonly log?: Log;
}

/** The server that clients talk to. */
export interface ProxyServer {
  /** Begins to accept; rejects when it can't (`EADDRINUSE` and so on). */
  listen(): Promise<AddressInfo>;
  /**
   * The last part of an ordered end (design.md 5): accepts no more, asks clients to close (`Connection: close`),
   * closes idle connections, tells WebSockets 1001, and resolves when all are gone, or cuts what is left after
   * `timeoutMs`. A second call changes nothing and resolves with the first.
   */
  drain(timeoutMs: Milliseconds): Promise<void>;
  /** Cuts everything at once and resolves when it is gone. */
  close(): Promise<void>;
  /** Client connections now, and those of them that are tunnels. */
  readonly connections: { readonly open: number; readonly tunnels: number };
}

/** Requests of one connection that wait for their turn; when there are more, reading pauses. */
const MAX_PIPELINED = 100;
/** Connections above the limit that are told so at a time; more are closed without a word. */
const MAX_REFUSED_AT_ONCE = 1000;
/** The errors of accepting are told at most once in this time: without file descriptors there are thousands. */
const ACCEPT_ERROR_INTERVAL_MS = 1000;

/** Makes the server; nothing is opened before {@link ProxyServer.listen}. */
export function createProxyServer(options: ProxyServerOptions): ProxyServer {
  return new HttpProxyServer(options);
}

class HttpProxyServer implements ProxyServer {
  readonly #options: ProxyServerOptions;
  readonly #lane: UpgradeLaneOptions;
  readonly #clock: Clock;
  readonly #listener: Server;
  readonly #fast: FastLane;
  /** The full lane. Never listens: connections are handed to it. */
  readonly #http: HttpServer;
  readonly #clients = new ClientConnections();
  readonly #limits: ConnectionLimits;
  /** Broken requests were answered; what follows on these connections is not looked at. */
  readonly #broken = new WeakSet<Socket>();
  #port: number | undefined;
  #refused = 0;
  #acceptErrorToldMs = -ACCEPT_ERROR_INTERVAL_MS;
  #closed: Promise<void> | undefined;
  #draining = false;

  constructor(options: ProxyServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const log = options.log ?? silentLog;
    this.#lane = {
      routes: options.routes,
      parseTarget: options.parseTarget,
      verdict: options.verdict,
      upstreams: options.upstreams,
      clock: this.#clock,
      log,
      refusals: new RefusalLog(log, this.#clock),
      firstByteTimeoutMs: options.firstByteTimeoutMs ?? 600_000,
      idleTimeoutMs: options.idleTimeoutMs ?? 600_000,
      handshakeTimeoutMs: options.handshakeTimeoutMs ?? 30_000,
      closeTimeoutMs: options.closeTimeoutMs ?? 5_000,
      wedgeTimeoutMs: options.wedgeTimeoutMs ?? 1_000,
      trustForwarded: options.trustForwarded ?? false,
      draining: () => this.#draining,
      observer: (record) => options.observer?.requestEnded?.(record),
    };
    const headerTimeoutMs = options.headerTimeoutMs ?? 10_000;
    const keepAliveTimeoutMs = options.keepAliveTimeoutMs ?? 75_000;
    const maxHeaderBytes = options.maxHeaderBytes ?? 65_536;
    const maxRequestsPerConnection = options.maxRequestsPerConnection ?? 100_000;
    this.#limits = new ConnectionLimits({
      maxConnections: options.maxConnections ?? 20_000,
      maxConnectionsPerAddress: options.maxConnectionsPerAddress ?? 10_000,
    });
    this.#fast = new FastLane({
      ...this.#lane,
      headerTimeoutMs,
      keepAliveTimeoutMs,
      maxHeaderBytes,
      maxRequestsPerConnection,
      listenPort: () => this.#port,
      requestStarted: () => options.observer?.requestStarted?.(),
      handOver: (socket) => this.#http.emit("connection", socket),
    });
    this.#http = createHttpServer({
      insecureHTTPParser: false,
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: headerTimeoutMs,
      // Node looks for late heads in this rhythm.
      connectionsCheckingInterval: Math.max(50, Math.min(1000, headerTimeoutMs / 4)),
      // Long uploads are no fault; silent ones are cut by idleTimeoutMs.
      requestTimeout: 0,
      keepAliveTimeout: keepAliveTimeoutMs,
      // A missing Host is answered like every other unusable target.
      requireHostHeader: false,
      shouldUpgradeCallback: (request) => this.#mayUpgrade(request),
    });
    this.#http.timeout = this.#lane.idleTimeoutMs;
    // Node would drop fields above 2,000 without a word; their size is limited already.
    this.#http.maxHeadersCount = 0;
    this.#http.maxRequestsPerSocket = maxRequestsPerConnection;
    this.#listenToHttp();
    this.#listener = createServer(
      // A client may end its side while it waits for the answer.
      { allowHalfOpen: true },
      (socket) => this.#onConnection(socket),
    );
  }

  get connections(): { readonly open: number; readonly tunnels: number } {
    return { open: this.#limits.open, tunnels: this.#clients.tunnels };
  }

  listen(): Promise<AddressInfo> {
    const { host, port, reusePort = false } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen({ port, reusePort, ...(host === undefined ? {} : { host }) }, () => {
        this.#listener.off("error", reject);
        this.#listener.on("error", (error) => this.#onAcceptError(error));
        // Without it node:http does not look for late heads.
        this.#http.emit("listening");
        const address = this.#listener.address() as AddressInfo;
        this.#port = address.port;
        resolve(address);
      });
    });
  }

  async drain(timeoutMs: Milliseconds): Promise<void> {
    if (!this.#draining) {
      this.#draining = true;
      const closed = this.#stopAccepting();
      this.#http.closeIdleConnections();
      this.#clients.drain();
      this.#fast.drain();
      const deadline = this.#clock.setTimeout(() => this.#cut(), timeoutMs);
      void closed.then(() => deadline.clear());
    }
    await this.#closed;
  }

  async close(): Promise<void> {
    this.#draining = true;
    const closed = this.#stopAccepting();
    this.#cut();
    await closed;
  }

  #cut(): void {
    this.#clients.cut();
    this.#fast.cut();
  }

  /** Resolves when every connection is gone too. */
  #stopAccepting(): Promise<void> {
    this.#closed ??= this.#listener.listening
      ? new Promise<void>((resolve) => {
          this.#listener.close(() => resolve());
        }).then(() => {
          // Ends its own timer.
          this.#http.close();
        })
      : Promise.resolve();
    return this.#closed;
  }

  #onConnection(socket: Socket): void {
    if (this.#draining) {
      socket.destroy();
    } else if (this.#limits.admit(socket) !== "admitted") {
      this.#refuseConnection(socket);
    } else if (this.#options.fastLane === false) {
      socket.setNoDelay(true);
      this.#http.emit("connection", socket);
    } else {
      this.#fast.add(socket);
    }
  }

  /** Tells a client that there are too many, as long as they are not too many to be told. */
  #refuseConnection(socket: Socket): void {
    this.#options.observer?.connectionDropped?.();
    socket.on("error", () => {});
    if (this.#refused >= MAX_REFUSED_AT_ONCE) {
      socket.destroy();
      return;
    }
    this.#refused += 1;
    socket.once("close", () => {
      this.#refused -= 1;
    });
    closeWithReply(socket, replyFor("overloaded", { method: "", requestId: requestIdOf([]) }), this.#clock);
  }

  #onAcceptError(error: Error): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#acceptErrorToldMs < ACCEPT_ERROR_INTERVAL_MS) return;
    this.#acceptErrorToldMs = nowMs;
    this.#lane.log.error("accepting a connection failed", { error: error.message });
  }

  #listenToHttp(): void {
    const server = this.#http;
    server.on("connection", (socket: Socket) => this.#clients.add(socket));
    server.on("request", (request, response) => this.#onRequest(request, response, false));
    server.on("checkContinue", (request, response) => this.#onRequest(request, response, true));
    // Other expectations may be ignored (RFC 9110 10.1.1).
    server.on("checkExpectation", (request, response) => this.#onRequest(request, response, false));
    server.on("upgrade", (request, socket, head) => this.#onUpgrade(request, socket, head));
    server.on("connect", (request, socket) => this.#onConnect(request, socket));
    server.on("timeout", (socket) => this.#onSilence(socket));
    server.on("clientError", (error, socket) => this.#onClientError(error, socket));
  }

  #onRequest(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    this.#options.observer?.requestStarted?.();
    const { socket } = request;
    const { inFlight } = this.#clients.of(socket);
    const handled = handleRequest(request, response, this.#lane, expectsContinue);
    inFlight.add(handled);
    response.once("close", () => {
      inFlight.delete(handled);
      this.#onAnswered(socket);
    });
    // Pipelined requests wait for each other: what one does may decide what the next finds (RFC 9112 9.3.2).
    if (inFlight.size === 1) handled.begin();
    else if (inFlight.size > MAX_PIPELINED) socket.pause();
  }

  #onAnswered(socket: Socket): void {
    // Nothing more can be answered after a `Connection: close`.
    if (!socket.writable) return;
    const { inFlight, whenIdle } = this.#clients.of(socket);
    if (inFlight.size === MAX_PIPELINED) socket.resume();
    const [next] = inFlight;
    // A moment later, when the pod's connection has been given back and can be used for it.
    if (next) queueMicrotask(() => next.begin());
    else whenIdle?.();
  }

  /** Not behind a request that is still being answered: both would write to the connection. */
  #mayUpgrade(request: IncomingMessage): boolean {
    return upgradeRequestOf(request) !== undefined && this.#clients.of(request.socket).inFlight.size === 0;
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#options.observer?.requestStarted?.();
    const client = socket as Socket;
    client.setTimeout(0);
    const upgrade = upgradeRequestOf(request) ?? { protocols: "", isWebSocket: false };
    const connection = this.#clients.of(client);
    connection.tunnel = handleUpgrade(request, client, head, upgrade, this.#lane);
  }

  #onConnect(request: IncomingMessage, socket: Duplex): void {
    const client = socket as Socket;
    client.on("error", () => {});
    const connection = this.#clients.of(client);
    const refuse = () => {
      this.#options.observer?.requestStarted?.();
      refuseUnparsed(client, "bad_request", "CONNECT is not supported", this.#lane, request);
    };
    if (connection.inFlight.size > 0) connection.whenIdle = refuse;
    else refuse();
  }

  /** Nothing was read from or written to a connection for long: `keepAliveTimeoutMs` if idle, else `idleTimeoutMs`. */
  #onSilence(socket: Socket): void {
    const [answering] = this.#clients.of(socket).inFlight;
    if (!answering) {
      socket.destroy();
      return;
    }
    // A client that does not take its responses, even when the pod or we are done with them. Of all other silence
    // the request under way knows whose fault it is.
    if (socket.writableLength === 0) return;
    resetSocket(socket);
    answering.fail("request_timeout");
  }

  #onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    const client = socket as Socket;
    if (this.#broken.has(client)) return;
    this.#broken.add(client);
    if (!client.writable || error.code === "ECONNRESET") {
      client.destroy();
      return;
    }
    const reason =
      error.code === "HPE_HEADER_OVERFLOW"
        ? "headers_too_large"
        : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? "request_timeout"
          : "bad_request";
    const message = "the request is not valid HTTP/1.1";
    const connection = this.#clients.of(client);
    const refuse = () => {
      this.#options.observer?.requestStarted?.();
      refuseUnparsed(client, reason, message, this.#lane);
    };
    const receiving = [...connection.inFlight].filter((each) => each.receiving);
    // What is wrong is the body of a request that was being received, else what came after complete requests.
    if (receiving.length > 0) for (const each of receiving) each.fail(reason, message);
    else if (connection.inFlight.size > 0) connection.whenIdle = refuse;
    else if (client.bytesRead === 0) client.destroy();
    else refuse();
  }
}
