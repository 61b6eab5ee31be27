import type { Milliseconds } from "../../system/clock.ts";
import type { Backend } from "./backend.ts";

/** Which backends were eligible and are not any more, and for how long they keep their running connections. */
export class LingeringBackends {
  readonly #lingerMs: Milliseconds;
  /** When a backend was first seen to be eligible no more, by key. */
  readonly #leftAtMs = new Map<string, Milliseconds>();

  constructor(lingerMs: Milliseconds) {
    this.#lingerMs = lingerMs;
  }

  /** The backends were `before` and are `after`, since `nowMs`. */
  changed(before: readonly Backend[], after: readonly Backend[], nowMs: Milliseconds): void {
    const wereEligible = new Set(before.flatMap(({ key, state }) => (state === "eligible" ? [key] : [])));
    for (const { key, state } of after) {
      if (state === "eligible") this.#leftAtMs.delete(key);
      else if (wereEligible.has(key)) this.#leftAtMs.set(key, nowMs);
    }
    const present = new Set(after.map(({ key }) => key));
    for (const key of this.#leftAtMs.keys()) if (!present.has(key)) this.#leftAtMs.delete(key);
  }

  /** Keys of those that linger at `nowMs`. */
  keys(nowMs: Milliseconds): ReadonlySet<string> {
    return new Set(
      [...this.#leftAtMs].flatMap(([key, atMs]) => (nowMs - atMs < this.#lingerMs ? [key] : [])),
    );
  }

  /** How long until the next of them stops lingering; infinite when none does. */
  nextEndMs(nowMs: Milliseconds): Milliseconds {
    const ends = [...this.#leftAtMs.values()].map((atMs) => atMs + this.#lingerMs - nowMs);
    return Math.min(Number.POSITIVE_INFINITY, ...ends.filter((ms) => ms > 0));
  }
}
