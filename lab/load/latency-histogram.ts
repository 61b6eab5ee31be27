import type { Milliseconds } from "../../src/system/clock.ts";

/** 32 buckets for each doubling: a quantile is at most about 2 % off. */
const BUCKETS_PER_DOUBLING = 32;
const LEAST_MS = 0.01;
/** Up to about 20 minutes. */
const BUCKETS = 27 * BUCKETS_PER_DOUBLING;

/** Durations in buckets of equal ratio. Small, mergeable, and it may cross to another thread as pairs. */
export class LatencyHistogram {
  readonly #counts = new Uint32Array(BUCKETS);
  #total = 0;

  /** Number of durations. */
  get count(): number {
    return this.#total;
  }

  /** Adds one duration. Below 0.01 ms counts as that. */
  record(durationMs: Milliseconds): void {
    const position = Math.floor(Math.log2(Math.max(durationMs, LEAST_MS) / LEAST_MS) * BUCKETS_PER_DOUBLING);
    this.#add(Math.min(position, BUCKETS - 1), 1);
  }

  /** The buckets that hold something, as pairs of bucket and count. */
  pairs(): number[] {
    const pairs: number[] = [];
    for (const [bucket, count] of this.#counts.entries()) if (count > 0) pairs.push(bucket, count);
    return pairs;
  }

  /** Adds what {@link pairs} gave. */
  merge(pairs: readonly number[]): void {
    for (let i = 0; i + 1 < pairs.length; i += 2) this.#add(pairs[i] ?? 0, pairs[i + 1] ?? 0);
  }

  /** Forgets all. */
  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }

  /** The duration that the share `q` (0 to 1) of all does not exceed; `undefined` when there is none. */
  quantileMs(q: number): Milliseconds | undefined {
    if (this.#total === 0) return undefined;
    let left = Math.max(1, Math.ceil(this.#total * q));
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count;
      // The middle of the bucket.
      if (left <= 0) return LEAST_MS * 2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING);
    }
    return undefined;
  }

  #add(bucket: number, count: number): void {
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    this.#total += count;
  }
}
