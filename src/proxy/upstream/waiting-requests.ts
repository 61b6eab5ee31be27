import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import { shareOfLimit } from "./client-share.ts";
import type { Holder } from "./pooled-connection.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Limits and times of requests that wait. */
export interface WaitingSettings {
  /** Requests that may wait for a connection. */
  readonly maxWaitingPerSandbox: number;
  /** How long a request waits for a connection. */
  readonly waitTimeoutMs: Milliseconds;
  /** Of connections, tunnels and waiting places each, how much one client may have, in percent. 100: no limit. */
  readonly clientSharePercent: number;
}

/** What came of a wish. `full`: the limit of the sandbox is reached; `share`: that of the client. */
export type Served = "served" | "full" | "share";

/** A wish for a connection, of whatever kind. */
interface Waiter {
  readonly lessee: Pick<Holder, "client"> & { refused(error: UpstreamError): void };
  /** Takes a kept connection or opens one, if there is one to have. */
  readonly serve: () => Served;
  readonly timer: TimerHandle;
}

/** Requests that wait for a connection to one incarnation, in order of arrival. */
export class WaitingRequests {
  readonly #settings: WaitingSettings;
  readonly #clock: Clock;
  readonly #timedOut: () => void;
  readonly #share: number;
  readonly #waiting = new Set<Waiter>();

  /** `timedOut` is called after a request was refused because it waited too long. */
  constructor(settings: WaitingSettings, clock: Clock, timedOut: () => void) {
    this.#settings = settings;
    this.#clock = clock;
    this.#timedOut = timedOut;
    this.#share = shareOfLimit(settings.maxWaitingPerSandbox, settings.clientSharePercent);
  }

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Why one more request of this client can't wait; undefined when it can. */
  refusalFor(client: string): string | undefined {
    if (this.#waiting.size >= this.#settings.maxWaitingPerSandbox) {
      return "too many requests wait for a connection to this sandbox";
    }
    if (this.#waiting.size < this.#share) return undefined;
    let itsOwn = 0;
    for (const { lessee } of this.#waiting) if (lessee.client === client) itsOwn += 1;
    return itsOwn < this.#share
      ? undefined
      : "too many requests of this client wait for a connection to this sandbox";
  }

  /** Lets a request wait until it is served, refused or removed. `serve` is called whenever a connection may be free. */
  add(lessee: Waiter["lessee"], serve: () => Served): Waiter {
    const { waitTimeoutMs } = this.#settings;
    const timer = this.#clock.setTimeout(() => {
      this.#waiting.delete(waiter);
      const why = `no connection to this sandbox became free in ${waitTimeoutMs} ms`;
      lessee.refused(new UpstreamError("overloaded", why));
      this.#timedOut();
    }, waitTimeoutMs);
    const waiter: Waiter = { lessee, serve, timer };
    this.#waiting.add(waiter);
    return waiter;
  }

  /** Ends a wait. False when it had ended before. */
  remove(waiter: Waiter): boolean {
    waiter.timer.clear();
    return this.#waiting.delete(waiter);
  }

  /** Serves as many as there are connections for, in order of arrival. Requests of a client that has its share are passed over. */
  serve(): void {
    let sated: Set<string> | undefined;
    for (const waiter of this.#waiting) {
      const { client } = waiter.lessee;
      if (sated?.has(client)) continue;
      const served = waiter.serve();
      if (served === "full") return;
      if (served === "share") {
        sated ??= new Set();
        sated.add(client);
        continue;
      }
      this.remove(waiter);
    }
  }

  /** Ends all waits. */
  refuseAll(error: UpstreamError): void {
    for (const { lessee, timer } of this.#waiting) {
      timer.clear();
      lessee.refused(error);
    }
    this.#waiting.clear();
  }
}
