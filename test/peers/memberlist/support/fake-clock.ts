import type { Clock, Milliseconds, TimerHandle } from "../../../../src/system/clock.ts";

interface Timer {
  readonly atMs: Milliseconds;
  readonly order: number;
  readonly callback: () => void;
  cleared: boolean;
}

/** A clock that stands still until {@link advance} moves it, and then runs timers in order, at their exact times. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** A binary heap, the next one first. */
  readonly #timers: Timer[] = [];

  nowMs(): Milliseconds {
    return 1_700_000_000_000 + this.#nowMs;
  }

  monotonicMs(): Milliseconds {
    return this.#nowMs;
  }

  setTimeout(callback: () => void, delayMs: Milliseconds): TimerHandle {
    const timer = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order++,
      callback,
      cleared: false,
    };
    this.#push(timer);
    return {
      clear() {
        timer.cleared = true;
      },
    };
  }

  /** Timers that are set and were not cleared. */
  get pending(): number {
    return this.#timers.filter(({ cleared }) => !cleared).length;
  }

  /** Lets `ms` pass. After each timer, promises that are settled run too. */
  async advance(ms: Milliseconds): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const [next] = this.#timers;
      if (!next || next.atMs > untilMs) break;
      this.#pop();
      if (next.cleared) continue;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
      await settle();
    }
    this.#nowMs = untilMs;
  }

  /** The process stands still for `ms`: timers that are due meanwhile run late. */
  async stall(ms: Milliseconds): Promise<void> {
    this.#nowMs += ms;
    await this.advance(0);
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (isBefore(heap[up]!, timer)) break;
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#timers;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = at * 2 + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && isBefore(heap[down + 1]!, heap[down]!)) down += 1;
      if (isBefore(last, heap[down]!)) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** As many turns as the longest chain of promises in the code under test. */
async function settle(): Promise<void> {
  for (let i = 0; i < 8; i += 1) await Promise.resolve();
}
