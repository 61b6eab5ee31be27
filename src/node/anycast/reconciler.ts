import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { describeNodeToolError } from "../node-tool-error.ts";
import { Announcements, type BirdPort } from "./announcements.ts";
import type { Backend } from "./backend.ts";
import type { FailedStep } from "./kernel.ts";
import { KnownBackends, type KnownBackendsOptions } from "./known-backends.ts";
import type { AnycastObserver } from "./observer.ts";
import { Passes } from "./passes.ts";
import { type AddressPlan, type GroupType, type KernelState, plan, type Step } from "./plan.ts";
import type { AnycastStatus } from "./status.ts";

/** The kernel's side; `AnycastKernel` is it. */
export interface KernelPort {
  read(addresses: readonly string[], nexthops: readonly string[]): Promise<KernelState>;
  apply(steps: readonly Step[]): Promise<readonly FailedStep[]>;
  hashPolicyAdvice(): Promise<readonly string[]>;
}

/** Options of {@link AnycastReconciler}. */
export interface ReconcilerOptions extends KnownBackendsOptions {
  readonly groupType: GroupType;
  readonly resyncMs: Milliseconds;
  readonly kernel: KernelPort;
  readonly bird: BirdPort;
  readonly observer: AnycastObserver;
  readonly clock: Clock;
  readonly log: Log;
}

/** What happens within this time is dealt with in one pass. */
const COALESCE_MS: Milliseconds = 2;
/** The same for what the kernel tells, since most of that is none of ours or our own doing. */
const KERNEL_COALESCE_MS: Milliseconds = 50;
/** Pause after a pass that failed. */
const RETRY_MS: Milliseconds = 1000;
/** Pause between looks whether BIRD still has what it was given: it tells nobody of changes. */
const LOOK_MS: Milliseconds = 1000;
/** The same failure is logged again after so long. */
const REPEAT_LOG_MS: Milliseconds = 60_000;

/**
 * Keeps kernel and BIRD as the sources say (docs/architecture.md#node): one pass at a time, each from what there is to what
 * is wanted by {@link plan}; started by changes of the sources, by the kernel's events and, for drift, by time. A pass that
 * fails is tried again; nothing that fails for one address keeps the others from being right.
 *
 * Withdrawing comes before everything, also before the kernel is asked, and an address is announced only if its backend
 * is eligible at that very moment, whatever was the case when the pass began.
 */
export class AnycastReconciler {
  readonly #options: ReconcilerOptions;
  readonly #backends: KnownBackends;
  readonly #bird: Announcements;
  readonly #passes: Passes;
  #look: TimerHandle | undefined;
  /** What was wanted when a pass last ended well: what changes after that, without another wish, is drift. */
  #settledWish: string | undefined;
  #addresses: readonly AddressPlan[] = [];
  /** When each failure was logged last. */
  readonly #loggedAtMs = new Map<string, Milliseconds>();
  #lastPass: AnycastStatus["lastPass"] = null;
  #advice: readonly string[] = [];
  #adopted = false;

