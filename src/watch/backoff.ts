import type { Milliseconds } from "../system/clock.ts";

/** How long to wait between tries. */
export interface Backoff {
  /** Longest wait after the first failure. Default 800 ms, as client-go. */
  readonly baseMs: Milliseconds;
  /** Longest wait of all. Default 30 s, as client-go. */
  readonly maxMs: Milliseconds;
}

/** What client-go's reflector uses: 0.8 s doubling up to 30 s. */
export const DEFAULT_BACKOFF: Backoff = { baseMs: 800, maxMs: 30_000 };

/**
 * The wait before try number `attempt` (0 is the first retry): `base × 2^attempt`, at most `max`, of which the
 * second half is random, so that routers that lost the same server do not come back together.
 * `random` is in [0, 1); the result is in [d/2, d) for the capped d.
 */
export function nextDelayMs(
  attempt: number,
  random: number,
  backoff: Backoff = DEFAULT_BACKOFF,
): Milliseconds {
  const ceiling = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.max(0, attempt));
  return ceiling * (0.5 + random / 2);
}
