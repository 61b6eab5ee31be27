/** A number of milliseconds. */
export type Milliseconds = number;

/** Handle of a pending {@link Clock.setTimeout}. */
export interface TimerHandle {
  /** Does nothing when the timer has fired or was cleared. */
  clear(): void;
}

/**
 * The time, passed in so that tests can hold it still. Everything that waits or measures takes one.
 */
export interface Clock {
  /** Milliseconds since the epoch, for what is compared with a date or shown to a person. */
  nowMs(): Milliseconds;
  /** Milliseconds that never run backwards, for durations. */
  monotonicMs(): Milliseconds;
  /**
   * Runs `callback` once after at least `delayMs`. Keeps the process alive until then only with `keepAlive`. Delays
   * above 2^31-1 ms are cut to that (Node would fire them at once).
   */
  setTimeout(
    callback: () => void,
    delayMs: Milliseconds,
    options?: { readonly keepAlive?: boolean },
  ): TimerHandle;
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's own clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout(callback, delayMs, { keepAlive = false } = {}) {
    const timer = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    if (!keepAlive) timer.unref();
    return { clear: () => clearTimeout(timer) };
  },
};

/** Resolves after at least `delayMs`, and keeps the process alive until then. */
export function sleep(clock: Clock, delayMs: Milliseconds): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, delayMs, { keepAlive: true }));
}
