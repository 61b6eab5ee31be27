import { LRUCache } from "lru-cache";

import { systemClock } from "../../system/clock.ts";
import type { Clock } from "../../system/clock.ts";
import type { EndReason, Incarnation, IncarnationListener } from "../../routes/lookup.ts";
import { endedError, IncarnationPool } from "./incarnation-pool.ts";
import type { LeaseOptions, Lessee, PoolSettings } from "./incarnation-pool.ts";
import type { ConnectionKind, Holder, HttpSettings, PooledConnection } from "./pooled-connection.ts";
import { noUpstreamObserver } from "./upstream-observer.ts";
import type { UpstreamObserver } from "./upstream-observer.ts";

/** Limits and times of upstream connections: the settings `upstream.…`, whose defaults and ranges are there alone. */
export interface UpstreamOptions extends PoolSettings, Pick<HttpSettings, "keepAliveTimeoutMs"> {
  /** Incarnations whose idle connections are kept, at least 1. Above, those of the longest unused one are closed. */
  readonly maxPools: number;
  /** Largest response head in bytes. Default 65,536. */
  readonly maxResponseHeaderBytes?: number;
  readonly observer?: UpstreamObserver;
  readonly clock?: Clock;
}

/** Limits that {@link Upstreams.setLimits} changes. */
export type UpstreamLimits = Pick<
  PoolSettings,
  "maxConnectionsPerSandbox" | "maxTunnelsPerSandbox" | "maxWaitingPerSandbox" | "waitTimeoutMs"
>;

/**
 * All connections to pods. Each belongs to an incarnation and dies with it (docs/route-table.md#incarnations): an address
 * that has a new tenant is reached by new connections only. Add it to the table's listeners.
 */
export class Upstreams implements IncarnationListener {
  /** How connections are spoken on and kept. */
  readonly settings: PoolSettings & HttpSettings;
  /** Told of what happens to connections. */
  readonly observer: UpstreamObserver;
  readonly #clock: Clock;
  readonly #pools: LRUCache<Incarnation, IncarnationPool>;
  /** Evicted with requests under way: they finish, and a next request finds the pool here. */
  readonly #retired = new Map<Incarnation, IncarnationPool>();
  /** Ended as paused with requests under way: they may finish, until {@link pauseEnded}. */
  readonly #paused = new Map<Incarnation, IncarnationPool>();
  /** Ended ones, known even when they had no pool: a verdict may be older than the end. */
  readonly #ended = new WeakMap<Incarnation, EndReason>();
  #closed = false;

  constructor(options: UpstreamOptions) {
    const { maxPools, maxResponseHeaderBytes = 65_536, observer, clock, ...settings } = options;
    this.settings = { ...settings, maxResponseHeaderBytes };
    this.observer = observer ?? noUpstreamObserver;
    this.#clock = clock ?? systemClock;
    this.#pools = new LRUCache<Incarnation, IncarnationPool>({
      max: maxPools,
      dispose: (pool, incarnation, reason) => {
        if (reason !== "evict") return;
        pool.retire();
        if (!pool.empty) this.#retired.set(incarnation, pool);
      },
    });
  }

  /** Other limits from now on. What is open or waits stays, and what waits may go on when there is more room now. */
  setLimits(limits: UpstreamLimits): void {
    // All pools hold this very object.
    Object.assign(this.settings, limits);
    for (const pool of this.#all()) pool.limitsChanged();
  }

  /** Pools and connections now. Walks all pools: for a scrape, not for a request. */
  get stats(): {
    readonly pools: number;
    readonly open: number;
    readonly idle: number;
    readonly waiting: number;
  } {
    const total = { pools: 0, open: 0, idle: 0, waiting: 0 };
    for (const pool of this.#all()) {
      const { open, idle, waiting } = pool.stats;
      total.pools += 1;
      total.open += open;
      total.idle += idle;
      total.waiting += waiting;
    }
    return total;
  }

  /** Connections to one incarnation now, and requests that wait for one; undefined when there are none. */
  statsOf(incarnation: Incarnation): IncarnationPool["stats"] | undefined {
    const pool = this.#pools.peek(incarnation) ?? this.#retired.get(incarnation);
    return (pool ?? this.#paused.get(incarnation))?.stats;
  }

  /**
   * Asks for a connection to a port of an incarnation. An incarnation that has ended is refused
   * (`incarnation_ended`), even when the verdict that named it is older than its end. The returned function gives
   * up waiting or connecting; after `granted` it does nothing.
   */
  lease<C extends PooledConnection>(
    incarnation: Incarnation,
    options: LeaseOptions<C>,
    lessee: Lessee<C>,
  ): () => void {
    const ended = this.#ended.get(incarnation) ?? (this.#closed ? "not_running" : undefined);
    if (ended !== undefined) {
      lessee.refused(endedError(incarnation, ended));
      return () => {};
    }
    return this.#poolOf(incarnation).lease(options, lessee);
  }

  /** Lends a kept connection if there is one; see {@link lease} for what to do when there is none. */
  take<C extends PooledConnection>(
    incarnation: Incarnation,
    kind: ConnectionKind<C>,
    port: number,
    holder: Holder,
  ): C | undefined {
    // A pool that is found here has not ended.
    return this.#pools.get(incarnation)?.take(kind, port, holder);
  }

  incarnationEnded(incarnation: Incarnation, reason: EndReason): void {
    if (this.#ended.has(incarnation)) return;
    this.#ended.set(incarnation, reason);
    const pool = this.#pools.peek(incarnation) ?? this.#retired.get(incarnation);
    this.#pools.delete(incarnation);
    this.#retired.delete(incarnation);
    pool?.end(reason);
    if (reason === "paused" && pool && !pool.empty) this.#paused.set(incarnation, pool);
  }

  pauseEnded(incarnation: Incarnation, reason: EndReason): void {
    const pool = this.#paused.get(incarnation);
    this.#paused.delete(incarnation);
    pool?.end(reason);
  }

  /** Incarnations that have connections now. */
  get size(): number {
    return this.#pools.size + this.#retired.size + this.#paused.size;
  }

  /** Closes everything at once. Nothing can be leased afterwards. */
  close(): void {
    this.#closed = true;
    const pools = this.#all();
    this.#pools.clear();
    this.#retired.clear();
    this.#paused.clear();
    for (const pool of pools) pool.close();
  }

  /** Makes room for what comes next when there are no file descriptors: kept connections are a convenience. */
  #closeIdle(): void {
    for (const pool of this.#all()) pool.closeIdle();
  }

  #all(): IncarnationPool[] {
    return [...this.#pools.values(), ...this.#retired.values(), ...this.#paused.values()];
  }

  #poolOf(incarnation: Incarnation): IncarnationPool {
    const known = this.#pools.get(incarnation);
    if (known) return known;
    const retired = this.#retired.get(incarnation);
    if (retired) {
      this.#retired.delete(incarnation);
      retired.keepAgain();
    }
    const pool =
      retired ??
      new IncarnationPool(
        incarnation,
        this.settings,
        this.observer,
        this.#clock,
        (emptied) => this.#forget(emptied),
        () => this.#closeIdle(),
      );
    this.#pools.set(incarnation, pool);
    return pool;
  }

  /** A pool without connections costs nothing to build again. */
  #forget(pool: IncarnationPool): void {
    const { incarnation } = pool;
    if (this.#pools.peek(incarnation) === pool) this.#pools.delete(incarnation);
    if (this.#retired.get(incarnation) === pool) this.#retired.delete(incarnation);
    this.#paused.delete(incarnation);
  }
}
