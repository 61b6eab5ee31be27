import type { Clock, Milliseconds } from "../system/clock.ts";
import type { DoubtNames } from "../routes/doubts.ts";
import type { EndReason, RouteInEffect } from "../routes/lookup.ts";
import type { TableListener } from "../routes/news.ts";
import type { ObjectKey } from "../routes/route.ts";
import {
  type DoubtTuple,
  encodeRoute,
  type EndTuple,
  type RouteBatch,
  type RouteTuple,
} from "./route-batch.ts";

/** The read side of the table, as the feed needs it. */
export interface RouteSource {
  readonly synced: boolean;
  keys(): Iterable<ObjectKey>;
  inspect(key: ObjectKey): { readonly inEffect: RouteInEffect | undefined } | undefined;
  doubtKeys(): Iterable<ObjectKey>;
  doubtOf(key: ObjectKey): DoubtNames | undefined;
  addListener(listener: TableListener): () => void;
}

/** How much may be under way to a worker before it has acknowledged any of it. What comes above is coalesced. */
export interface SubscriptionLimits {
  /** Batches, at least 1. Default 16. */
  readonly batches: number;
  /** Changed keys. When more wait to be sent they go in parts. Default 4,000. */
  readonly changes: number;
  /** Keys in one part, at least 1. Default 500. */
  readonly partSize: number;
}

const DEFAULT_LIMITS: SubscriptionLimits = { batches: 16, changes: 4_000, partSize: 500 };

/** A key that changed since it was last sent. A worker knows one living and one paused incarnation of it at most. */
interface Change {
  /** The worker has never heard of the key. */
  readonly isNew: boolean;
  /** The end of the incarnation that the worker knows was noted. Later ones began unseen: it need not hear of them. */
  ended: boolean;
  pauseEnded: boolean;
}

interface Sent {
  readonly sequence: number;
  readonly changes: number;
  /** It puts changes into effect in a worker that was current: no part, no probe. */
  readonly isNews: boolean;
  /** When the oldest change in it happened. */
  readonly sinceMs: Milliseconds;
}

/** What one worker has been sent, what it has acknowledged, and what it does not know yet. Made by `RouteFeed`. */
export class Subscription {
  readonly #source: RouteSource;
  readonly #clock: Clock;
  readonly #send: (batch: RouteBatch) => void;
  readonly #limits: SubscriptionLimits;
  #changes = new Map<ObjectKey, Change>();
  /** What ended and was not told; at most two for each change. */
  #ends: EndTuple[] = [];
  /** Keys whose doubt began or ended and was not told. */
  readonly #doubts: Set<ObjectKey>;
  readonly #sent: Sent[] = [];
  /** Keys that are being sent in parts: the snapshot's, or those of very many changes. */
  #parts: Iterator<ObjectKey> | undefined;
  #isCurrent = false;
  #changedSinceMs: Milliseconds | undefined;
  #changesUnderWay = 0;
  #sequence = 0;
  #acknowledged = 0;
  #toldSynced = false;
  /** The first batch that made the worker current and synced. */
  #syncedAt = Number.POSITIVE_INFINITY;

  constructor(
    source: RouteSource,
    present: ReadonlySet<ObjectKey>,
    clock: Clock,
    send: (batch: RouteBatch) => void,
    limits: Partial<SubscriptionLimits> = {},
  ) {
    this.#source = source;
    this.#clock = clock;
    this.#send = send;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    // A set's iterator sees what is added later, too.
    this.#parts = present.values();
    this.#doubts = new Set(source.doubtKeys());
    this.#changedSinceMs = clock.monotonicMs();
  }

  /** Keys that wait to be sent. */
  get waiting(): number {
    return this.#changes.size;
  }

  /** Batches that the worker has not acknowledged. */
  get underWay(): number {
    return this.#sent.length;
  }

  /** The last batch that the worker has acknowledged; 0 before the first. */
  get acknowledgedSequence(): number {
    return this.#acknowledged;
  }

  /** The worker has acknowledged the snapshot, and that the table was synced. */
  get synced(): boolean {
    return this.#acknowledged >= this.#syncedAt;
  }

  /** The age of the oldest change that the worker has not acknowledged; 0 when it knows all. */
  get lagMs(): Milliseconds {
    const sinceMs = this.#sent[0]?.sinceMs ?? this.#changedSinceMs;
    return sinceMs === undefined ? 0 : this.#clock.monotonicMs() - sinceMs;
  }

  /**
   * The worker has applied every batch up to `sequence`. Returns how long it took since the oldest change in them, or
   * `undefined` when they were no news to it: the snapshot, a probe.
   */
  acknowledged(sequence: number): Milliseconds | undefined {
    let sinceMs: Milliseconds | undefined;
    for (let [oldest] = this.#sent; oldest && oldest.sequence <= sequence; [oldest] = this.#sent) {
      this.#sent.shift();
      this.#changesUnderWay -= oldest.changes;
      if (oldest.isNews) sinceMs ??= oldest.sinceMs;
    }
    this.#acknowledged = Math.max(this.#acknowledged, sequence);
    this.pump();
    return sinceMs === undefined ? undefined : this.#clock.monotonicMs() - sinceMs;
  }

