import type { Milliseconds } from "../../src/system/clock.ts";

/** What a sandbox is doing. `changing` is all between: it is created, starts, is being deleted. */
export type LifeState = "running" | "paused" | "changing" | "ended";

/** Which sandbox. */
export interface SandboxName {
  /** Routing ID: what a request asks for. */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
}

/** More turns than happen while one request is on its way. */
const TURNS_KEPT = 8;

/** What happened to one sandbox, as the cluster itself knows it. Times are {@link monotonicMs}. */
export class SandboxLife {
  #sandbox: SandboxName;
  /** Oldest first. */
  readonly #turns: { readonly atMs: Milliseconds; readonly state: LifeState }[] = [];
  /** When each of its pods was surely dead. */
  readonly #deadPods = new Map<string, Milliseconds>();
  #shutdownAtMs: Milliseconds | undefined;

  constructor(sandbox: SandboxName) {
    this.#sandbox = sandbox;
  }

  /** Which sandbox it is. */
  get sandbox(): SandboxName {
    return this.#sandbox;
  }

  /** Its routing ID is this from now on: a sandbox of a pool gets one when it is claimed. */
  isCalled(id: string): void {
    if (id !== this.#sandbox.id) this.#sandbox = { ...this.#sandbox, id };
  }

  /** What it does now. */
  get state(): LifeState {
    return this.#turns.at(-1)?.state ?? "changing";
  }

  /** It does something else from `atMs` on, or from the last turn if that was later; the same again is no turn. */
  turn(state: LifeState, atMs: Milliseconds): void {
    const last = this.#turns.at(-1);
    if (last?.state === state) return;
    this.#turns.push({ atMs: Math.max(atMs, last?.atMs ?? -Infinity), state });
    if (this.#turns.length > TURNS_KEPT) this.#turns.shift();
  }

  /** It ends by itself at that time: around it nothing is sure. */
  endsAt(atMs: Milliseconds | undefined): void {
    this.#shutdownAtMs = atMs;
  }

  /** The pod is dead: nothing that was asked from now on can be answered by it. */
  podDied(podUid: string, atMs: Milliseconds): void {
    this.#deadPods.set(podUid, atMs);
  }

  /** When the pod was surely dead, if it is. */
  podDiedAtMs(podUid: string): Milliseconds | undefined {
    return this.#deadPods.get(podUid);
  }

  /** Since when it is gone for good, if it is. */
  get endedAtMs(): Milliseconds | undefined {
    const last = this.#turns.at(-1);
    return last?.state === "ended" ? last.atMs : undefined;
  }

  /**
   * What it did all the time from `fromMs` to `untilMs`, and since when; `undefined` when it did more than one thing, or
   * may have.
   */
  during(
    fromMs: Milliseconds,
    untilMs: Milliseconds,
  ): { readonly state: LifeState; readonly sinceMs: Milliseconds } | undefined {
    const turns = this.#turns;
    const last = turns.findLastIndex(({ atMs }) => atMs <= untilMs);
    const turn = turns[last];
    if (!turn || turn.atMs > fromMs) return undefined;
    if (this.#shutdownAtMs !== undefined && turn.state !== "ended" && untilMs > this.#shutdownAtMs)
      return undefined;
    return { state: turn.state, sinceMs: turn.atMs };
  }
}
