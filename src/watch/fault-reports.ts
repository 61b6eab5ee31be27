import type { Observation } from "../routes/observation.ts";
import type { Clock, Milliseconds } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import { PacedLog } from "../system/paced-log.ts";
import type { WatchTarget } from "./api-paths.ts";
import type { ApiFault, FaultKind } from "./fault.ts";
import { adviceFor } from "./fault-advice.ts";
import type { WatchedObject } from "./watched-object.ts";

/** While a fault lasts, each kind of it is logged once in this time: a server that is away is tried each second. */
const FAULT_LOG_EVERY_MS: Milliseconds = 30_000;

/** A fault as it was logged. */
export interface ReportedFault {
  readonly kind: FaultKind;
  readonly message: string;
}

/** Options of {@link FaultReports}. */
export interface FaultReportsOptions<T extends WatchedObject> {
  readonly target: WatchTarget<T>;
  readonly log: Log;
  readonly clock: Clock;
}

/** What one scope's log is told of faults: each kind of an outage from its first one on, and then now and again. */
export class FaultReports<T extends WatchedObject = Observation> {
  readonly #options: FaultReportsOptions<T>;
  #paced: PacedLog;
  readonly #ofChecks: PacedLog;
  #last: ReportedFault | undefined;

  constructor(options: FaultReportsOptions<T>) {
    this.#options = options;
    this.#paced = this.#newPaced();
    this.#ofChecks = this.#newPaced();
  }

  /** What went wrong last, while it has not been cured. */
  get last(): ReportedFault | undefined {
    return this.#last;
  }

  /** A list or a watch failed and is tried again. A watch that the server ended in good order is no fault. */
  report(doing: "list" | "watch", fault: ApiFault): void {
    const { log, target } = this.#options;
    const fields = this.#fieldsOf(fault);
    if (fault.code === "closed") {
      log.debug(`the ${doing} ended`, fields);
      return;
    }
    this.#last = { kind: fault.code, message: fault.message };
    const advice = adviceFor(fault, target);
    this.#paced.tell(
      advice === undefined ? "warn" : "error",
      `the ${doing} failed and is tried again`,
      () => (advice === undefined ? fields : { ...fields, advice }),
      `${doing} ${fault.code}`,
    );
  }

  /** A version check failed. Told of what waiting does not cure; the watch tells of the rest by itself. */
  reportCheck(fault: ApiFault): void {
    const advice = adviceFor(fault, this.#options.target);
    if (advice === undefined) return;
    this.#ofChecks.tell("error", "the version check failed and is tried again", () => ({
      ...this.#fieldsOf(fault),
      advice,
    }));
  }

  /** The server was heard. */
  cured(): void {
    if (this.#last === undefined) return;
    this.#last = undefined;
    // The next outage is logged from its first fault on.
    this.#paced = this.#newPaced();
  }

  #fieldsOf({ code, message }: ApiFault) {
    return { scope: this.#options.target.scope || "all namespaces", reason: code, message };
  }

  #newPaced(): PacedLog {
    return new PacedLog(this.#options.log, this.#options.clock, FAULT_LOG_EVERY_MS);
  }
}
