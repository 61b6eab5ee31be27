import { LRUCache } from "lru-cache";
import type { Clock, Milliseconds } from "../system/clock.ts";

/** Refutations after which a sender is ignored: on one key, and over all keys together. */
const STRIKES_PER_KEY = 3;
const STRIKES_PER_SENDER = 30;
const SHORTEST_MS: Milliseconds = 1_000;
const LONGEST_MS: Milliseconds = 600_000;
/** After so long without a refutation all is forgotten. */
const FORGOTTEN_AFTER_MS: Milliseconds = 600_000;
/** Senders, and pairs of sender and key, that are remembered; above, those that were refuted longest ago are forgotten. */
const MAX_RECORDS = 10_000;

interface Strikes {
  count: number;
  ignoredUntilMs: Milliseconds;
}

/**
 * Which senders of pushes are not listened to for a while, since reads of the API server have refuted them
 * (docs/route-table.md#rule-12). After three refutations on one key a sender's pushes of that key are ignored for a second,
 * then for two, four and so on up to ten minutes; after thirty in all, all of its pushes are.
 */
export class Distrust {
  readonly #clock: Clock;
  readonly #strikes: LRUCache<string, Strikes>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#strikes = new LRUCache({
      max: MAX_RECORDS,
      ttl: FORGOTTEN_AFTER_MS,
      perf: { now: () => clock.monotonicMs() },
      ttlResolution: 0,
    });
  }

  /** A read has refuted a push of `key` that came from `sender`, an address. */
  refuted(sender: string, key: string): void {
    this.#strike(sender, STRIKES_PER_SENDER);
    this.#strike(recordOf(sender, key), STRIKES_PER_KEY);
  }

  /** Whether a push of `key` from `sender` is to be ignored at this moment. */
  ignores(sender: string, key: string): boolean {
    if (this.#strikes.size === 0) return false;
    const nowMs = this.#clock.monotonicMs();
    return this.#isIgnored(sender, nowMs) || this.#isIgnored(recordOf(sender, key), nowMs);
  }

  #isIgnored(record: string, nowMs: Milliseconds): boolean {
    const strikes = this.#strikes.get(record);
    return strikes !== undefined && nowMs < strikes.ignoredUntilMs;
  }

  #strike(record: string, allowed: number): void {
    const count = (this.#strikes.get(record)?.count ?? 0) + 1;
    const forMs = count < allowed ? 0 : Math.min(LONGEST_MS, SHORTEST_MS * 2 ** (count - allowed));
    this.#strikes.set(record, { count, ignoredUntilMs: this.#clock.monotonicMs() + forMs });
  }
}

/** A sender is an address and holds no space. */
function recordOf(sender: string, key: string): string {
  return `${sender} ${key}`;
}
