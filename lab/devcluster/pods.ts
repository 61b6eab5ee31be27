import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { WebSocketServer } from "ws";
import type { Milliseconds } from "../../src/system/clock.ts";
import { IpAllocator, PodAddressError } from "./ip-allocator.ts";
import { answerAsPod, type PodIdentity } from "./pod-handler.ts";

/** Ports of a sandbox: the runtime's own (envd) and a typical application's. */
const DEFAULT_POD_PORTS: readonly number[] = [49983, 3000];

/** An echo that waits for its reader stops reading beyond this. */
const MAX_ECHO_BYTES = 1024 * 1024;

/** How pods are made. */
export interface PodsOptions {
  /** First address of the range. Default 127.0.64.1. */
  readonly firstIp?: string;
  /** Size of the range, so how many pods can live at once. Default 64. */
  readonly ipCount?: number;
  /** What every pod listens on. Default 49983 and 3000. */
  readonly ports?: readonly number[];
}

/** Who lives in a new pod. `sandboxId` may change while it lives: a pooled sandbox gets its ID when it is claimed. */
export type PodTenant = Omit<PodIdentity, "ip">;

/**
 * A pod: HTTP and WebSocket servers on an address of its own. It says who it is in every answer
 * ({@link answerAsPod}); a WebSocket is first sent its identity as JSON, then everything it sends comes back.
 */
export class Pod {
  readonly ip: string;
  readonly uid: string;
  readonly ports: readonly number[];
  readonly #servers: Server[];
  readonly #sockets = new Set<Socket>();
  readonly #webSockets: WebSocketServer;
  #tenant: PodTenant;
  #served = 0;

  private constructor(tenant: PodTenant, ip: string, ports: readonly number[], webSockets: WebSocketServer) {
    this.#tenant = tenant;
    this.uid = tenant.podUid;
    this.ip = ip;
    this.ports = ports;
    this.#webSockets = webSockets;
    this.#servers = ports.map(() => this.#makeServer());
  }

  /** Listens on every port of `ip`, or on none and rejects. `ws` is imported here, not before it is needed. */
  static async start(tenant: PodTenant, ip: string, ports: readonly number[]): Promise<Pod> {
    const { WebSocketServer } = await import("ws");
    const pod = new Pod(
      tenant,
      ip,
      ports,
      new WebSocketServer({ noServer: true, maxPayload: 64 * 1024 * 1024 }),
    );
    // All settled, since a server that has not begun to listen yet can't be closed.
    const starts = await Promise.allSettled(
      pod.#servers.map((server, i) => listen(server, ip, ports[i] ?? 0)),
    );
    const failure = starts.find((start) => start.status === "rejected");
    if (failure) {
      await pod.kill();
      throw failure.reason;
    }
    return pod;
  }

  /** Who the pod says it is. */
  get identity(): PodIdentity {
    return { ...this.#tenant, ip: this.ip };
  }

  /** Requests and WebSockets answered so far. */
  get served(): number {
    return this.#served;
  }

  /** Open connections. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** From now on the pod says this ID. */
  setSandboxId(sandboxId: string): void {
    this.#tenant = { ...this.#tenant, sandboxId };
  }

  /** Resets every connection and closes the ports, as when a pod's network goes. */
  async kill(): Promise<void> {
    // Before the servers are closed: since Node 26 that ends connections without a request in good order.
    for (const socket of this.#sockets) socket.resetAndDestroy();
    const closed = this.#servers.map(close);
    await Promise.all(closed);
  }

  /** Takes no new connection, lets requests end for at most `graceMs`, then kills. */
  async shutdown(graceMs: Milliseconds): Promise<void> {
    const timer = setTimeout(() => void this.kill(), graceMs);
    const closed = this.#servers.map(close);
    for (const webSocket of this.#webSockets.clients) webSocket.close(1001);
    await Promise.all(closed);
    clearTimeout(timer);
  }

  #makeServer(): Server {
    // No limits of time: what a proxy does with slow streams is what is to be seen.
    const server = createServer({ requestTimeout: 0, keepAliveTimeout: 0 }, (request, response) => {
      this.#served++;
      response.on("error", () => response.destroy());
      answerAsPod(request, response, this.identity).catch(() => response.destroy());
    });
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    return server;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => socket.destroy());
    this.#served++;
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("error", () => webSocket.terminate());
      const { identity } = this;
      webSocket.send(JSON.stringify({ ...identity, path: request.url, host: request.headers.host }));
      webSocket.on("message", (data, isBinary) => {
        // A client that sends and never reads must not fill this process.
        if (webSocket.bufferedAmount > MAX_ECHO_BYTES) webSocket.pause();
        webSocket.send(data, { binary: isBinary }, () => {
          if (webSocket.isPaused && webSocket.bufferedAmount <= MAX_ECHO_BYTES) webSocket.resume();
        });
      });
    });
  }
}

/** The pods of the cluster and their addresses, which are given again as soon as a pod has died. */
export class Pods {
  readonly ports: readonly number[];
  readonly #addresses: IpAllocator;
  readonly #ipCount: number;
  readonly #living = new Set<Pod>();

  constructor(options: PodsOptions = {}) {
    this.ports = options.ports ?? DEFAULT_POD_PORTS;
    this.#ipCount = options.ipCount ?? 64;
    this.#addresses = new IpAllocator(options.firstIp ?? "127.0.64.1", this.#ipCount);
  }

  /** The pods that live. */
  get living(): ReadonlySet<Pod> {
    return this.#living;
  }

  /** The pod at an address, if one lives there. */
  at(ip: string): Pod | undefined {
    return [...this.#living].find((pod) => pod.ip === ip);
  }

  /**
   * Starts a pod on a free address. Addresses whose ports another program has are passed over.
   * @throws PodAddressError when no address is free, or what `listen` failed with
   */
  async start(tenant: PodTenant): Promise<Pod> {
    for (let attempt = 1; ; attempt++) {
      const ip = this.#addresses.allocate();
      try {
        const pod = await Pod.start(tenant, ip, this.ports);
        this.#living.add(pod);
        return pod;
      } catch (error) {
        this.#addresses.releaseUnusable(ip);
        const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
        if (!isTaken) throw error;
        if (attempt >= this.#ipCount) {
          throw new PodAddressError("every free pod address is used by another program", { cause: error });
        }
      }
    }
  }

  /** Ends a pod: at once, or within `graceMs`. Its address is free when the promise resolves. */
  async stop(pod: Pod, graceMs?: Milliseconds): Promise<void> {
    if (!this.#living.delete(pod)) return;
    await (graceMs === undefined ? pod.kill() : pod.shutdown(graceMs));
    this.#addresses.release(pod.ip);
  }

  /** Kills all. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#living].map((pod) => this.stop(pod)));
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function close(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
