import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { REASONS } from "../reply/reasons.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { RequestTrace } from "./request-trace.ts";

/** At most one line for each reason in this time: clients decide how many requests are refused. */
const INTERVAL_MS = 1000;

/** Tells the operational log of refusals, as loudly as their reason asks, and how many it did not tell. */
export class RefusalLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #told = new Map<RefusalReason, { readonly atMs: Milliseconds; untold: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  tell(trace: RequestTrace, reason: RefusalReason, error?: Error): void {
    const { logLevel } = REASONS[reason];
    if (!logLevel) return;
    const nowMs = this.#clock.monotonicMs();
    const last = this.#told.get(reason);
    if (last && nowMs - last.atMs < INTERVAL_MS) {
      last.untold += 1;
      return;
    }
    this.#told.set(reason, { atMs: nowMs, untold: 0 });
    this.#log[logLevel](`request refused: ${reason}`, {
      requestId: trace.requestId,
      sandbox: trace.sandbox,
      incarnation: trace.incarnation,
      error: error && describe(error),
      ...(last && last.untold > 0 && { untoldBefore: last.untold }),
    });
  }
}

function describe(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
