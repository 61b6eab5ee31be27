import type { Clock, Milliseconds } from "../../system/clock.ts";

/** Who takes turns: see {@link Turns}. */
export interface TurnTaker {
  /** Its turn has come. It takes pushes as long as {@link Turns.take} lets it, and queues again for the rest. */
  onTurn(): void;
}

/** Pushes in a row. Each costs 10 to 20 µs, so a request that comes meanwhile waits for a third of a millisecond at most. */
const PUSHES_PER_TURN = 16;
/** After so long without a turn's worth of pushes, nobody has waited for them. */
const TURN_MS: Milliseconds = 1;

/**
 * Cuts a flood of pushes into slices, between which the event loop serves requests. As long as there are few, each is taken when it
 * comes. More than a slice in a millisecond wait for the event loop's next turn, first come, first served.
 */
export class Turns {
  readonly #clock: Clock;
  #left = PUSHES_PER_TURN;
  #begunMs: Milliseconds;
  /** Those before `#next` have had their turn. */
  #waiting: TurnTaker[] = [];
  #next = 0;
  #isRunning = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#begunMs = clock.monotonicMs();
  }

  /** May one push be taken now? If not, who asks is to {@link queue}. */
  take(nowMs: Milliseconds): boolean {
    if (!this.#isRunning) {
      if (this.#waiting.length > 0) return false;
      if (nowMs - this.#begunMs >= TURN_MS) this.#begin(nowMs);
    }
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }

  /** Calls `taker` when its turn comes, once. */
  queue(taker: TurnTaker): void {
    if (this.#waiting.push(taker) === 1) setImmediate(this.#run);
  }

  #begin(nowMs: Milliseconds): void {
    this.#left = PUSHES_PER_TURN;
    this.#begunMs = nowMs;
  }

  readonly #run = (): void => {
    this.#begin(this.#clock.monotonicMs());
    this.#isRunning = true;
    // Who queues meanwhile comes in the next turn.
    const end = this.#waiting.length;
    while (this.#next < end && this.#left > 0) {
      const taker = this.#waiting[this.#next];
      this.#next += 1;
      taker?.onTurn();
    }
    this.#isRunning = false;
    if (this.#next === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
      return;
    }
    if (this.#next > this.#waiting.length / 2) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    setImmediate(this.#run);
  };
}
