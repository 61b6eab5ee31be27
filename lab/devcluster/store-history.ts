import type { StoredSandbox } from "./sandbox.ts";

/** One change of one object. */
export interface StoreEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** The version of this change; also the resourceVersion of `object`, deletions included. */
  readonly version: bigint;
  readonly object: StoredSandbox;
  /** The object before it, absent for ADDED. */
  readonly previous: StoredSandbox | undefined;
}

/**
 * The changes of the last while, oldest first, as etcd keeps them until a compaction: what a watch resumes from
 * and what a paged list reads its snapshot from.
 */
export class StoreHistory {
  readonly #limit: number;
  #events: StoreEvent[] = [];
  #compactedAt: bigint;

  /** Remembers at least `limit` events, and at most twice as many. `startedAt` is the version before the first. */
  constructor(limit: number, startedAt: bigint) {
    this.#limit = limit;
    this.#compactedAt = startedAt;
  }

  /** Nothing at or below this version can be told again: what happened up to it is gone. */
  get compactedAt(): bigint {
    return this.#compactedAt;
  }

  /** Appends the newest event. */
  push(event: StoreEvent): void {
    this.#events.push(event);
    if (this.#events.length > 2 * this.#limit) this.#drop(this.#events.length - this.#limit);
  }

  /** Forgets every event up to `version`. */
  compact(version: bigint): void {
    this.#drop(this.#firstAfter(version));
    if (version > this.#compactedAt) this.#compactedAt = version;
  }

  /** The events above `version`, oldest first, or `undefined` when some of them were compacted. */
  after(version: bigint): readonly StoreEvent[] | undefined {
    if (version < this.#compactedAt) return undefined;
    return this.#events.slice(this.#firstAfter(version));
  }

  #firstAfter(version: bigint): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const event = this.#events[middle];
      if (event && event.version <= version) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #drop(count: number): void {
    const last = this.#events[count - 1];
    if (!last) return;
    this.#compactedAt = last.version;
    this.#events = this.#events.slice(count);
  }
}
