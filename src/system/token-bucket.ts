import type { Milliseconds } from "./clock.ts";

/**
 * A budget that refills steadily: `perSecond` tokens each second, and never more than `burst` in store. It may be in debt:
 * when the cost is known only afterwards, it is charged then. Times are of the monotonic clock.
 */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: Milliseconds;

  /** Full at `nowMs`. `perSecond` must be above 0, and `burst` at least 1. Infinity for both: no limit. */
  constructor(perSecond: number, burst: number, nowMs: Milliseconds) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** Whether there is at least one token. */
  hasAny(nowMs: Milliseconds): boolean {
    this.#refill(nowMs);
    return this.#tokens >= 1;
  }

  /** Takes one token if there is one, and returns whether it did. */
  take(nowMs: Milliseconds): boolean {
    if (!this.hasAny(nowMs)) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes `tokens`, into debt if need be. */
  charge(tokens: number, nowMs: Milliseconds): void {
    this.#refill(nowMs);
    this.#tokens -= tokens;
  }

  #refill(nowMs: Milliseconds): void {
    const earned = (Math.max(0, nowMs - this.#atMs) / 1_000) * this.#perSecond;
    this.#tokens = this.#burst === Infinity ? Infinity : Math.min(this.#burst, this.#tokens + earned);
    this.#atMs = Math.max(this.#atMs, nowMs);
  }
}
