import type { Milliseconds } from "../system/clock.ts";
import { Heap } from "./heap.ts";
import type { AheadFact } from "./outcome.ts";
import { byVersion, type Pending, PendingQueue } from "./pending.ts";
import { type Provider, providerOf } from "./provider.ts";
import { compareResourceVersions, NOTHING_SEEN, type ResourceVersion } from "./resource-version.ts";
import type { WatermarkPace } from "./watermark-pace.ts";

/**
 * The part of the table that one informer watches: a namespace, or all of them. It has the watermark, the time for
 * which that informer was live, and the pushed facts that wait for it. `E` is what a fact is about.
 */
export class Scope<E> {
  /** The watched namespace; `""` for all. Those of another CRD begin with its provider, which alone is all of them. */
  readonly name: string;
  /** Of which CRD its objects are. Versions of objects of two CRDs are not compared. */
  readonly provider: Provider;
  /** False for a table without an informer: hints then last until another push replaces them (rule 7). */
  readonly watched: boolean;
  /** The informer watches by a selector: what it does not show may exist (rule 14). */
  readonly selective: boolean;

  watermark: ResourceVersion = NOTHING_SEEN;
  barredUntil: ResourceVersion | undefined = undefined;
  synced: boolean;
  /** The API server does not know the CRD. */
  missing = false;
  /** When the snapshot was taken that all this is from; `undefined` from the informer's first list on. */
  snapshotAtMs: Milliseconds | undefined = undefined;

  /** What is in force beyond the informer's word. */
  readonly pending: Readonly<Record<AheadFact, PendingQueue<E>>> = {
    hint: new PendingQueue(),
    tombstone: new PendingQueue(),
    read: new PendingQueue(),
  };

  /** Those that wait for the watermark, and some that do not count any more. */
  readonly #awaited = new Heap<Pending<E>>(byVersion);
  #live: boolean;
  #heardAtMs: Milliseconds = 0;
  #liveForMs: Milliseconds = 0;

  readonly #longestGapMs: Milliseconds;
  readonly #pace: WatermarkPace;

  /** `longestGapMs`: what one silence adds to the live time at most. */
  constructor(
    { name, watched, selective }: Pick<Scope<E>, "name" | "watched" | "selective">,
    longestGapMs: Milliseconds,
    pace: WatermarkPace,
  ) {
    this.name = name;
    this.provider = providerOf(name);
    this.watched = watched;
    this.selective = selective;
    this.#longestGapMs = longestGapMs;
    this.#pace = pace;
    this.synced = !watched;
    this.#live = !watched;
  }

  get live(): boolean {
    return this.#live;
  }

  /** The silence before it does not count: nobody knows how much of it the informer was live for. */
  setLive(live: boolean, nowMs: Milliseconds): void {
    if (live !== this.#live) this.#heardAtMs = nowMs;
    this.#live = live;
  }

  /** To be called whenever the informer says something. */
  heard(nowMs: Milliseconds): void {
    this.#pace.note(this.watermark, nowMs);
    if (!this.#live) return;
    // After a long silence what is said first may be old: the rest of a burst that a stall held back.
    this.#liveForMs += Math.min(Math.max(0, nowMs - this.#heardAtMs), this.#longestGapMs);
    this.#heardAtMs = nowMs;
  }

  /**
   * How long the informer is known to have been live in all, up to the last time that it was heard: a watch that has
   * stalled unnoticed lets nothing expire (rule 6). Without an informer, simply the time.
   */
  liveMs(nowMs: Milliseconds): Milliseconds {
    return this.watched ? this.#liveForMs : nowMs;
  }

  /** The moment of the next expiry, or `undefined`: with an informer nothing expires but when it speaks. */
  nextExpiryMs(): Milliseconds | undefined {
    return this.watched ? undefined : this.pending.tombstone.oldest?.deadlineMs;
  }

  /** Keeps a fact, and remembers to look at it when the watermark reaches its version. */
  keep(pending: Pending<E>): void {
    this.pending[pending.fact].add(pending);
    if (!this.watched) return;
    // Replaced facts leave items behind; a peer that pushes ever higher versions must not pile them up.
    const { hint, tombstone, read } = this.pending;
    if (this.#awaited.size > 2 * (hint.size + tombstone.size + read.size) + 1_024) {
      this.#awaited.compact(({ queued }) => queued);
    }
    this.#awaited.push(pending);
  }

  /** The newest version that a push is believed at, or `undefined` when any is (rule 13). */
  ceiling(nowMs: Milliseconds): ResourceVersion | undefined {
    return this.watched ? this.#pace.ceiling(this.watermark, nowMs) : undefined;
  }

  /** The cluster was restored from a backup, at a version below what was seen: no push is kept until `height` is passed. */
  restored(height: ResourceVersion): void {
    this.watermark = NOTHING_SEEN;
    this.barredUntil = height;
    this.#pace.reset();
  }

  /** After {@link Scope.restored}: lets pushes in again when a cluster at `version` can't have been as high as the bar. */
  liftImplausibleBar(version: ResourceVersion, nowMs: Milliseconds): void {
    const ceiling = this.#pace.ceiling(version, nowMs);
    if (ceiling === undefined || this.barredUntil === undefined) return;
    if (compareResourceVersions(this.barredUntil, ceiling) > 0) this.barredUntil = undefined;
  }

  /** Takes out the facts in force that waited for a version up to the watermark, one at a time. */
  takeReached(): Pending<E> | undefined {
    for (;;) {
      const next = this.#awaited.peek();
      if (next === undefined || compareResourceVersions(next.version, this.watermark) > 0) return undefined;
      this.#awaited.pop();
      if (next.queued) return next;
    }
  }
}