  constructor(options: ReconcilerOptions) {
    const { bird, observer, clock, log } = options;
    this.#options = options;
    this.#backends = new KnownBackends(options);
    this.#bird = new Announcements({
      bird,
      takeLostAtMs: (address) => this.#backends.takeLostAtMs(address),
      refused: (fault) => this.#complain("BIRD refused its configuration", fault),
      observer,
      clock,
      log,
    });
    this.#passes = new Passes({
      pass: () => this.#pass(),
      againMs: COALESCE_MS,
      passed: () => this.#lookLater(),
      clock,
    });
  }

  /** All sources have been heard. */
  get synced(): boolean {
    return this.#backends.synced;
  }

  /** A source's backends, all of them. */
  setBackends(source: string, backends: readonly Backend[]): void {
    const { clock, observer } = this.#options;
    this.#backends.set(source, backends, clock.monotonicMs());
    const all = this.#backends.all();
    const count = (wanted: Backend["state"]): number => all.filter(({ state }) => state === wanted).length;
    observer.backends({
      eligible: count("eligible"),
      terminating: count("terminating"),
      not_ready: count("not_ready"),
    });
    this.#within(COALESCE_MS);
  }

  /** The kernel has changed something, perhaps one of ours. */
  kernelChanged(): void {
    this.#within(KERNEL_COALESCE_MS);
  }

  /** Passes no more; resolves when the last is over. With `withdraw`, BIRD and kernel are rid of all that is ours. */
  async stop(withdraw: boolean): Promise<void> {
    this.#look?.clear();
    await this.#passes.stop();
    if (!withdraw) return;
    const { bird, kernel, addresses, groupType, log } = this.#options;
    const fault = await this.#bird.set(new Set());
    if (fault !== "") log.error("BIRD may go on announcing: it could not be told to withdraw", { fault });
    const state = await kernel.read(addresses, []);
    const nothing = { addresses: [], backends: [], lingering: new Set<string>(), groupType };
    await kernel.apply(plan(nothing, state, await bird.inFile()).steps);
  }

  status(): AnycastStatus {
    const { addresses } = this.#options;
    const plans = new Map(this.#addresses.map((plan) => [plan.address, plan]));
    return {
      from: "daemon",
      synced: this.synced,
      api: "",
      bird: this.#bird.fault,
      lastPass: this.#lastPass,
      addresses: addresses.map((address) => {
        const plan = plans.get(address);
        return {
          address,
          announced: this.#bird.isKnown ? this.#bird.addresses.has(address) : null,
          members: plan?.members ?? [],
          why: plan ? this.#whyNot(plan) : "waiting for the sources of backends",
        };
      }),
      backends: this.#backends.all(),
      advice: this.#advice,
    };
  }

  #whyNot({ address, announced, why }: AddressPlan): string {
    return announced && !this.#bird.addresses.has(address) && this.#bird.fault ? this.#bird.fault : why;
  }

  /** A pass begins after this long at the latest, once all sources have been heard. */
  #within(delayMs: Milliseconds): void {
    if (this.synced) this.#passes.within(delayMs);
  }

  #lookLater(): void {
    this.#look?.clear();
    this.#look = this.#options.clock.setTimeout(() => void this.#lookAtBird(), LOOK_MS);
  }

  /** A pass begins when BIRD or its file are not as they were left. Costs no process, unlike a pass. Never rejects. */
  async #lookAtBird(): Promise<void> {
    const areAsLeft = await this.#bird.areAsLeft();
    if (!this.#passes.isBetween || areAsLeft === undefined) return;
    if (areAsLeft) this.#lookLater();
    else this.#within(0);
  }

  /** Logs a failure that is new, or that goes on for a minute. */
  #complain(message: string, fault: string): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [key, atMs] of this.#loggedAtMs)
      if (nowMs - atMs >= REPEAT_LOG_MS) this.#loggedAtMs.delete(key);
    const key = `${message}: ${fault}`;
    if (this.#loggedAtMs.has(key)) return;
    this.#loggedAtMs.set(key, nowMs);
    this.#options.log.error(message, { fault });
  }

  /** One pass; resolves to the pause before the next. Never rejects. */
  async #pass(): Promise<Milliseconds> {
    const { clock, observer, log, resyncMs } = this.#options;
    const startedMs = clock.monotonicMs();
    let fault = "";
    try {
      fault = await this.#reconcile();
    } catch (error) {
      fault = describeNodeToolError(error);
    }
    const tookMs = clock.monotonicMs() - startedMs;
    const ok = fault === "";
    if (!ok) this.#complain("anycast: a pass failed and is tried again", fault);
    if (ok && this.#lastPass?.ok === false) {
      log.info("anycast: all is as it should be again");
      this.#loggedAtMs.clear();
    }
    this.#lastPass = {
      at: new Date(clock.nowMs()).toISOString(),
      ok,
      tookMs: Math.round(tookMs * 10) / 10,
      fault,
    };
    observer.reconciled(ok, tookMs);
    observer.addresses({
      announced: this.#bird.addresses.size,
      withdrawn: this.#options.addresses.filter((address) => !this.#bird.addresses.has(address)).length,
    });
    if (!ok) return Math.min(RETRY_MS, resyncMs);
    return Math.min(resyncMs, this.#backends.nextLingerEndMs(clock.monotonicMs()) + 1);
  }

  /** Resolves to what went wrong, empty when nothing did. Rejects when nothing could be done at all. */
  async #reconcile(): Promise<string> {
    const { addresses, groupType, kernel, clock, log, observer } = this.#options;
    const bird = this.#bird;
    const faults: string[] = [];
    await bird.readFile();
    // Withdrawing comes before anything is asked.
    const early = this.#among(bird.addresses);
    const earlyFault = early.size < bird.addresses.size ? await bird.set(early) : "";
    faults.push(earlyFault);

    const backends = this.#backends.all();
    const lingering = this.#backends.lingering(clock.monotonicMs());
    const wish = JSON.stringify([backends, [...lingering]]);
    // Only where something may be sent anew: each look-up is a process.
    const nexthops = [
      ...new Set(backends.flatMap(({ state, nexthops }) => (state === "eligible" ? nexthops : []))),
    ];
    const [state, inBird] = await Promise.all([
      kernel.read(addresses, nexthops),
      // One that did not answer a moment ago is not waited for again: the kernel's part must not lag.
      earlyFault !== "" && !bird.isKnown ? earlyFault : bird.ask(),
    ]);
    faults.push(bird.heard(inBird, earlyFault === ""));
    if (!this.#adopted) {
      this.#adopted = true;
      for (const [address, group] of state.routes) {
        observer.changed("adopt");
        log.info("adopted what an earlier run left", { address, group });
      }
    }

    const { steps, addresses: plans } = plan(
      { addresses, backends, lingering, groupType },
      state,
      bird.addresses,
    );
    this.#addresses = plans;
    if (steps.length > 0 && wish === this.#settledWish) {
      observer.drifted();
      log.warn("kernel or BIRD were not as they had been left; putting them right", {
        steps: steps.map(describeStep),
      });
    }
    const isWithdrawing = steps.some(({ kind }) => kind === "withdraw");
    const wanted = new Set(plans.filter(({ announced }) => announced).map(({ address }) => address));
    if (isWithdrawing) {
      faults.push(await bird.set(this.#among(intersection(wanted, bird.addresses))));
    }
    // Without a BIRD there is no session either; but what a BIRD that refuses still announces keeps its route.
    const isStuck = bird.fault !== "" && [...bird.addresses].some((address) => !wanted.has(address));
    const failed = await kernel.apply(isStuck && bird.isKnown ? steps.filter(isInstall) : steps);
    for (const { step, why } of failed) {
      faults.push(why);
      if ("address" in step) wanted.delete(step.address);
    }
    this.#note(steps, failed);
    // Of this moment: a backend may have been told to end while the kernel was being changed.
    faults.push(await bird.settle(this.#among(wanted)));
    const seen = faults.filter((fault) => fault !== "");
    this.#settledWish = seen.length === 0 ? wish : undefined;
    if (steps.length > 0 || this.#advice.length > 0) await this.#advise(plans);
    return [...new Set(seen)].join("; ");
  }

  /** Those of `addresses` that have an eligible backend now. */
  #among(addresses: ReadonlySet<string>): ReadonlySet<string> {
    return intersection(addresses, this.#backends.servedAddresses());
  }

  #note(steps: readonly Step[], failed: readonly FailedStep[]): void {
    const { observer, log } = this.#options;
    const refused = new Set(failed.map(({ step }) => step));
    for (const step of steps) {
      if (refused.has(step)) continue;
      if (step.kind === "set_group") {
        observer.changed(step.change === "shrink" ? "shrink" : "grow");
        log.debug(`group ${step.change}`, { address: step.address, members: step.group.members.size });
      } else if (step.kind === "drop_route") {
        observer.changed("remove");
        log.info("route removed", { address: step.address });
      }
    }
  }

  async #advise(plans: readonly AddressPlan[]): Promise<void> {
    const isShared = plans.some(({ members }) => members.filter(({ eligible }) => eligible).length > 1);
    const advice = isShared ? await this.#options.kernel.hashPolicyAdvice() : this.#advice;
    for (const line of advice) if (!this.#advice.includes(line)) this.#options.log.warn(line);
    this.#advice = advice;
  }
}

function isInstall({ kind }: Step): boolean {
  return !kind.startsWith("drop_");
}

function describeStep(step: Step): string {
  if ("address" in step) return `${step.kind} ${step.address}`;
  return "id" in step ? `${step.kind} ${step.id}` : `${step.kind} ${step.addresses.join(" ")}`;
}

function intersection(one: ReadonlySet<string>, other: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...one].filter((item) => other.has(item)));
}
