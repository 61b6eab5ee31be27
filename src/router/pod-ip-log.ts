import type { Clock, Milliseconds } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import { PacedLog } from "../system/paced-log.ts";
import type { Source } from "../routes/outcome.ts";
import type { ObjectKey } from "../routes/route.ts";

/** At most one line for each writer in this time: a peer decides how many it pushes. */
const INTERVAL_MS: Milliseconds = 60_000;

/** A route that is not served since no pod can have its IP. */
export interface RefusedPodIp {
  readonly source: Source;
  readonly key: ObjectKey;
  readonly ip: string;
  /** Why, for people. */
  readonly why: string | undefined;
  /** The address that the push came from; `""` of what the informer says. */
  readonly from: string;
}

/** Tells the operational log of refused pod IPs, at a bounded rate, and how many it did not tell. */
export class PodIpLog {
  readonly #log: PacedLog;

  constructor(log: Log, clock: Clock) {
    this.#log = new PacedLog(log, clock, INTERVAL_MS);
  }

  tell({ source, key, ip, why, from }: RefusedPodIp): void {
    const message = "a sandbox is not served: no pod can have its IP";
    const fields = { sandbox: key, ip, why, writer: source, ...(from !== "" && { from }) };
    this.#log.tell("warn", message, () => fields, source);
  }
}
