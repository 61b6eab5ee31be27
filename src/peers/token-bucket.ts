import type { Milliseconds } from "../system/clock.ts";

/**
 * A budget that refills steadily: `perSecond` tokens each second, and never more than one second's worth in store. It may
 * be in debt: what costs more than is known beforehand is paid for afterwards.
 */
export class TokenBucket {
  readonly #perSecond: number;
  #tokens: number;
  #atMs: Milliseconds;

  /** Full at `nowMs`. `perSecond` must be above 0; Infinity is no limit. Times are of the monotonic clock. */
  constructor(perSecond: number, nowMs: Milliseconds) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#atMs = nowMs;
  }

  /** Whether at least one token is there. */
  hasAny(nowMs: Milliseconds): boolean {
    this.#refill(nowMs);
    return this.#tokens >= 1;
  }

  /** Takes `tokens`, into debt if need be. */
  charge(tokens: number, nowMs: Milliseconds): void {
    this.#refill(nowMs);
    this.#tokens -= tokens;
  }

  #refill(nowMs: Milliseconds): void {
    const earned = (Math.max(0, nowMs - this.#atMs) / 1_000) * this.#perSecond;
    this.#tokens = this.#perSecond === Infinity ? Infinity : Math.min(this.#perSecond, this.#tokens + earned);
    this.#atMs = Math.max(this.#atMs, nowMs);
  }
}
