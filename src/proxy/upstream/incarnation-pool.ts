import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { EndReason, Incarnation } from "../../routes/lookup.ts";
import { shareOfLimit } from "./client-share.ts";
import type { ConnectionHome, ConnectionKind, Holder, PooledConnection } from "./pooled-connection.ts";
import { UpstreamError } from "./upstream-error.ts";
import type { UpstreamObserver } from "./upstream-observer.ts";
import { type GraceSettings, RefusedGrace } from "./refused-grace.ts";
import { type Served, WaitingRequests, type WaitingSettings } from "./waiting-requests.ts";

/** Limits and times of the connections to one incarnation. */
export interface PoolSettings extends WaitingSettings, GraceSettings {
  readonly connectTimeoutMs: Milliseconds;
  /** Connections at a time over all ports; those of tunnels are not counted. */
  readonly maxConnectionsPerSandbox: number;
  /** Connections of tunnels at a time. */
  readonly maxTunnelsPerSandbox: number;
}

/** Who wants a connection. Callbacks may come before {@link IncarnationPool.lease} returns; they must not throw. */
export interface Lessee<C extends PooledConnection> extends Holder {
  /** The connection is the lessee's alone until it is released or discarded. */
  granted(connection: C): void;
  /** There will be none. */
  refused(error: UpstreamError): void;
}

/** What a connection is for. */
export interface LeaseOptions<C extends PooledConnection> {
  readonly kind: ConnectionKind<C>;
  readonly port: number;
  /** `kept`: an idle connection if there is one. `new`: never one that carried a request. `tunnel`: new, not counted. */
  readonly want: "kept" | "new" | "tunnel";
}

/**
 * The connections to one incarnation: `usable → ended`, and never back. While usable it opens, keeps, lends and
 * takes back connections, at most `maxConnectionsPerSandbox`, and lets requests above wait in order of arrival. No client
 * has more than its share of them, so that none can take the sandbox from all others: above it, its requests wait for one of
 * its own connections, and those behind them don't.
 * From its end on nothing is opened, lent or kept, whoever asks.
 */
export class IncarnationPool implements ConnectionHome {
  readonly #incarnation: Incarnation;
  readonly #settings: PoolSettings;
  readonly #observer: UpstreamObserver;
  readonly #clock: Clock;
  readonly #emptied: (pool: IncarnationPool) => void;
  readonly #outOfFiles: () => void;
  readonly #connectionShare: number;
  readonly #tunnelShare: number;
  /** The most recently used is last. */
  readonly #idle: PooledConnection[] = [];
  /** All that are open, idle and tunnels included. */
  readonly #connections = new Set<PooledConnection>();
  readonly #opening = new Map<PooledConnection, Lessee<PooledConnection>>();
  readonly #waiting: WaitingRequests;
  readonly #grace: RefusedGrace<Lessee<PooledConnection>, PooledConnection>;
  /** Connections that count against the limit: opening, leased and idle. */
  #counted = 0;
  #tunnelCount = 0;
  #keepIdle = true;
  #ended: EndReason | undefined;

  /**
   * `emptied` is told, perhaps again and again, when the pool holds nothing; `outOfFiles` when a connection could not be
   * opened since the process or the system has no file descriptor left.
   */
  constructor(
    incarnation: Incarnation,
    settings: PoolSettings,
    observer: UpstreamObserver,
    clock: Clock,
    emptied: (pool: IncarnationPool) => void,
    outOfFiles: () => void,
  ) {
    this.#incarnation = incarnation;
    this.#settings = settings;
    this.#observer = observer;
    this.#clock = clock;
    this.#emptied = emptied;
    this.#outOfFiles = outOfFiles;
    const { maxConnectionsPerSandbox, maxTunnelsPerSandbox, clientSharePercent } = settings;
    this.#connectionShare = shareOfLimit(maxConnectionsPerSandbox, clientSharePercent);
    this.#tunnelShare = shareOfLimit(maxTunnelsPerSandbox, clientSharePercent);
    this.#grace = new RefusedGrace(incarnation, settings, clock);
    this.#waiting = new WaitingRequests(settings, clock, () => this.#tellIfEmpty());
  }

  get incarnation(): Incarnation {
    return this.#incarnation;
  }

  /** Nothing is open, opening or waiting. */
  get empty(): boolean {
    const open = this.#connections.size + this.#opening.size;
    return open === 0 && this.#waiting.size === 0 && this.#grace.size === 0;
  }

