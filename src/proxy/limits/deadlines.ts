import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";

/** Something with at most one deadline at a time. */
export interface Timed {
  /** On the time line of {@link Deadlines.nowMs}; `Infinity` for none. Written as often as one likes: it costs nothing. */
  deadlineMs: Milliseconds;
  /** The deadline has passed. It stands until it is written anew. Must not throw. */
  onDeadline(nowMs: Milliseconds): void;
}

/** How often deadlines are looked at, unless the shortest limit asks for more. */
const TICK_MS = 250;
const MIN_TICK_MS = 10;

/**
 * The deadlines of many connections with one timer: every tick looks at all of them. A timer of its own for each request
 * would cost 0.2 µs to set and clear; this costs 3 ns per connection and tick, whatever moves. Nothing is late by
 * more than two ticks and what the process was held up for, and nothing early, but by one tick when it was held up.
 */
export class Deadlines {
  /**
   * A time that is at most a tick old: for marking when something moved, many times a second. It stands still while the
   * process is held up: who waits in its sockets meanwhile would else be late the moment it is seen.
   */
  nowMs: Milliseconds;
  readonly #clock: Clock;
  readonly #tickMs: Milliseconds;
  readonly #items = new Set<Timed>();
  #tickedMs: Milliseconds;
  #timer: TimerHandle | undefined;

  /** `shortestLimitMs`: the shortest time that will be asked of {@link in}; 0 for none. */
  constructor(clock: Clock, shortestLimitMs: Milliseconds) {
    this.#clock = clock;
    const wanted = shortestLimitMs > 0 ? shortestLimitMs / 4 : TICK_MS;
    this.#tickMs = Math.max(MIN_TICK_MS, Math.min(TICK_MS, wanted));
    this.nowMs = clock.monotonicMs();
    this.#tickedMs = this.nowMs;
  }

  /** The deadline of something that has `limitMs` from now on; 0 means no limit. */
  in(limitMs: Milliseconds): Milliseconds {
    return limitMs > 0 ? this.nowMs + this.#tickMs + limitMs : Infinity;
  }

  add(item: Timed): void {
    this.#items.add(item);
    // While nothing was there nobody kept the time.
    if (this.#timer === undefined) {
      this.#tickedMs = this.#clock.monotonicMs();
      this.#wait();
    }
  }

  delete(item: Timed): void {
    this.#items.delete(item);
  }

  /** Ends the ticking; nothing reaches a deadline any more. */
  stop(): void {
    this.#timer?.clear();
    this.#items.clear();
  }

  #wait(): void {
    this.#timer = this.#clock.setTimeout(() => this.#tick(), this.#tickMs);
  }

  #tick(): void {
    const tickedMs = this.#clock.monotonicMs();
    const nowMs = this.nowMs + Math.min(tickedMs - this.#tickedMs, 2 * this.#tickMs);
    this.#tickedMs = tickedMs;
    this.nowMs = nowMs;
    for (const item of this.#items) if (item.deadlineMs <= nowMs) item.onDeadline(nowMs);
    if (this.#items.size > 0) this.#wait();
    else this.#timer = undefined;
  }
}
