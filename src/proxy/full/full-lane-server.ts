import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import type { Milliseconds } from "../../system/clock.ts";
import { admit, MALFORMED_REQUEST, NotAdmitted } from "../passage/admission.ts";
import { ClientConnections } from "./client-connections.ts";
import { handleRequest } from "./full-lane.ts";
import type { LaneOptions } from "../passage/lane.ts";
import { podConnections } from "./pod-connection.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import { tracedRequest } from "../record/traced-request.ts";
import type { Transport } from "../transport/transport.ts";
import { tunnelConnections } from "./tunnel-connection.ts";
import { refuseUnparsed } from "./unparsed-request.ts";
import { nameUnread } from "../passage/unread-bytes.ts";
import { handleUpgrade } from "./upgrade-lane.ts";
import type { UpgradeLaneOptions } from "./upgrade-lane.ts";
import { upgradeRequestOf } from "./upgrade-request.ts";

/** What the full lane works with beside {@link LaneOptions}. */
export interface FullLaneServerOptions extends LaneOptions {
  /** From an upgrade request to the pod's answer. 0: no limit. */
  readonly handshakeTimeoutMs: Milliseconds;
  /** How long one side of a tunnel may take to close after the other did. */
  readonly closeTimeoutMs: Milliseconds;
  /** A connection that does not begin its request in this time is thrown away (see `Exchange`). */
  readonly wedgeTimeoutMs: Milliseconds;
  readonly headerTimeoutMs: Milliseconds;
  readonly keepAliveTimeoutMs: Milliseconds;
  readonly maxHeaderBytes: number;
  /** How bytes get from and to the sockets of tunnels. */
  readonly transport: Transport;
  /** 0: no limit. */
  readonly maxRequestsPerConnection: number;
  /** See `ProxyObserver.requestStarted`. */
  readonly requestStarted: () => void;
}

/** Requests of one connection that wait for their turn; when there are more, reading pauses. */
const MAX_PIPELINED = 100;

/**
 * The full lane: node:http in front, undici and http-proxy-3 behind. It never listens: connections are handed to it, with
 * what was read of them put back, and stay.
 */
export class FullLaneServer {
  readonly #lane: UpgradeLaneOptions;
  /** For the last request of a connection. */
  readonly #lastLane: UpgradeLaneOptions;
  readonly #maxRequestsPerConnection: number;
  readonly #requestStarted: () => void;
  readonly #server: Server;
  readonly #clients = new ClientConnections();
  /** Broken requests were answered; what follows on these connections is not looked at. */
  readonly #broken = new WeakSet<Socket>();

  constructor(options: FullLaneServerOptions) {
    const { headerTimeoutMs, keepAliveTimeoutMs, maxHeaderBytes } = options;
    this.#requestStarted = options.requestStarted;
    const { settings } = options.upstreams;
    this.#lane = {
      ...options,
      connections: podConnections(settings),
      tunnels: tunnelConnections(settings),
    };
    this.#lastLane = { ...this.#lane, draining: () => true };
    this.#maxRequestsPerConnection = options.maxRequestsPerConnection;
    this.#server = createServer({
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
    this.#server.timeout = this.#lane.idleTimeoutMs;
    // Node would drop fields above 2,000 without a word; their size is limited already.
    this.#server.maxHeadersCount = 0;
    this.#listenToServer();
    // Without it node:http does not look for late heads.
    this.#server.emit("listening");
  }

  /** Those that are tunnels. */
  get tunnels(): number {
    return this.#clients.tunnels;
  }

  /** Takes a connection, for good. */
  take(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Asks clients to close: idle connections are closed, tunnels told, responses carry `Connection: close` by then. */
  drain(): void {
    this.#server.closeIdleConnections();
    this.#clients.drain();
  }

  /** Cuts everything at once. */
  cut(): void {
    this.#clients.cut();
  }

  /** Ends its timers, when all connections are gone. */
  close(): void {
    this.#server.close();
  }

  #listenToServer(): void {
    const server = this.#server;
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
    const { socket } = request;
    const connection = this.#clients.of(socket);
    const { inFlight } = connection;
    connection.requests += 1;
    const left = this.#maxRequestsPerConnection - connection.requests;
    // Its limit of its own leaves node:http's connection open.
    if (this.#maxRequestsPerConnection > 0 && left < 0) {
      queueMicrotask(() => socket.pause());
      return;
    }
    this.#requestStarted();
    const lane = left === 0 ? this.#lastLane : this.#lane;
    const handled = handleRequest(request, response, lane, expectsContinue);
    inFlight.add(handled);
    response.once("close", () => {
      inFlight.delete(handled);
      this.#onAnswered(socket);
    });
    // Pipelined requests wait for each other: what one does may decide what the next finds (RFC 9112 9.3.2).
    if (inFlight.size === 1) handled.begin();
    else this.#holdBack(socket, inFlight);
  }

  /** Reads no more while too many wait. In a moment: node:http reads on after each message, and after each answer. */
  #holdBack(socket: Socket, inFlight: ReadonlySet<unknown>): void {
    if (inFlight.size <= MAX_PIPELINED) return;
    queueMicrotask(() => {
      if (inFlight.size > MAX_PIPELINED) socket.pause();
    });
  }

  #onAnswered(socket: Socket): void {
    // Nothing more can be answered after a `Connection: close`.
    if (!socket.writable) return;
    const { inFlight, whenIdle } = this.#clients.of(socket);
    if (inFlight.size === MAX_PIPELINED) socket.resume();
    else this.#holdBack(socket, inFlight);
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
    this.#requestStarted();
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
    const { head, protocol } = tracedRequest(request);
    const admitted = admit(head, protocol, this.#lane.viaPseudonym);
    // It never is: but if it were, there is nothing that could take it.
    const refusal = admitted instanceof NotAdmitted ? admitted : new NotAdmitted("method_not_allowed");
    const refuse = () => {
      this.#requestStarted();
      refuseUnparsed(client, refusal, this.#lane, request);
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

  #onClientError(error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket: Duplex): void {
    const client = socket as Socket;
    if (this.#broken.has(client)) return;
    this.#broken.add(client);
    if (!client.writable || error.code === "ECONNRESET") {
      client.destroy();
      return;
    }
    const refusal =
      error.code === "HPE_HEADER_OVERFLOW"
        ? new NotAdmitted("headers_too_large")
        : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? new NotAdmitted("request_timeout")
          : nameUnread(error.rawPacket ?? Buffer.alloc(0));
    const connection = this.#clients.of(client);
    const refuse = () => {
      this.#requestStarted();
      refuseUnparsed(client, refusal, this.#lane);
    };
    const receiving = [...connection.inFlight].filter((each) => each.receiving);
    // What is wrong is the body of a request that was being received, else what came after complete requests.
    if (receiving.length > 0) for (const each of receiving) each.fail("bad_request", MALFORMED_REQUEST);
    else if (connection.inFlight.size > 0) connection.whenIdle = refuse;
    else if (client.bytesRead === 0) client.destroy();
    else refuse();
  }
}
