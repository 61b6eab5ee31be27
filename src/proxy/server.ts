import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { addressIn } from "../system/cidrs.ts";
import { remoteAddressOf } from "../system/ip-address.ts";
import { systemClock } from "../system/clock.ts";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { silentLog } from "../system/log.ts";
import { PacedLog } from "../system/paced-log.ts";
import { openListener } from "../system/listener.ts";
import { acceptedOf, noteAccepted } from "./client/accepted.ts";
import type { AcceptedConnection } from "./client/accepted.ts";
import { awaitProxyHeader } from "./client/read-proxy-header.ts";
import type { HeaderRead } from "./client/read-proxy-header.ts";
import { ConnectionLimits } from "./limits/connection-limits.ts";
import type { ConnectionLimitOptions } from "./limits/connection-limits.ts";
import { FastLane } from "./fast/fast-lane.ts";
import type { FullLaneServer, FullLaneServerOptions } from "./full/full-lane-server.ts";
import type { H2Lane } from "./h2/h2-lane.ts";
import type { LaneOptions } from "./passage/lane.ts";
import { RefusedConnections } from "./limits/refused-connections.ts";
import { refuseUnparsed } from "./full/unparsed-request.ts";
import { NotAdmitted } from "./passage/admission.ts";
import { nameUnread } from "./passage/unread-bytes.ts";
import { TlsAcceptor } from "./tls/tls-acceptor.ts";
import type { TlsMaterial } from "./tls/tls-acceptor.ts";
import { Transport } from "./transport/transport.ts";
import { laneOptionsOf } from "./lane-options.ts";
import type { ProxyServer, ProxyServerOptions, ProxyTlsOptions } from "./server-options.ts";
/** Connections above a limit that are told so at a time, if this is not above a tenth of `maxConnections`. */
const MAX_REFUSED_AT_ONCE = 1000;
/** The errors of accepting are told at most once in this time: without file descriptors there are thousands. */
const ACCEPT_ERROR_INTERVAL_MS = 1000;

/** What a client is told of its certificate (`tls.clientAuth`). */
const CERTIFICATE_REFUSALS = {
  missing: "a client certificate is required, and none was sent",
  invalid: "the client certificate is not valid here: expired, or not signed by a CA that is trusted",
} as const;

/**
 * Makes the server; nothing is opened before {@link ProxyServer.listen}.
 *
 * @example
 * ```ts
 * import { configFrom } from "../config/load.ts";
 * import { createRouterAccess } from "../router/router-access.ts";
 * import { tableOptionsOf } from "../router/table-options.ts";
 * import { RouteTable } from "../routes/table.ts";
 * import { systemClock } from "../system/clock.ts";
 * import { silentLog } from "../system/log.ts";
 * import { createProxyServer } from "./server.ts";
 * import { createTargetParser } from "./target/target.ts";
 * import { Upstreams } from "./upstream/upstreams.ts";
 *
 * const config = configFrom({ source: "none" });
 * const table = new RouteTable(tableOptionsOf(config));
 * const upstreams = new Upstreams(config.upstream);
 * table.addListener(upstreams);
 * const server = createProxyServer({
 *   ...config.client,
 *   http2: config.http2,
 *   firstByteTimeoutMs: config.upstream.firstByteTimeoutMs,
 *   idleTimeoutMs: config.upstream.idleTimeoutMs,
 *   listen: { host: "127.0.0.1", port: 0 },
 *   routes: table,
 *   parseTarget: createTargetParser(config.target),
 *   access: createRouterAccess({ config, clock: systemClock, log: silentLog }).gate,
 *   upstreams,
 * });
 * const { port } = await server.listen();
 * const { status, headers } = await fetch(`http://127.0.0.1:${port}/kruise/box/8080/`);
 * console.log(status, headers.get("x-lychgate-reason"));
 * // 502 sandbox_not_found
 * await server.close();
 * upstreams.close();
 * ```
 */
export function createProxyServer(options: ProxyServerOptions): ProxyServer {
  return new HttpProxyServer(options);
}

