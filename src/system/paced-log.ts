import type { Clock, Milliseconds } from "./clock.ts";
import type { Log, LogFields } from "./log.ts";

/** How loud a line is. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * Tells a log at most one line of each kind in an interval, and with the next one how many it did not tell. For what others
 * decide the number of: clients, peers, an API server. The kinds must be few.
 */
export class PacedLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #intervalMs: Milliseconds;
  readonly #told = new Map<string, { atMs: Milliseconds; untold: number }>();

  constructor(log: Log, clock: Clock, intervalMs: Milliseconds) {
    this.#log = log;
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /** `fields` is called only when the line is told. Lines of one `kind` count together. */
  tell(level: LogLevel, message: string, fields: () => LogFields, kind: string = message): void {
    const nowMs = this.#clock.monotonicMs();
    const last = this.#told.get(kind);
    if (last && nowMs - last.atMs < this.#intervalMs) {
      last.untold += 1;
      return;
    }
    this.#told.set(kind, { atMs: nowMs, untold: 0 });
    this.#log[level](message, { ...fields(), ...(last && last.untold > 0 && { untoldBefore: last.untold }) });
  }
}
