import type { ServerResponse } from "node:http";

import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { LeastRate } from "./least-rate.ts";

/** Watches how fast a client of the full lane takes its response, with one timer, which lives no longer than the response. */
export class ReadingPace {
  readonly #response: ServerResponse;
  readonly #rate: LeastRate;
  readonly #clock: Clock;
  readonly #tooSlow: () => void;
  #deadlineMs: Milliseconds = Infinity;
  #timer: TimerHandle | undefined;

  /** `tooSlow` is called at most once, when bytes have waited for the client longer than `rate` allows. */
  constructor(response: ServerResponse, rate: LeastRate, clock: Clock, tooSlow: () => void) {
    this.#response = response;
    this.#rate = rate;
    this.#clock = clock;
    this.#tooSlow = tooSlow;
    response.once("close", () => this.#timer?.clear());
  }

  /** Writes to the response; false when it is full. */
  write(chunk: Buffer): boolean {
    const response = this.#response;
    const isFirst = response.writableLength === 0;
    const flows = response.write(chunk);
    const nowMs = this.#clock.monotonicMs();
    this.#deadlineMs = isFirst
      ? this.#rate.take(response.writableLength, nowMs)
      : this.#rate.more(this.#deadlineMs, chunk.length);
    if (this.#timer === undefined && !response.destroyed) this.#wait(this.#deadlineMs - nowMs);
    return flows;
  }

  #wait(delayMs: Milliseconds): void {
    if (delayMs < Infinity) this.#timer = this.#clock.setTimeout(() => this.#look(), delayMs);
  }

  #look(): void {
    this.#timer = undefined;
    // It has taken all in time.
    if (this.#response.writableLength === 0) return;
    const restMs = this.#deadlineMs - this.#clock.monotonicMs();
    if (restMs > 0) this.#wait(restMs);
    else this.#tooSlow();
  }
}
