import type { Clock, TimerHandle } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import type { Cidr } from "../cidr.ts";
import { describeNodeToolError } from "../node-tool-error.ts";
import { describeCidr, type OverlapResult, verdictCounts } from "./check.ts";
import type { OverlapVerdict } from "./verdict.ts";

/** What hears of checks. Methods are synchronous and don't throw. */
export interface OverlapObserver {
  checked(check: {
    readonly verdictCounts: Partial<Record<OverlapVerdict, number>>;
    readonly strict: boolean;
    readonly atMs: number;
  }): void;
  /** A check could not be done; what the last one found stands. */
  failed(): void;
}

/** How a monitor is set up. */
export interface OverlapMonitorOptions {
  /** Strict: {@link OverlapMonitor.ready} says no while something is wrong. */
  readonly strict: boolean;
  readonly intervalMs: number;
  /** The CIDRs to check this time. */
  readonly cidrs: () => readonly Cidr[];
  readonly check: (cidrs: readonly Cidr[]) => Promise<OverlapResult>;
  readonly observer: OverlapObserver;
  readonly clock: Clock;
  readonly log: Log;
}

const FIRST = "the first overlap check has not ended";

/**
 * Checks again and again where the kernel sends the expected CIDRs, tells what changes, and says whether the router may be ready. A check
 * begins `intervalMs` after the last one has ended, so that there is never more than one.
 */
export class OverlapMonitor {
  readonly #options: OverlapMonitorOptions;
  #timer: TimerHandle | undefined;
  #running = Promise.resolve();
  #stopped = false;
  /** What {@link ready} says. */
  #why = FIRST;
  /** By CIDR, what was logged of it last; `""` for a check that failed. */
  #told = new Map<string, string>();

  constructor(options: OverlapMonitorOptions) {
    this.#options = options;
  }

  /** Begins with a check at once. */
  start(): void {
    this.#running = this.#round();
  }

  /** Resolves when no check runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.clear();
    await this.#running;
  }

  /** True, or why the router must not be ready: it names the CIDR. */
  ready(): true | string {
    return this.#options.strict && this.#why !== "" ? this.#why : true;
  }

  async #round(): Promise<void> {
    const { check, cidrs, observer, clock, intervalMs, strict, log } = this.#options;
    try {
      const result = await check(cidrs());
      this.#tell(result);
      this.#why = whyNot(result);
      observer.checked({ verdictCounts: verdictCounts(result), strict, atMs: clock.nowMs() });
    } catch (error) {
      const why = `the overlap check failed: ${describeNodeToolError(error)}`;
      if (this.#told.get("") !== why) log.error(why);
      this.#told.set("", why);
      // What an earlier check found stands; without one nothing is known.
      if (this.#why === FIRST || this.#why.startsWith("the overlap check failed")) this.#why = why;
      observer.failed();
    }
    if (!this.#stopped)
      this.#timer = clock.setTimeout(() => void (this.#running = this.#round()), intervalMs);
  }

  #tell(result: OverlapResult): void {
    const { log } = this.#options;
    const told = new Map<string, string>();
    for (const one of result.cidrs) {
      const { cidr, verdict, findings } = one;
      if (verdict === "ok") continue;
      const words = describeCidr(one);
      told.set(cidr, words);
      if (this.#told.get(cidr) === words) continue;
      log.warn(`the kernel sends a CIDR elsewhere: ${words}`, { cidr, verdict, fix: findings[0]?.fix.text });
    }
    for (const cidr of this.#told.keys())
      if (cidr !== "" && !told.has(cidr)) log.info(`the kernel sends ${cidr} by the default route again`);
    this.#told = told;
  }
}

const MAX_NAMED = 3;

/** What is wrong, empty when nothing is; it goes into one line of `/readyz`. */
function whyNot({ cidrs }: OverlapResult): string {
  const wrong = cidrs.filter(({ verdict }) => verdict !== "ok");
  const named = wrong.slice(0, MAX_NAMED).map(describeCidr);
  if (wrong.length > MAX_NAMED) named.push(`and ${wrong.length - MAX_NAMED} more`);
  return named.join("; ");
}
