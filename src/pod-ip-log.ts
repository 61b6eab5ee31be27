import type { Clock, Milliseconds } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Source } from "./routes/outcome.ts";
import type { ObjectKey } from "./routes/route.ts";

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
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #told = new Map<Source, { readonly atMs: Milliseconds; untold: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  tell({ source, key, ip, why, from }: RefusedPodIp): void {
    const nowMs = this.#clock.monotonicMs();
    const last = this.#told.get(source);
    if (last && nowMs - last.atMs < INTERVAL_MS) {
      last.untold += 1;
      return;
    }
    this.#told.set(source, { atMs: nowMs, untold: 0 });
    this.#log.warn("a sandbox is not served: no pod can have its IP", {
      sandbox: key,
      ip,
      why,
      writer: source,
      ...(from !== "" && { from }),
      ...(last && last.untold > 0 && { untoldBefore: last.untold }),
    });
  }
}
