import type { Milliseconds } from "../../src/system/clock.ts";

/** From here on the router's informer hears so much late, or (`deaf`) nothing. */
interface Stretch {
  readonly fromMs: Milliseconds;
  readonly lagMs: Milliseconds | "deaf";
}

/**
 * What the router must have heard from its API server at a time: everything that happened `slackMs` before, less the
 * informer's lag; while the API is away nothing newer than before. What pushes told it comes on top and is not counted
 * on, since they may be lost.
 */
export class Hearing {
  readonly #slackMs: Milliseconds;
  readonly #stretches: Stretch[] = [{ fromMs: -Infinity, lagMs: 0 }];

  /** `slackMs`: what a busy machine may need to hear and do what it should. */
  constructor(slackMs: Milliseconds) {
    this.#slackMs = slackMs;
  }

  /** From `fromMs` on events come so much late. Calls come in the order of time. */
  lags(fromMs: Milliseconds, lagMs: Milliseconds): void {
    this.#stretches.push({ fromMs, lagMs });
  }

  /** From `fromMs` on no event comes, until {@link lags} is called. */
  deaf(fromMs: Milliseconds): void {
    this.#stretches.push({ fromMs, lagMs: "deaf" });
  }

  /** At `atMs`, everything that happened up to the returned time has surely been heard and done. */
  heardUntil(atMs: Milliseconds): Milliseconds {
    const windowMs = atMs - this.#slackMs;
    let untilMs = windowMs;
    for (const [i, { fromMs, lagMs }] of this.#stretches.entries()) {
      const endMs = this.#stretches[i + 1]?.fromMs ?? Infinity;
      if (fromMs > atMs || endMs < windowMs) continue;
      if (lagMs !== "deaf") untilMs = Math.min(untilMs, windowMs - lagMs);
      else {
        // What was on its way when the API went is lost, too.
        const before = this.#stretches[i - 1]?.lagMs ?? 0;
        untilMs = Math.min(untilMs, fromMs - this.#slackMs - (before === "deaf" ? 0 : before));
      }
    }
    return untilMs;
  }
}
