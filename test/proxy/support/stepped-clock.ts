import type { Clock, TimerHandle } from "../../../src/system/clock.ts";

/** A clock that moves when it is told to, and fires what is due on the way. */
export class SteppedClock implements Clock {
  #nowMs = 1000;
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();
  nowMs = (): number => this.#nowMs;
  monotonicMs = (): number => this.#nowMs;

  setTimeout(callback: () => void, delayMs: number): TimerHandle {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { clear: () => void this.#timers.delete(timer) };
  }

  /** In small steps, as time passes for a process that is not held up. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    while (this.#nowMs < endMs) {
      this.#nowMs = Math.min(endMs, this.#nowMs + 50);
      for (const timer of this.#timers) {
        if (timer.atMs > this.#nowMs) continue;
        this.#timers.delete(timer);
        timer.callback();
      }
    }
  }
}
