import type { Milliseconds } from "../system/clock.ts";
import type { AheadFact } from "./outcome.ts";
import { compareResourceVersions, type ResourceVersion } from "./resource-version.ts";
import type { Route } from "./route.ts";

/** What a {@link Pending} fact is about, when and for how long. */
export interface PendingFields<E> {
  readonly fact: AheadFact;
  readonly entry: E;
  readonly version: ResourceVersion;
  /** Of a hint. */
  readonly route: Route | undefined;
  readonly arrivedAtMs: Milliseconds;
  /** In live time of its scope. */
  readonly deadlineMs: Milliseconds;
  /** Rises from fact to fact, over all scopes. */
  readonly serial: number;
  /** Who pushed it, for people to read. */
  readonly from: string;
  /** It counts at once; otherwise it waits for a read (rule 12). */
  readonly trusted: boolean;
  /** See `PushedFactOf`. */
  readonly isRelayed: boolean;
}

/** A fact that a peer pushed and the informer has not confirmed, and its place in the queue of its kind and scope. */
export class Pending<E> implements PendingFields<E> {
  readonly fact: AheadFact;
  readonly entry: E;
  readonly version: ResourceVersion;
  readonly route: Route | undefined;
  readonly arrivedAtMs: Milliseconds;
  readonly deadlineMs: Milliseconds;
  readonly serial: number;
  readonly from: string;
  readonly trusted: boolean;
  readonly isRelayed: boolean;
  /** Its neighbours, and whether it stands in a queue: a {@link PendingQueue}'s business. */
  older: Pending<E> | undefined = undefined;
  newer: Pending<E> | undefined = undefined;
  queued = false;

  constructor(fields: PendingFields<E>) {
    this.fact = fields.fact;
    this.entry = fields.entry;
    this.version = fields.version;
    this.route = fields.route;
    this.arrivedAtMs = fields.arrivedAtMs;
    this.deadlineMs = fields.deadlineMs;
    this.serial = fields.serial;
    this.from = fields.from;
    this.trusted = fields.trusted;
    this.isRelayed = fields.isRelayed;
  }
}

/** The order in which the watermark reaches pending facts. */
export function byVersion(a: Pending<unknown>, b: Pending<unknown>): number {
  return compareResourceVersions(a.version, b.version);
}

/**
 * Pending facts of one kind, the oldest first. All have one TTL, so that is the order of their deadlines too. A linked
 * list: facts leave from anywhere, and a Map's iterator would step over each that has left.
 */
export class PendingQueue<E> {
  #oldest: Pending<E> | undefined = undefined;
  #newest: Pending<E> | undefined = undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get oldest(): Pending<E> | undefined {
    return this.#oldest;
  }

  add(pending: Pending<E>): void {
    pending.queued = true;
    pending.older = this.#newest;
    if (this.#newest) this.#newest.newer = pending;
    else this.#oldest = pending;
    this.#newest = pending;
    this.#size++;
  }

  remove(pending: Pending<E>): void {
    if (!pending.queued) return;
    const { older, newer } = pending;
    if (older) older.newer = newer;
    else this.#oldest = newer;
    if (newer) newer.older = older;
    else this.#newest = older;
    pending.queued = false;
    pending.older = undefined;
    pending.newer = undefined;
    this.#size--;
  }

  /** The oldest first. Nothing may be removed meanwhile. */
  *[Symbol.iterator](): Generator<Pending<E>, void, undefined> {
    for (let pending = this.#oldest; pending; pending = pending.newer) yield pending;
  }
}