  /** Connections now, and requests that wait for one. */
  get stats(): { readonly open: number; readonly idle: number; readonly waiting: number } {
    return { open: this.#connections.size, idle: this.#idle.length, waiting: this.#waiting.size };
  }

  /** Lends a kept connection, if there is one: the quick way, before {@link lease}. */
  take<C extends PooledConnection>(kind: ConnectionKind<C>, port: number, holder: Holder): C | undefined {
    if (this.#ended !== undefined || this.#hasItsShare(holder.client, false)) return undefined;
    const idle = this.#idle;
    for (let i = idle.length - 1; i >= 0; i--) {
      const connection = idle[i];
      if (connection === undefined || connection.address.port !== port || connection.kind !== kind) continue;
      if (i === idle.length - 1) idle.pop();
      else idle.splice(i, 1);
      if (!connection.usable) continue;
      connection.holder = holder;
      this.#observer.reused();
      // Of this kind, as was just compared.
      return connection as C;
    }
    return undefined;
  }

  /** Asks for a connection. The returned function gives up the wish; after `granted` it does nothing. */
  lease<C extends PooledConnection>(options: LeaseOptions<C>, lessee: Lessee<C>): () => void {
    if (this.#ended !== undefined) {
      lessee.refused(endedError(this.#incarnation, this.#ended));
      return () => {};
    }
    const served = this.#serve(options, lessee);
    if (served === "served") return () => this.#cancelOpening(lessee);
    const refusal = options.want === "tunnel" ? noTunnel(served) : this.#waiting.refusalFor(lessee.client);
    if (refusal !== undefined) {
      lessee.refused(new UpstreamError("overloaded", refusal));
      return () => {};
    }
    const waiter = this.#waiting.add(lessee, () => this.#serve(options, lessee));
    return () => {
      if (!this.#waiting.remove(waiter)) this.#cancelOpening(lessee);
      this.#tellIfEmpty();
    };
  }

  /** Gives a connection back after a complete exchange. It is kept if the pod and the pool keep it. */
  release(connection: PooledConnection): void {
    if (connection.holder === undefined) return;
    connection.holder = undefined;
    if (this.#ended !== undefined || !this.#keepIdle || !connection.usable) {
      connection.destroy();
      return;
    }
    this.#idle.push(connection);
    connection.rest();
    if (this.#waiting.size > 0) this.#serveWaiting();
  }

  /** Closes a connection that must not be used again. */
  discard(connection: PooledConnection): void {
    if (connection.holder === undefined) return;
    connection.holder = undefined;
    connection.destroy();
  }

  /** Closes idle connections and keeps none from now on, until {@link keepAgain}. Requests under way are not touched. */
  retire(): void {
    this.#keepIdle = false;
    this.closeIdle();
  }

  /** Closes what no request uses now. */
  closeIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** To be called when its settings were changed: a higher limit may let requests go on that wait. */
  limitsChanged(): void {
    this.#serveWaiting();
  }

  /** Undoes {@link retire}. */
  keepAgain(): void {
    this.#keepIdle = true;
  }

  /**
   * The end. Active connections are reset, unless the sandbox was only paused (docs/route-table.md#incarnations); then they
   * are by a second call, with what ended the pause.
   */
  end(reason: EndReason): void {
    if (this.#ended !== undefined && this.#ended !== "paused") return;
    this.#ended = reason;
    const error = endedError(this.#incarnation, reason);
    this.closeIdle();
    for (const [connection, lessee] of this.#opening) {
      this.#giveUpOpening(connection);
      lessee.refused(error);
    }
    for (const [lessee, { isTunnel }] of this.#grace.forgetAll()) {
      this.#count(isTunnel, -1);
      lessee.refused(error);
    }
    this.#waiting.refuseAll(error);
    if (reason === "paused") return;
    for (const connection of this.#connections) {
      const { holder } = connection;
      if (holder === undefined) continue;
      // From here on giving it back does nothing: it must be reset, not closed.
      connection.holder = undefined;
      // Told first, so that it knows the reason when the socket's own error arrives.
      holder.cut(error);
      this.#observer.reset(reason);
      connection.reset();
    }
  }

  /** Closes everything at once, for a router that exits. */
  close(): void {
    this.end("paused");
    for (const connection of this.#connections) connection.destroy();
  }

  /** Serves from what there is or by opening a connection. */
  #serve<C extends PooledConnection>(options: LeaseOptions<C>, lessee: Lessee<C>): Served {
    const { kind, port, want } = options;
    if (this.#hasItsShare(lessee.client, want === "tunnel")) return "share";
    if (want === "kept") {
      const kept = this.take(kind, port, lessee);
      if (kept) {
        lessee.granted(kept);
        return "served";
      }
    }
    if (want === "tunnel") {
      if (this.#tunnelCount >= this.#settings.maxTunnelsPerSandbox) return "full";
    } else if (this.#counted >= this.#settings.maxConnectionsPerSandbox && !this.#closeOneIdle()) {
      return "full";
    }
    this.#open(options, lessee);
    return "served";
  }

  /**
   * Nobody can have a share while fewer are in use than that. So an ordinary request costs a comparison, and only those to a
   * sandbox that is busy a walk over its connections.
   */
  #hasItsShare(client: string, isTunnel: boolean): boolean {
    const inUse = isTunnel ? this.#tunnelCount : this.#counted - this.#idle.length;
    const share = isTunnel ? this.#tunnelShare : this.#connectionShare;
    if (inUse < share) return false;
    let itsOwn = 0;
    for (const connection of this.#connections) {
      if (connection.isTunnel === isTunnel && connection.holder?.client === client) itsOwn += 1;
    }
    for (const [connection, lessee] of this.#opening) {
      if (connection.isTunnel === isTunnel && lessee.client === client) itsOwn += 1;
    }
    return itsOwn >= share;
  }

  #serveWaiting(): void {
    if (this.#ended === undefined) this.#waiting.serve();
  }

  #open<C extends PooledConnection>({ kind, port, want }: LeaseOptions<C>, lessee: Lessee<C>): void {
    const isTunnel = want === "tunnel";
    this.#count(isTunnel, 1);
    this.#connect(kind, port, isTunnel, lessee);
  }

  /** Opens a connection that is counted. */
  #connect<C extends PooledConnection>(
    kind: ConnectionKind<C>,
    port: number,
    isTunnel: boolean,
    lessee: Lessee<C>,
  ): void {
    const connection = kind.open({
      address: { ip: this.#incarnation.ip, port },
      connectTimeoutMs: this.#settings.connectTimeoutMs,
      clock: this.#clock,
      home: this,
    });
    connection.kind = kind;
    connection.isTunnel = isTunnel;
    this.#opening.set(connection, lessee);
  }

  /** See {@link ConnectionHome}. */
  opened(connection: PooledConnection): void {
    const lessee = this.#opening.get(connection);
    this.#opening.delete(connection);
    if (lessee !== undefined && this.#grace.size > 0) this.#grace.forget(lessee);
    this.#observer.connected(connection.connectMs);
    this.#connections.add(connection);
    connection.holder = lessee;
    lessee?.granted(connection);
  }

  openFailed(connection: PooledConnection, error: UpstreamError): void {
    const lessee = this.#opening.get(connection);
    this.#opening.delete(connection);
    this.#observer.connectFailed(error.code);
    if (error.code === "upstream_refused" && lessee !== undefined && this.#mayTryAgain(lessee, connection))
      return;
    if (error.code === "overloaded") this.#outOfFiles();
    this.#count(connection.isTunnel, -1);
    lessee?.refused(error);
    this.#serveWaiting();
    this.#tellIfEmpty();
  }

  /** Its place stays taken: it is counted until it is tried again, or given up. */
  #mayTryAgain(lessee: Lessee<PooledConnection>, refused: PooledConnection): boolean {
    return this.#grace.mayTryAgain(lessee, refused, ({ kind, address, isTunnel }) => {
      if (kind !== undefined) this.#connect(kind, address.port, isTunnel, lessee);
    });
  }

  /** Its socket is closed, whoever closed it. */
  closed(connection: PooledConnection): void {
    connection.holder = undefined;
    this.#connections.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#count(connection.isTunnel, -1);
    this.#observer.closed();
    this.#serveWaiting();
    this.#tellIfEmpty();
  }

  #count(isTunnel: boolean, change: 1 | -1): void {
    if (isTunnel) this.#tunnelCount += change;
    else this.#counted += change;
  }

  #cancelOpening(lessee: Lessee<PooledConnection>): void {
    const refused = this.#grace.size > 0 ? this.#grace.forget(lessee) : undefined;
    if (refused !== undefined) {
      this.#count(refused.isTunnel, -1);
      this.#serveWaiting();
      this.#tellIfEmpty();
      return;
    }
    for (const [connection, its] of this.#opening) {
      if (its !== lessee) continue;
      this.#giveUpOpening(connection);
      this.#serveWaiting();
      this.#tellIfEmpty();
      return;
    }
  }

  #giveUpOpening(connection: PooledConnection): void {
    this.#opening.delete(connection);
    connection.destroy();
    this.#count(connection.isTunnel, -1);
  }

  /** Makes room for a connection to another port, or of another kind. */
  #closeOneIdle(): boolean {
    const oldest = this.#idle.shift();
    oldest?.destroy();
    return oldest !== undefined;
  }

  #tellIfEmpty(): void {
    if (this.empty) this.#emptied(this);
  }
}

/** Why a tunnel that was not served is refused: tunnels don't wait. */
function noTunnel(served: Served): string {
  return served === "share"
    ? "this client has its share of the tunnels to this sandbox"
    : "too many tunnels to this sandbox are open";
}

/** What a request is told whose incarnation has ended. */
export function endedError(incarnation: Incarnation, reason: EndReason): UpstreamError {
  return new UpstreamError("incarnation_ended", `incarnation ${incarnation.number} ended: ${reason}`);
}
