import { Agent, request } from "node:http";
import type { Clock, TimerHandle } from "../../src/system/clock.ts";
import { idOf } from "./controller.ts";
import type { ObjectStore } from "./object-store.ts";
import { pick, type Random } from "./random.ts";
import { CLAIMED_LABEL, isReady } from "./sandbox.ts";

/** Options of {@link Visitor}. */
export interface VisitorOptions {
  /** Base URL of a router's traffic port. */
  readonly url: string;
  readonly store: ObjectStore;
  /** 0: none. */
  readonly requestsPerSecond: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** `User-Agent` of every request, so that whoever logs can tell them apart. */
export const VISITOR_AGENT = "lychgate-demo-visitor";

const PORT = 3000;
const TIMEOUT_MS = 10_000;

/** Somebody who uses the claimed sandboxes that run, one after the other by chance, through a router. */
export class Visitor {
  readonly #options: VisitorOptions;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });
  #timer: TimerHandle | undefined;
  #stopped = false;

  constructor(options: VisitorOptions) {
    this.#options = options;
    this.#schedule();
  }

  /** No request begins after this; those under way are cut. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.clear();
    this.#agent.destroy();
  }

  #schedule(): void {
    const { requestsPerSecond, clock } = this.#options;
    if (this.#stopped || !(requestsPerSecond > 0)) return;
    this.#timer = clock.setTimeout(() => {
      this.#schedule();
      this.#visit();
    }, 1_000 / requestsPerSecond);
  }

  #visit(): void {
    const { url, store, random } = this.#options;
    const living = [...store.values()].filter(
      (sandbox) =>
        sandbox.metadata.labels?.[CLAIMED_LABEL] === "true" &&
        sandbox.metadata.deletionTimestamp === undefined &&
        isReady(sandbox),
    );
    const sandbox = pick(random, living);
    if (!sandbox) return;
    const host = `${PORT}-${idOf(sandbox)}.example.com`;
    const headers = { host, "user-agent": VISITOR_AGENT };
    // It may be paused or gone by then: that is for the router's counters to say.
    request(url, { headers, agent: this.#agent, timeout: TIMEOUT_MS }, (response) => response.resume())
      .on("timeout", function (this: { destroy(): void }) {
        this.destroy();
      })
      .on("error", () => {})
      .end();
  }
}
