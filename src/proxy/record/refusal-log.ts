import { messageWithCauseOf } from "../../system/error-text.ts";
import { PacedLog } from "../../system/paced-log.ts";
import type { Clock } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { REASONS } from "../reply/reasons.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { RequestTrace } from "./request-trace.ts";

/** At most one line for each reason in this time: clients decide how many requests are refused. */
const INTERVAL_MS = 1000;

/** Logs refusals, as loudly as their reason asks, and how many it left out. */
export class RefusalLog {
  readonly #log: PacedLog;

  constructor(log: Log, clock: Clock) {
    this.#log = new PacedLog(log, clock, INTERVAL_MS);
  }

  /** Tells of a client whose connection was ended for what it did, at the same rate. */
  tellOfClient(message: string, client: string): void {
    this.#log.tell("warn", message, () => ({ client }));
  }

  tell(trace: RequestTrace, reason: RefusalReason, error?: Error): void {
    const { logLevel } = REASONS[reason];
    if (!logLevel) return;
    this.#log.tell(logLevel, `request refused: ${reason}`, () => ({
      requestId: trace.requestId,
      sandbox: trace.sandbox,
      incarnation: trace.incarnation,
      error: error && messageWithCauseOf(error),
    }));
  }
}
