import type { Clock, TimerHandle } from "../system/clock.ts";
import type { RouteTable } from "../routes/table.ts";

/** The longest time between two looks: a wall clock that was set forward is noticed within it. */
const LONGEST_SLEEP_MS = 1_000;

/**
 * Lets time pass in a table: sandboxes reach their shutdownTime when it comes (docs/route-table.md#rule-8). The table has no
 * clock of its own; this is its only one.
 */
export class TableTimer {
  readonly #table: RouteTable;
  readonly #clock: Clock;
  #timer: TimerHandle | undefined;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #removeListener: (() => void) | undefined;

  constructor(table: RouteTable, clock: Clock) {
    this.#table = table;
    this.#clock = clock;
  }

  start(): void {
    this.#removeListener = this.#table.addListener({
      told: () => this.#schedule(),
      doubtChanged: () => this.#schedule(),
    });
    this.#tick();
  }

  stop(): void {
    this.#removeListener?.();
    this.#timer?.clear();
    this.#timer = undefined;
  }

  #tick(): void {
    this.#table.advance(this.#clock.nowMs());
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    this.#schedule();
  }

  /** Called for each mutation: sets a timer only when something is due before the one that is set. */
  #schedule(): void {
    const nowMs = this.#clock.nowMs();
    const deadlineMs = this.#table.nextDeadlineMs() ?? Number.POSITIVE_INFINITY;
    const dueAtMs = Math.min(deadlineMs, nowMs + LONGEST_SLEEP_MS);
    if (dueAtMs >= this.#dueAtMs) return;
    this.#timer?.clear();
    this.#dueAtMs = dueAtMs;
    this.#timer = this.#clock.setTimeout(() => this.#tick(), dueAtMs - nowMs);
  }
}
