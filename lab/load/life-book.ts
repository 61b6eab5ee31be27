import type { Milliseconds } from "../../src/system/clock.ts";
import { type LifeState, SandboxLife } from "./sandbox-life.ts";
import type { TargetChange, TargetMode } from "./target-picker.ts";

/** What a source of truth knows of a sandbox at a moment. */
export interface SandboxNow {
  /** Tells two sandboxes of one name apart. */
  readonly uid: string;
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly state: LifeState;
  /** The pod that it has. */
  readonly podUid?: string | undefined;
  /** When it ends by itself, on the monotonic scale. */
  readonly shutdownAtMs?: Milliseconds | undefined;
  /** A user has it: requests may ask for it. */
  readonly isTarget: boolean;
}

interface Entry {
  readonly life: SandboxLife;
  /** Index among the targets, once it is one. */
  target?: number;
}

/** The lives of all sandboxes that were told of, and the list of those to ask. */
export class LifeBook {
  readonly #hostOf: (id: string) => string;
  readonly #entries = new Map<string, Entry>();
  readonly #targets: SandboxLife[] = [];
  readonly #podOwners = new Map<string, SandboxLife>();
  readonly #blurMs: Milliseconds;
  #changes: TargetChange[] = [];

  /**
   * `hostOf` gives the Host by which a routing ID is asked for. What is told may have happened up to `blurMs` before
   * (default 0: it is told as it happens): for that time nothing is sure.
   */
  constructor(hostOf: (id: string) => string, blurMs: Milliseconds = 0) {
    this.#hostOf = hostOf;
    this.#blurMs = blurMs;
  }

  /** Targets that run now. */
  get running(): number {
    return this.#targets.filter(({ state }) => state === "running").length;
  }

  /** The life of the target with this index. */
  target(index: number): SandboxLife {
    const life = this.#targets[index];
    if (!life) throw new RangeError(`there is no target ${index}`);
    return life;
  }

  /** Whose pod it is. */
  ownerOf(podUid: string): SandboxLife | undefined {
    return this.#podOwners.get(podUid);
  }

  /** Notes what a sandbox is at `atMs`. */
  tell(now: SandboxNow, atMs: Milliseconds): void {
    const { uid, id, namespace, name, state, podUid } = now;
    const entry = this.#entries.get(uid) ?? { life: new SandboxLife({ id, namespace, name }) };
    this.#entries.set(uid, entry);
    const { life } = entry;
    life.isCalled(id);
    if (this.#blurMs > 0 && life.state !== state) life.turn("changing", atMs - this.#blurMs);
    life.turn(state, atMs);
    life.endsAt(now.shutdownAtMs);
    if (podUid !== undefined) this.#podOwners.set(podUid, life);
    if (now.isTarget && entry.target === undefined) entry.target = this.#targets.push(life) - 1;
    if (entry.target !== undefined) {
      this.#changes.push({ index: entry.target, host: this.#hostOf(id), mode: modeOf(state) });
    }
  }

  /** The sandbox is gone for good. Unknown ones are none of ours. */
  ended(uid: string, atMs: Milliseconds): void {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    entry.life.turn("ended", atMs);
    if (entry.target === undefined) return;
    this.#changes.push({ index: entry.target, host: this.#hostOf(entry.life.sandbox.id), mode: "ended" });
  }

  /** The pod is dead. */
  podDied(podUid: string, atMs: Milliseconds): void {
    this.#podOwners.get(podUid)?.podDied(podUid, atMs);
  }

  /** What has changed for those who ask, since this was called last. */
  takeChanges(): TargetChange[] {
    return this.#changes.splice(0);
  }
}

function modeOf(state: LifeState): TargetMode {
  return state === "running" || state === "ended" ? state : "resting";
}
