import type { Milliseconds } from "../clock.ts";
import { Heap } from "./heap.ts";
import { compareResourceVersions, NOTHING_SEEN, type ResourceVersion } from "./resource-version.ts";
import type { Facts, ScopeView } from "./rules.ts";

/** A pushed fact that waits for the watermark to reach its version. */
interface Awaited<E> {
  readonly version: ResourceVersion;
  readonly entry: E;
}

/**
 * The part of the table that one informer watches: a namespace, or all of them. It has the watermark, the time for
 * which that informer was live, and the pushed facts that wait for it.
 */
export class Scope<E extends Facts = Facts> implements ScopeView {
  /** The watched namespace; `""` for all. */
  readonly name: string;
  /** False for a table without an informer: claims then last until another push replaces them (rule 7). */
  readonly watched: boolean;

  watermark: ResourceVersion = NOTHING_SEEN;
  barredUntil: ResourceVersion | undefined = undefined;
  synced: boolean;

  /** Deadlines in live time, earliest first: each kind has one TTL, so insertion order is their order. */
  readonly claims = new Map<E, Milliseconds>();
  readonly tombstones = new Map<E, Milliseconds>();

  readonly #awaited = new Heap<Awaited<E>>((a, b) => compareResourceVersions(a.version, b.version));
  #live: boolean;
  #liveSinceMs: Milliseconds = 0;
  #liveForMs: Milliseconds = 0;

  constructor(name: string, watched: boolean) {
    this.name = name;
    this.watched = watched;
    this.synced = !watched;
    this.#live = !watched;
  }

  get live(): boolean {
    return this.#live;
  }

  setLive(live: boolean, nowMs: Milliseconds): void {
    this.#liveForMs = this.liveMs(nowMs);
    this.#liveSinceMs = nowMs;
    this.#live = live;
  }

  /** How long the informer has been live in all: nothing expires while it is not (rule 6). */
  liveMs(nowMs: Milliseconds): Milliseconds {
    return this.#live ? this.#liveForMs + Math.max(0, nowMs - this.#liveSinceMs) : this.#liveForMs;
  }

  /** The moment of the next expiry, or `undefined` when none is in sight. */
  nextExpiryMs(nowMs: Milliseconds): Milliseconds | undefined {
    if (!this.#live) return undefined;
    let next = Number.POSITIVE_INFINITY;
    if (this.watched) for (const deadline of firstOf(this.claims.values())) next = deadline;
    for (const deadline of firstOf(this.tombstones.values())) next = Math.min(next, deadline);
    return next === Number.POSITIVE_INFINITY ? undefined : nowMs + Math.max(0, next - this.liveMs(nowMs));
  }

  /** Remembers to look at `entry` when the watermark reaches `version`. */
  awaitWatermark(version: ResourceVersion, entry: E): void {
    if (!this.watched) return;
    // Replaced facts leave items behind; a peer that pushes ever higher versions must not pile them up.
    if (this.#awaited.size > 2 * (this.claims.size + this.tombstones.size) + 1_024) {
      this.#awaited.compact(
        (item) => item.entry.claim?.resourceVersion === item.version || item.entry.tombstone === item.version,
      );
    }
    this.#awaited.push({ version, entry });
  }

  /** Takes out the entries that waited for a version up to the watermark, one at a time. */
  takeReached(): E | undefined {
    const next = this.#awaited.peek();
    if (next === undefined || compareResourceVersions(next.version, this.watermark) > 0) return undefined;
    this.#awaited.pop();
    return next.entry;
  }
}

function* firstOf<T>(values: Iterable<T>): Generator<T> {
  for (const value of values) {
    yield value;
    return;
  }
}
