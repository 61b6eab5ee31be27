import type { Milliseconds } from "../../src/system/clock.ts";

/**
 * Milliseconds that never run backwards, on one scale for all threads of the machine: what a worker sent and what the
 * main thread saw can be compared. `performance.now()` begins anew in every thread.
 */
export function monotonicMs(): Milliseconds {
  return Number(process.hrtime.bigint()) / 1e6;
}
