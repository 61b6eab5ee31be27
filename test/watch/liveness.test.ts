import { beforeEach, expect, test } from "vitest";
import type { Clock } from "../../src/system/clock.ts";
import { Liveness } from "../../src/watch/liveness.ts";

/** Time that moves when it is told to. */
class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();
  nowMs = (): number => this.#nowMs;
  monotonicMs = (): number => this.#nowMs;

  setTimeout(callback: () => void, delayMs: number) {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { clear: () => void this.#timers.delete(timer) };
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    for (const timer of this.#timers) {
      if (timer.atMs > this.#nowMs) continue;
      this.#timers.delete(timer);
      timer.callback();
    }
  }

  get pending(): number {
    return this.#timers.size;
  }
}

let clock: ManualClock;
let told: boolean[];
let liveness: Liveness;

beforeEach(() => {
  clock = new ManualClock();
  told = [];
  liveness = new Liveness(clock, 5_000, (live) => told.push(live));
});

test("a list makes live, for the grace; a watch that is answered within it, for good", () => {
  expect(liveness.live).toBe(false);
  liveness.listed();
  clock.advance(4_999);
  liveness.answered();
  clock.advance(60_000);
  expect(told).toEqual([true]);
});

test("without a watch the grace ends, and the next answered watch makes live again", () => {
  liveness.listed();
  liveness.answered();
  liveness.disconnected();
  clock.advance(4_000);
  // Failing to open the next watch must not begin the grace anew.
  liveness.disconnected();
  clock.advance(1_000);
  expect(told).toEqual([true, false]);
  liveness.answered();
  expect(told).toEqual([true, false, true]);
});

test("a reconnection within the grace is not seen at all", () => {
  liveness.listed();
  for (let i = 0; i < 10; i++) {
    liveness.answered();
    clock.advance(60_000);
    liveness.disconnected();
    clock.advance(4_999);
  }
  expect(told).toEqual([true]);
});

test("a stall ends it at once, and then only bytes or a list make live again", () => {
  liveness.listed();
  liveness.answered();
  liveness.stalled();
  expect(told).toEqual([true, false]);
  liveness.answered();
  expect(told).toEqual([true, false]);
  liveness.heard();
  expect(told).toEqual([true, false, true]);
  liveness.stalled();
  liveness.listed();
  expect(told).toEqual([true, false, true, false, true]);
});

test("stop makes not live and leaves no timer", () => {
  liveness.listed();
  liveness.stop();
  expect(told).toEqual([true, false]);
  expect(clock.pending).toBe(0);
});
