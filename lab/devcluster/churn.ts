import type { Clock, TimerHandle } from "../../src/system/clock.ts";
import type { ObjectStore } from "./object-store.ts";
import { chance, pick, type Random, randomInteger } from "./random.ts";
import type { SandboxManager } from "./sandbox-manager.ts";
import { CLAIMED_LABEL, isReady, type StoredSandbox } from "./sandbox.ts";

/** How much happens by itself. */
export interface ChurnOptions {
  /** Claims, pauses, resumes and deletions, so many per second in all. 0 stops it. */
  readonly actionsPerSecond: number;
  /** Claimed sandboxes are about so many: below, claims are likelier; above, deletions. Default 8. */
  readonly targetClaimed?: number;
  /** A claim gets a shutdownTime soon, with this probability. Default 0.2. */
  readonly shortLived?: number;
  /** Sandboxes that churn leaves alone (the demo's example). Default: none. */
  readonly spare?: (sandbox: StoredSandbox) => boolean;
}

const OWNERS = ["ada", "grace", "edsger", "barbara", "leslie"];

/** Users who come and go, as their sandboxes do: seeded, so that the choices repeat. */
export class Churn {
  readonly #store: ObjectStore;
  readonly #manager: SandboxManager;
  readonly #clock: Clock;
  readonly #random: Random;
  #options: Required<ChurnOptions>;
  #timer: TimerHandle | undefined;
  #actions = 0;
  #stopped = false;

  constructor(
    store: ObjectStore,
    manager: SandboxManager,
    clock: Clock,
    random: Random,
    options: ChurnOptions,
  ) {
    this.#store = store;
    this.#manager = manager;
    this.#clock = clock;
    this.#random = random;
    this.#options = { targetClaimed: 8, shortLived: 0.2, spare: () => false, ...options };
    this.#schedule();
  }

  /** Actions begun so far. */
  get actions(): number {
    return this.#actions;
  }

  /** Changes the pace at once. */
  setRate(actionsPerSecond: number): void {
    this.#options = { ...this.#options, actionsPerSecond };
    this.#schedule();
  }

  /** No action begins after this. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.clear();
  }

  #schedule(): void {
    this.#timer?.clear();
    const { actionsPerSecond } = this.#options;
    if (this.#stopped || !(actionsPerSecond > 0)) return;
    // Exponential pauses, as independent users make.
    const pauseMs = (-Math.log(1 - this.#random.next()) * 1000) / actionsPerSecond;
    this.#timer = this.#clock.setTimeout(() => {
      this.#schedule();
      this.#actions++;
      // A sandbox may go away under an action: such is life.
      this.#act().catch(() => {});
    }, pauseMs);
  }

  async #act(): Promise<void> {
    const { targetClaimed, shortLived, spare } = this.#options;
    const claimed = [...this.#store.values()].filter(
      ({ metadata }) =>
        metadata.labels?.[CLAIMED_LABEL] === "true" && metadata.deletionTimestamp === undefined,
    );
    const mine = claimed.filter((sandbox) => !spare(sandbox));
    const random = this.#random;
    if (!chance(random, claimed.length / (2 * targetClaimed))) {
      const isShort = chance(random, shortLived);
      const owner = pick(random, OWNERS) ?? "ada";
      const nowMs = this.#clock.nowMs();
      await this.#manager.claim({
        owner,
        ...(isShort && { shutdownAtMs: nowMs + randomInteger(random, 3_000, 20_000) }),
      });
      return;
    }
    const sandbox = pick(random, mine);
    if (!sandbox) return;
    const { namespace, name } = sandbox.metadata;
    if (chance(random, 0.5)) await this.#manager.remove(namespace, name);
    else if (sandbox.spec.paused === true) await this.#manager.resume(namespace, name);
    else if (isReady(sandbox)) await this.#manager.pause(namespace, name);
  }
}
