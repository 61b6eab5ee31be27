import type { Clock, TimerHandle } from "../../../src/system/clock.ts";

/** A clock that moves when it is told to, and fires what is due then. */
export class ManualClock implements Clock {
  #nowMs = 1000;
  #timers: { readonly atMs: number; readonly callback: () => void }[] = [];
  nowMs = () => this.#nowMs;
  monotonicMs = () => this.#nowMs;

  setTimeout(callback: () => void, delayMs: number): TimerHandle {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      clear: () => {
        this.#timers = this.#timers.filter((each) => each !== timer);
      },
    };
  }

  /** Time passes without the process having any of it: nothing fires. */
  stall(ms: number): void {
    this.#nowMs += ms;
  }

  fireDue(): void {
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { callback } of due) callback();
  }
}