/** Resolves when a server has closed, and all its connections with it. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

class HttpProxyServer implements ProxyServer {
  readonly #options: ProxyServerOptions;
  readonly #lane: LaneOptions;
  readonly #clock: Clock;
  readonly #listener: Server;
  readonly #tls: { readonly listener: Server; readonly acceptor: TlsAcceptor } | undefined;
  readonly #sendsProxyHeader: ((address: string) => boolean) | undefined;
  readonly #transport = new Transport();
  readonly #fast: FastLane;
  readonly #fullOptions: FullLaneServerOptions;
  #full: FullLaneServer | undefined;
  /** Loaded when a first client speaks HTTP/2; those that come meanwhile wait. */
  #h2: H2Lane | undefined;
  readonly #h2Waiting = new Map<Socket, NotAdmitted | undefined>();
  readonly #limits: ConnectionLimits;
  readonly #refused: RefusedConnections;
  readonly #acceptErrors: PacedLog;
  #closed: Promise<void> | undefined;
  #draining = false;

  constructor(options: ProxyServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const log = options.log ?? silentLog;
    this.#acceptErrors = new PacedLog(log, this.#clock, ACCEPT_ERROR_INTERVAL_MS);
    this.#lane = laneOptionsOf(options, this.#clock, () => this.#draining);
    const maxConnections = options.maxConnections;
    this.#limits = new ConnectionLimits({
      maxConnections,
      maxConnectionsPerAddress: options.maxConnectionsPerAddress,
    });
    this.#refused = new RefusedConnections({
      maxAtOnce: Math.min(MAX_REFUSED_AT_ONCE, Math.ceil(maxConnections / 10) || Infinity),
      clock: this.#clock,
      log,
      refused: (limit) => options.observer?.connectionDropped?.(limit),
    });
    const shared = {
      ...this.#lane,
      headerTimeoutMs: options.headerTimeoutMs,
      keepAliveTimeoutMs: options.keepAliveTimeoutMs,
      maxHeaderBytes: options.maxHeaderBytes,
      maxRequestsPerConnection: options.maxRequestsPerConnection,
      requestStarted: () => options.observer?.requestStarted?.(),
    };
    this.#fullOptions = {
      ...shared,
      transport: this.#transport,
      handshakeTimeoutMs: options.handshakeTimeoutMs ?? 30_000,
      closeTimeoutMs: options.closeTimeoutMs ?? 5_000,
      wedgeTimeoutMs: options.wedgeTimeoutMs ?? 1_000,
    };
    this.#fast = new FastLane({
      ...shared,
      transport: this.#transport,
      handOver: (socket) => this.#handOver(socket),
      handOverHttp2: options.http2.enabled ? (socket) => this.#takeHttp2(socket) : undefined,
    });
    this.#listener = createServer(
      // A client may end its side while it waits for the answer.
      { allowHalfOpen: true },
      (socket) => this.#onConnection(socket, undefined),
    );
    const { tls, proxyProtocol = [] } = options;
    if (proxyProtocol.length > 0) this.#sendsProxyHeader = addressIn(proxyProtocol);
    if (tls) {
      const acceptor = this.#newAcceptor(tls);
      // A client that ends its side sends nothing more that matters, and waits for nothing that node:https would send.
      this.#tls = { acceptor, listener: createServer((socket) => this.#onConnection(socket, acceptor)) };
    }
  }

  get connections(): { readonly open: number; readonly tunnels: number } {
    return { open: this.#limits.open, tunnels: (this.#full?.tunnels ?? 0) + (this.#h2?.tunnels ?? 0) };
  }

  get tlsAddress(): AddressInfo | undefined {
    const address = this.#tls?.listener.address();
    return typeof address === "object" && address !== null ? address : undefined;
  }

  setTlsMaterial(material: TlsMaterial): void {
    this.#tls?.acceptor.change(material);
  }

  setConnectionLimits(limits: ConnectionLimitOptions): void {
    this.#limits.change(limits);
  }

  async listen(): Promise<AddressInfo> {
    // Here, and not with this module: who has workers serve needs none of it. And not with the first connection that it is
    // for: undici and http-proxy-3 take a quarter of a second, in which everybody would wait.
    const [{ FullLaneServer }] = await Promise.all([
      import("./full/full-lane-server.ts"),
      this.#prepareTransport(),
    ]);
    if (this.#draining) throw new Error("the server was drained before it listened");
    this.#full = new FullLaneServer(this.#fullOptions);
    if (this.#tls && this.#options.tls) {
      await openListener(this.#tls.listener, "TLS", this.#options.tls.listen);
      this.#tls.listener.on("error", (error) => this.#onAcceptError(error));
    }
    const { host, port, reusePort = false } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#listener.once("error", reject);
      this.#listener.listen({ port, reusePort, ...(host === undefined ? {} : { host }) }, () => {
        this.#listener.off("error", reject);
        this.#listener.on("error", (error) => this.#onAcceptError(error));
        this.#transport.accept(this.#listener);
        resolve(this.#listener.address() as AddressInfo);
      });
    });
  }

  async drain(timeoutMs: Milliseconds): Promise<void> {
    if (!this.#draining) {
      this.#draining = true;
      const closed = this.#stopAccepting();
      this.#tls?.acceptor.cut();
      this.#full?.drain();
      this.#fast.drain();
      this.#h2?.drain();
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
    this.#tls?.acceptor.cut();
    this.#full?.cut();
    this.#fast.cut();
    this.#h2?.cut();
    for (const socket of this.#h2Waiting.keys()) socket.destroy();
  }

  /** Resolves when every connection is gone too. */
  #stopAccepting(): Promise<void> {
    const listeners = [this.#listener, ...(this.#tls ? [this.#tls.listener] : [])].filter(
      ({ listening }) => listening,
    );
    this.#closed ??= Promise.all(listeners.map(closed)).then(() => this.#full?.close());
    return this.#closed;
  }

  #newAcceptor(tls: ProxyTlsOptions): TlsAcceptor {
    return new TlsAcceptor({
      ...tls,
      alpn: this.#options.http2.enabled ? ["h2", "http/1.1"] : ["http/1.1"],
      clock: this.#clock,
      ended: (result) => this.#options.observer?.handshakeEnded?.(result),
      secured: (socket, facts, transport) => {
        this.#serveAccepted(socket, { ...acceptedOf(transport), tls: facts, transport }, undefined);
      },
      refused: (socket, why, facts, transport) => {
        noteAccepted(socket, { ...acceptedOf(transport), tls: facts, transport });
        const refusal = new NotAdmitted("client_certificate", CERTIFICATE_REFUSALS[why]);
        if (facts.alpn === "h2") this.#takeHttp2(socket, refusal);
        else this.#refuseUnread(socket, refusal);
      },
      plain: (socket, bytes) => {
        const unread = nameUnread(bytes);
        const isHttp = unread.reason !== "proxy_protocol";
        this.#refuseUnread(socket, isHttp ? new NotAdmitted("plain_on_tls_port") : unread);
      },
    });
  }

  /** `socket` is paused. */
  #handOver(socket: Socket): void {
    this.#full?.take(socket);
    socket.resume();
  }

  /** `socket` does not flow. `refusal`: see `H2Lane.take`. */
  #takeHttp2(socket: Socket, refusal?: NotAdmitted): void {
    if (this.#h2 !== undefined) {
      this.#h2.take(socket, refusal);
      return;
    }
    const leave = () => this.#h2Waiting.delete(socket);
    socket.on("error", leave).once("close", leave);
    this.#h2Waiting.set(socket, refusal);
    if (this.#h2Waiting.size === 1) void this.#loadHttp2();
  }

  async #loadHttp2(): Promise<void> {
    const { H2Lane } = await import("./h2/h2-lane.ts");
    const lane = (this.#h2 ??= new H2Lane(
      { ...this.#fullOptions, http2: this.#options.http2 },
      this.#fast.shared,
    ));
    for (const [socket, refusal] of this.#h2Waiting) {
      if (!socket.destroyed) lane.take(socket, refusal);
    }
    this.#h2Waiting.clear();
  }

  async #prepareTransport(): Promise<void> {
    const { fastLane, sharedReadBuffer } = this.#options;
    const { reads, writes } = await this.#transport.prepare(fastLane === false ? "off" : sharedReadBuffer);
    if (sharedReadBuffer !== "on" || fastLane === false || (reads && writes)) return;
    this.#lane.log.warn(
      "client.sharedReadBuffer is on, but this Node can't do all of it; what is missing goes the documented way",
      {
        node: process.version,
        sharedReadBuffer: reads,
        directWrites: writes,
      },
    );
  }

  /** `tls`: who shakes hands first; absent on the plain listener. */
  #onConnection(socket: Socket, tls: TlsAcceptor | undefined): void {
    if (this.#draining) {
      socket.destroy();
      return;
    }
    if (this.#sendsProxyHeader?.(remoteAddressOf(socket)) === true) {
      this.#awaitClient(socket, tls);
      return;
    }
    const admitted = this.#limits.admit(socket);
    if (admitted !== "admitted") this.#refused.refuse(socket, admitted, tls !== undefined);
    else if (tls) tls.take(socket);
    else this.#serveAccepted(socket, { clientAddress: remoteAddressOf(socket) }, undefined);
  }

  /** A proxy is to say first whose connection it is. */
  #awaitClient(socket: Socket, tls: TlsAcceptor | undefined): void {
    const admitted = this.#limits.admitUnknown(socket);
    if (admitted !== "admitted") {
      this.#refused.refuse(socket, admitted, tls !== undefined);
      return;
    }
    awaitProxyHeader(socket, {
      clock: this.#clock,
      timeoutMs: this.#options.headerTimeoutMs,
      done: (read) => this.#onClientKnown(socket, tls, read),
    });
  }

  #onClientKnown(socket: Socket, tls: TlsAcceptor | undefined, { header, rest }: HeaderRead): void {
    if (this.#draining) {
      socket.destroy();
      return;
    }
    if (header.kind === "malformed") {
      const message = `the PROXY protocol header ${header.why}, and client.proxyProtocol names this proxy`;
      this.#refuseUnread(socket, new NotAdmitted("proxy_protocol", message));
      return;
    }
    const clientAddress = header.clientAddress ?? remoteAddressOf(socket);
    const admitted = this.#limits.assign(socket, clientAddress);
    if (admitted !== "admitted") {
      this.#refused.refuse(socket, admitted, tls !== undefined);
    } else if (tls) {
      noteAccepted(socket, { clientAddress });
      if (rest.length > 0) socket.unshift(rest);
      tls.take(socket);
    } else {
      noteAccepted(socket, { clientAddress });
      this.#serveAccepted(socket, { clientAddress }, rest);
    }
  }

  /**
   * Serves a connection whose client is known and whose handshake, if there is one, is done: plain, or by what ALPN has agreed on.
   * `first`: what was read of it already; it is paused then.
   */
  #serveAccepted(socket: Socket, accepted: AcceptedConnection, first: Buffer | undefined): void {
    if (accepted.tls) noteAccepted(socket, accepted);
    if (accepted.tls?.alpn === "h2") {
      this.#takeHttp2(socket);
    } else if (this.#options.fastLane === false) {
      socket.setNoDelay(true);
      socket.pause();
      if (first !== undefined && first.length > 0) socket.unshift(first);
      this.#handOver(socket);
    } else {
      this.#fast.add(socket, accepted, first);
    }
  }

  /** Answers what never became a request, and closes the connection. */
  #refuseUnread(socket: Socket, refusal: NotAdmitted): void {
    // Whoever is refused may leave in any way; unheard, the error would end the process.
    socket.on("error", () => {});
    this.#options.observer?.requestStarted?.();
    refuseUnparsed(socket, refusal, this.#lane);
  }

  #onAcceptError(error: Error): void {
    this.#acceptErrors.tell("error", "accepting a connection failed", () => ({ error: error.message }));
  }
}
