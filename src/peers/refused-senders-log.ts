import type { Clock, Milliseconds } from "../clock.ts";
import type { Log } from "../log.ts";

/** At most one line for each message in this time: senders decide how many pushes are refused. */
const INTERVAL_MS: Milliseconds = 60_000;

/** Tells the operational log of senders whose pushes are not read, at a bounded rate, and how many it did not tell. */
export class RefusedSendersLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #told = new Map<string, { readonly atMs: Milliseconds; untold: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** `message` is one of few; `from` is the sender's address. */
  tell(message: string, from: string): void {
    const nowMs = this.#clock.monotonicMs();
    const last = this.#told.get(message);
    if (last && nowMs - last.atMs < INTERVAL_MS) {
      last.untold += 1;
      return;
    }
    this.#told.set(message, { atMs: nowMs, untold: 0 });
    this.#log.warn(message, { from, ...(last && last.untold > 0 && { untoldBefore: last.untold }) });
  }
}
