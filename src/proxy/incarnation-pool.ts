import type { Clock, Milliseconds, TimerHandle } from "../clock.ts";
import type { EndReason, Incarnation } from "../routes/lookup.ts";
import { PodConnection } from "./pod-connection.ts";
import type { ConnectionHome, PodConnectionSettings } from "./pod-connection.ts";
import { openPodSocket } from "./pod-socket.ts";
import { UpstreamError } from "./upstream-error.ts";
import type { UpstreamObserver } from "./upstream-observer.ts";

/** Limits and times of the connections to one incarnation. */
export interface PoolSettings extends PodConnectionSettings {
  readonly connectTimeoutMs: Milliseconds;
  /** Connections at a time over all ports; those of tunnels are not counted. */
  readonly maxConnectionsPerSandbox: number;
  /** Requests that may wait for a connection. */
  readonly maxWaitingPerSandbox: number;
  /** How long a request waits for a connection. */
  readonly waitTimeoutMs: Milliseconds;
}

/** Who wants a connection. Callbacks may come before {@link IncarnationPool.lease} returns; they must not throw. */
export interface Lessee {
  /** The connection is the lessee's alone until it is released or discarded. */
  granted(connection: PodConnection): void;
  /** There will be none. */
  refused(error: UpstreamError): void;
  /** The incarnation ended; the connection that was granted is reset right after this call. */
  cut(error: UpstreamError): void;
}

/** What a connection is for. */
export interface LeaseOptions {
  readonly port: number;
  /** `kept`: an idle connection if there is one. `new`: never one that carried a request. `tunnel`: new, not counted. */
  readonly want: "kept" | "new" | "tunnel";
}

interface Waiter {
  readonly options: LeaseOptions;
  readonly lessee: Lessee;
  readonly timer: TimerHandle;
}

/**
 * The connections to one incarnation: `usable → ended`, and never back. While usable it opens, keeps, lends and
 * takes back connections, at most `maxConnectionsPerSandbox`, and lets requests above wait in order of arrival.
 * From its end on nothing is opened, lent or kept, whoever asks.
 */
export class IncarnationPool implements ConnectionHome {
  readonly #incarnation: Incarnation;
  readonly #settings: PoolSettings;
  readonly #observer: UpstreamObserver;
  readonly #clock: Clock;
  readonly #emptied: (pool: IncarnationPool) => void;
  /** By port; the most recently used is last. */
  readonly #idle = new Map<number, PodConnection[]>();
  readonly #leased = new Map<PodConnection, Lessee>();
  readonly #tunnels = new Set<PodConnection>();
  readonly #opening = new Map<Lessee, () => void>();
  readonly #waiting = new Set<Waiter>();
  /** Connections that count against the limit: opening, leased and idle. */
  #counted = 0;
  #keepIdle = true;
  #ended: EndReason | undefined;

  /** `emptied` is told, perhaps again and again, when the pool holds nothing. */
  constructor(
    incarnation: Incarnation,
    settings: PoolSettings,
    observer: UpstreamObserver,
    clock: Clock,
    emptied: (pool: IncarnationPool) => void,
  ) {
    this.#incarnation = incarnation;
    this.#settings = settings;
    this.#observer = observer;
    this.#clock = clock;
    this.#emptied = emptied;
  }

  get incarnation(): Incarnation {
    return this.#incarnation;
  }

  /** Nothing is open, opening or waiting. */
  get empty(): boolean {
    return (
      this.#counted === 0 && this.#leased.size === 0 && this.#opening.size === 0 && this.#waiting.size === 0
    );
  }

