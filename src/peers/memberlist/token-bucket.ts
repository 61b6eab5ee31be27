import type { Milliseconds } from "../../system/clock.ts";

/** Lets `perSecond` through on average, and up to `burst` at once after a quiet time. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs: Milliseconds | undefined;

  constructor(perSecond: number, burst: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** True when one more may pass at `nowMs`, which never runs backwards. */
  take(nowMs: Milliseconds): boolean {
    const passedMs = nowMs - (this.#filledMs ?? nowMs);
    this.#filledMs = nowMs;
    this.#tokens = Math.min(this.#burst, this.#tokens + passedMs * this.#perMs);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
