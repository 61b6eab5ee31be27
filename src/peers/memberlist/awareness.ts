import type { Milliseconds } from "../../system/clock.ts";

/**
 * How well this side keeps up (Lifeguard's local health): 0 is well. Each failed probe that others could not confirm,
 * and each refutation, adds; each probe that succeeds takes away. Probes slow down with it, so that a side that is
 * starved or cut off does not accuse the others.
 */
export class Awareness {
  readonly #max: number;
  #score = 0;

  /** @param maxMultiplier the score stays below. */
  constructor(maxMultiplier: number) {
    this.#max = maxMultiplier - 1;
  }

  /** From 0, which is well, to the multiplier less one. */
  get score(): number {
    return this.#score;
  }

  /** Adds `delta` within the bounds. */
  apply(delta: number): void {
    this.#score = Math.min(Math.max(this.#score + delta, 0), this.#max);
  }

  /** `delayMs × (score + 1)` */
  scaled(delayMs: Milliseconds): Milliseconds {
    return delayMs * (this.#score + 1);
  }
}