  /** `known`: a route was in effect before, too. */
  routeChanged(key: ObjectKey, inEffect: boolean, known: boolean): void {
    const change = this.#changes.get(key);
    if (!change) {
      this.#change(key, !known);
    } else if (!inEffect && change.isNew) {
      // It came and went while the worker was busy: there is nothing to tell.
      this.#changes.delete(key);
      if (this.#changes.size === 0 && !this.#parts) this.#changedSinceMs = undefined;
    }
  }

  incarnationEnded(
    kind: "ended" | "pauseEnded",
    key: ObjectKey,
    incarnation: number,
    reason: EndReason,
  ): void {
    const change = this.#changes.get(key) ?? this.#change(key, false);
    if (change.isNew || change[kind]) return;
    change[kind] = true;
    this.#ends.push([kind, key, incarnation, reason]);
  }

  /** Requests for a key are held from now on, or not any more. */
  doubtChanged(key: ObjectKey): void {
    this.#doubts.add(key);
  }

  /** Sends what is to be sent, as far as the limits allow. Not to be called within a mutation of the table. */
  pump(): void {
    if (!this.#parts && this.#changes.size > this.#limits.changes && this.#hasRoom()) {
      this.#parts = this.#changes.keys();
      this.#changes = new Map();
    }
    while (this.#parts && this.#hasRoom()) this.#sendPart(this.#parts);
    if (!this.#hasRoom()) return;
    const hasNews = this.#changes.size > 0 || this.#doubts.size > 0;
    if (hasNews || this.#source.synced !== this.#toldSynced) this.#sendChanges();
  }

  /** Sends an empty batch if nothing is under way, to see whether the worker still answers. */
  probe(): void {
    if (this.#sent.length === 0 && !this.#parts) this.#sendChanges();
  }

  #change(key: ObjectKey, isNew: boolean): Change {
    const change: Change = { isNew, ended: false, pauseEnded: false };
    this.#changes.set(key, change);
    this.#changedSinceMs ??= this.#clock.monotonicMs();
    return change;
  }

  #hasRoom(): boolean {
    const { batches, changes } = this.#limits;
    return this.#sent.length < batches && this.#changesUnderWay < changes;
  }

  #sendPart(keys: Iterator<ObjectKey>): void {
    const part = emptyContent();
    for (let count = 0; count < this.#limits.partSize; count++) {
      const { done, value: key } = keys.next();
      if (done) {
        this.#parts = undefined;
        // What changed meanwhile goes all at once, however much it is: or one could follow another without end.
        this.#sendChanges(part);
        return;
      }
      this.#read(key, part);
      this.#changes.delete(key);
    }
    this.#dispatch("part", part);
  }

  #sendChanges(content = emptyContent()): void {
    for (const key of this.#changes.keys()) this.#read(key, content);
    this.#changes.clear();
    this.#dispatch("current", content);
  }

  #read(key: ObjectKey, { gone, routes }: Content): void {
    const inEffect = this.#source.inspect(key)?.inEffect;
    if (inEffect) routes.push(encodeRoute(inEffect));
    else gone.push(key);
  }

  #dispatch(extent: RouteBatch["extent"], content: Content): void {
    const sequence = ++this.#sequence;
    const changes = content.routes.length + content.gone.length;
    const isNews = this.#isCurrent && extent === "current" && this.#changedSinceMs !== undefined;
    const { synced } = this.#source;
    this.#sent.push({
      sequence,
      changes,
      isNews,
      sinceMs: this.#changedSinceMs ?? this.#clock.monotonicMs(),
    });
    this.#changesUnderWay += changes;
    if (extent === "current") {
      this.#isCurrent = true;
      this.#changedSinceMs = undefined;
      this.#toldSynced = synced;
      if (synced) this.#syncedAt = Math.min(this.#syncedAt, sequence);
    }
    const ends = this.#ends;
    this.#ends = [];
    this.#send({ sequence, extent, synced, ends, doubts: this.#takeDoubts(extent), ...content });
  }

  #takeDoubts(extent: RouteBatch["extent"]): DoubtTuple[] {
    const doubts: DoubtTuple[] = [];
    for (const key of this.#doubts) {
      const names = this.#source.doubtOf(key);
      // Until the worker knows what settled it, it goes on holding.
      if (names === undefined && extent !== "current") continue;
      doubts.push([key, names ?? null]);
      this.#doubts.delete(key);
    }
    return doubts;
  }
}

interface Content {
  readonly gone: ObjectKey[];
  readonly routes: RouteTuple[];
}

function emptyContent(): Content {
  return { gone: [], routes: [] };
}
