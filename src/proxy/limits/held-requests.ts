import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { IncarnationListener, RouteLookup } from "../../routes/lookup.ts";
import type { TargetResult } from "../target/target.ts";

/** Options of {@link HeldRequests}. */
export interface HeldRequestsOptions {
  readonly routes: RouteLookup;
  readonly clock: Clock;
  /** Longest time for which one request is held. 0 holds none. */
  readonly settleMs: Milliseconds;
  /** Requests held at a time; more are refused. */
  readonly maxHeld: number;
}

/** What is told of a request that was held. */
export interface HeldObserver {
  /** `settled`: the doubt is over; `timeout`: it is not; `left`: its client is gone. */
  released(how: "settled" | "timeout" | "left"): void;
}

/** What becomes of a request that names a sandbox in doubt. */
export type Hold =
  /** `resume` will be called, once and not before this returns, unless `cancel` is. */
  | { readonly kind: "held"; readonly cancel: () => void }
  /** Too many are held. */
  | { readonly kind: "full" }
  /** There is no doubt. */
  | { readonly kind: "free" };

interface Waiting {
  readonly target: Extract<TargetResult, { kind: "target" }>["target"];
  readonly resume: () => void;
  timer: TimerHandle | undefined;
}

const FREE: Hold = { kind: "free" };
const FULL: Hold = { kind: "full" };

/**
 * The requests that wait until what peers pushed of their sandbox is settled (docs/route-table.md#rule-12): a few
 * milliseconds, and never longer than `settleMs`. Listens to the routes; what waits is looked at again whenever a doubt
 * ends.
 */
export class HeldRequests implements IncarnationListener {
  readonly #options: HeldRequestsOptions;
  readonly #observer: HeldObserver;
  readonly #waiting = new Set<Waiting>();
  #isLooking = false;

  constructor(options: HeldRequestsOptions, observer: HeldObserver) {
    this.#options = options;
    this.#observer = observer;
  }

  /** Requests that are held at this moment. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Whether anything is in doubt: nearly never, and then nobody need ask {@link HeldRequests.hold}. */
  get mayHold(): boolean {
    return this.#options.routes.doubtful > 0;
  }

  /** Holds a request for `result` while its sandbox is in doubt. */
  hold(result: TargetResult, resume: () => void): Hold {
    const { clock, settleMs, maxHeld } = this.#options;
    if (result.kind !== "target" || settleMs === 0 || !this.#isHeld(result.target)) return FREE;
    if (this.#waiting.size >= maxHeld) return FULL;
    const waiting: Waiting = { target: result.target, resume, timer: undefined };
    waiting.timer = clock.setTimeout(() => {
      if (this.#waiting.delete(waiting)) this.#release(waiting, "timeout");
    }, settleMs);
    this.#waiting.add(waiting);
    return {
      kind: "held",
      cancel: () => {
        if (!this.#waiting.delete(waiting)) return;
        waiting.timer?.clear();
        this.#observer.released("left");
      },
    };
  }

  incarnationEnded(): void {}

  /** Not from within the mutation that tells of it: what goes on asks the table, and may end connections. */
  doubtChanged(): void {
    if (this.#isLooking || this.#waiting.size === 0) return;
    this.#isLooking = true;
    queueMicrotask(() => {
      this.#isLooking = false;
      for (const waiting of this.#waiting) {
        if (this.#isHeld(waiting.target)) continue;
        this.#waiting.delete(waiting);
        waiting.timer?.clear();
        this.#release(waiting, "settled");
      }
    });
  }

  #isHeld({ by }: Waiting["target"]): boolean {
    const { routes } = this.#options;
    return by.kind === "id" ? routes.isHeld(by.id) : routes.isObjectHeld(by.namespace, by.name);
  }

  #release({ resume }: Waiting, how: "settled" | "timeout"): void {
    this.#observer.released(how);
    resume();
  }
}
