import type { Milliseconds } from "../system/clock.ts";

/** How long to wait between tries. */
export interface Backoff {
  /** Longest wait after the first failure: `watch.backoffMinMs`. */
  readonly baseMs: Milliseconds;
  /** Longest wait of all: `watch.backoffMaxMs`. */
  readonly maxMs: Milliseconds;
}

/**
 * The wait before try number `attempt` (0 is the first retry): `base × 2^attempt`, at most `max`, of which the
 * second half is random, so that routers that lost the same server do not come back together.
 * `random` is in [0, 1); the result is in [d/2, d) for the capped d.
 */
export function nextDelayMs(attempt: number, random: number, backoff: Backoff): Milliseconds {
  const ceiling = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.max(0, attempt));
  return ceiling * (0.5 + random / 2);
}