  /** Connections now, and requests that wait for one. */
  get stats(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    let idle = 0;
    for (const connections of this.#idle.values()) idle += connections.length;
    return { open: idle + this.#leased.size, idle, waiting: this.#waiting.size };
  }

  /** Asks for a connection. The returned function gives up the wish; after `granted` it does nothing. */
  lease(options: LeaseOptions, lessee: Lessee): () => void {
    if (this.#ended !== undefined) {
      lessee.refused(endedError(this.#incarnation, this.#ended));
      return () => {};
    }
    if (this.#serve(options, lessee)) return () => this.#cancelOpening(lessee);
    if (this.#waiting.size >= this.#settings.maxWaitingPerSandbox) {
      lessee.refused(
        new UpstreamError("overloaded", "too many requests wait for a connection to this sandbox"),
      );
      return () => {};
    }
    const waiter: Waiter = {
      options,
      lessee,
      timer: this.#clock.setTimeout(() => {
        this.#waiting.delete(waiter);
        lessee.refused(
          new UpstreamError(
            "overloaded",
            `no connection to this sandbox became free in ${this.#settings.waitTimeoutMs} ms`,
          ),
        );
        this.#tellIfEmpty();
      }, this.#settings.waitTimeoutMs),
    };
    this.#waiting.add(waiter);
    return () => {
      waiter.timer.clear();
      if (!this.#waiting.delete(waiter)) this.#cancelOpening(lessee);
      this.#tellIfEmpty();
    };
  }

  /** Gives a connection back after a complete exchange. It is kept if the pod and the pool keep it. */
  release(connection: PodConnection): void {
    if (!this.#leased.delete(connection)) return;
    if (this.#ended !== undefined || !this.#keepIdle || !connection.usable) {
      connection.destroy();
      return;
    }
    const { port } = connection.address;
    const idle = this.#idle.get(port);
    if (idle) idle.push(connection);
    else this.#idle.set(port, [connection]);
    this.#serveWaiting();
  }

  /** Closes a connection that must not be used again. */
  discard(connection: PodConnection): void {
    if (this.#leased.delete(connection)) connection.destroy();
  }

  /** Closes idle connections and keeps none from now on, until {@link keepAgain}. Requests under way are not touched. */
  retire(): void {
    this.#keepIdle = false;
    this.#closeIdle();
  }

  /** Undoes {@link retire}. */
  keepAgain(): void {
    this.#keepIdle = true;
  }

  /**
   * The end. Active connections are reset, unless the sandbox was only paused (design.md 3.3); then they are by a second
   * call, with what ended the pause.
   */
  end(reason: EndReason): void {
    if (this.#ended !== undefined && this.#ended !== "paused") return;
    this.#ended = reason;
    const error = endedError(this.#incarnation, reason);
    this.#closeIdle();
    for (const [lessee, cancel] of this.#opening) {
      cancel();
      lessee.refused(error);
    }
    this.#opening.clear();
    for (const waiter of this.#waiting) {
      waiter.timer.clear();
      waiter.lessee.refused(error);
    }
    this.#waiting.clear();
    if (reason === "paused") return;
    const leased = [...this.#leased];
    // From here on giving a connection back does nothing: it must be reset, not closed.
    this.#leased.clear();
    for (const [connection, lessee] of leased) {
      // Told first, so that it knows the reason when the socket's own error arrives.
      lessee.cut(error);
      this.#observer.reset(reason);
      connection.reset();
    }
  }

  /** Closes everything at once, for a router that exits. */
  close(): void {
    this.end("paused");
    for (const connection of this.#leased.keys()) connection.destroy();
  }

  /** Serves from what there is or by opening a connection; false when the limit is reached. */
  #serve(options: LeaseOptions, lessee: Lessee): boolean {
    if (options.want === "kept") {
      const kept = this.#takeIdle(options.port);
      if (kept) {
        this.#leased.set(kept, lessee);
        this.#observer.reused();
        lessee.granted(kept);
        return true;
      }
    }
    if (options.want !== "tunnel" && this.#counted >= this.#settings.maxConnectionsPerSandbox) {
      if (!this.#closeOneIdle()) return false;
    }
    this.#open(options, lessee);
    return true;
  }

  #serveWaiting(): void {
    for (const waiter of this.#waiting) {
      if (this.#ended !== undefined || !this.#serve(waiter.options, waiter.lessee)) return;
      waiter.timer.clear();
      this.#waiting.delete(waiter);
    }
  }

  #open(options: LeaseOptions, lessee: Lessee): void {
    const address = { ip: this.#incarnation.ip, port: options.port };
    const isTunnel = options.want === "tunnel";
    if (!isTunnel) this.#counted += 1;
    const cancel = openPodSocket(
      address,
      this.#settings.connectTimeoutMs,
      this.#clock,
      (socket, tookMs) => {
        this.#opening.delete(lessee);
        this.#observer.connected(tookMs);
        const connection = new PodConnection(address, socket, tookMs, this.#settings, this);
        if (isTunnel) this.#tunnels.add(connection);
        socket.once("close", () => this.#forget(connection));
        this.#leased.set(connection, lessee);
        lessee.granted(connection);
      },
      (error) => {
        this.#opening.delete(lessee);
        this.#observer.connectFailed(error.code);
        if (!isTunnel) this.#counted -= 1;
        lessee.refused(error);
        this.#serveWaiting();
        this.#tellIfEmpty();
      },
    );
    this.#opening.set(lessee, () => {
      cancel();
      if (!isTunnel) this.#counted -= 1;
    });
  }

  #cancelOpening(lessee: Lessee): void {
    const cancel = this.#opening.get(lessee);
    if (!cancel) return;
    this.#opening.delete(lessee);
    cancel();
    this.#serveWaiting();
    this.#tellIfEmpty();
  }

  #takeIdle(port: number): PodConnection | undefined {
    const idle = this.#idle.get(port);
    for (;;) {
      const connection = idle?.pop();
      if (!connection || connection.usable) return connection;
    }
  }

  #closeIdle(): void {
    for (const connections of this.#idle.values()) for (const connection of connections) connection.destroy();
    this.#idle.clear();
  }

  /** Makes room for a connection to another port. */
  #closeOneIdle(): boolean {
    for (const [port, connections] of this.#idle) {
      const oldest = connections.shift();
      if (connections.length === 0) this.#idle.delete(port);
      if (oldest) {
        oldest.destroy();
        return true;
      }
    }
    return false;
  }

  /** Its socket is closed, whoever closed it. */
  #forget(connection: PodConnection): void {
    this.#leased.delete(connection);
    const { port } = connection.address;
    const idle = this.#idle.get(port);
    const at = idle?.indexOf(connection) ?? -1;
    if (idle && at >= 0) {
      idle.splice(at, 1);
      if (idle.length === 0) this.#idle.delete(port);
    }
    if (!this.#tunnels.delete(connection)) this.#counted -= 1;
    this.#observer.closed();
    this.#serveWaiting();
    this.#tellIfEmpty();
  }

  #tellIfEmpty(): void {
    if (this.empty) this.#emptied(this);
  }
}

/** What a request is told whose incarnation has ended. */
export function endedError(incarnation: Incarnation, reason: EndReason): UpstreamError {
  return new UpstreamError("incarnation_ended", `incarnation ${incarnation.number} ended: ${reason}`);
}
