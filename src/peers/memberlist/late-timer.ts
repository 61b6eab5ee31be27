import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";

/** A timer that fires this much late means that the event loop stood still. */
const STALLED_MS = 50;
/** Time for reading what arrived meanwhile. */
const CATCH_UP_MS = 50;

/**
 * Like {@link Clock.setTimeout}, for what is held against others: after a stall of this process it waits a little more,
 * once, so that answers which arrived during the stall are read before anybody is judged for not answering.
 */
export function setJudgingTimeout(clock: Clock, callback: () => void, delayMs: Milliseconds): TimerHandle {
  const dueMs = clock.monotonicMs() + delayMs;
  let handle = clock.setTimeout(() => {
    if (clock.monotonicMs() > dueMs + STALLED_MS) handle = clock.setTimeout(callback, CATCH_UP_MS);
    else callback();
  }, delayMs);
  return { clear: () => handle.clear() };
}
