import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";

/** What {@link Passes} needs. */
export interface PassesOptions {
  /** Does one pass, and resolves to the pause before the next. Must not reject. */
  readonly pass: () => Promise<Milliseconds>;
  /** The pause before the next pass when one was asked for meanwhile. */
  readonly againMs: Milliseconds;
  /** Called after each pass. */
  readonly passed: () => void;
  readonly clock: Clock;
}

/**
 * | state | left on |
 * |---|---|
 * | `idle`: no pass was asked for | `within` → due |
 * | `due`: a timer runs | the timer → running; an earlier `within` → due |
 * | `running` | the end of the pass → due |
 * | `stopped` | – |
 *
 * `stop` leads to `stopped` from every state.
 */
type State =
  | { readonly kind: "idle" | "stopped" }
  | { readonly kind: "due"; readonly atMs: Milliseconds; readonly timer: TimerHandle }
  /** `again`: a pass was asked for meanwhile. */
  | { readonly kind: "running"; readonly again: boolean };

/** When passes are done: one at a time, the next after a pause, or sooner when somebody asks. */
export class Passes {
  readonly #options: PassesOptions;
  #state: State = { kind: "idle" };
  #last: Promise<void> | undefined;

  constructor(options: PassesOptions) {
    this.#options = options;
  }

  /** No pass is running, and more may come. */
  get isBetween(): boolean {
    return this.#state.kind === "idle" || this.#state.kind === "due";
  }

  /** A pass begins after this long at the latest, or soon after the one that is running. */
  within(delayMs: Milliseconds): void {
    const state = this.#state;
    if (state.kind === "stopped") return;
    if (state.kind === "running") {
      this.#state = { kind: "running", again: true };
      return;
    }
    const { clock } = this.#options;
    const atMs = clock.monotonicMs() + delayMs;
    if (state.kind === "due") {
      if (state.atMs <= atMs) return;
      state.timer.clear();
    }
    this.#state = {
      kind: "due",
      atMs,
      timer: clock.setTimeout(() => void (this.#last = this.#run()), delayMs),
    };
  }

  /** Begins no further pass. Resolves when the one that is running is over. */
  async stop(): Promise<void> {
    if (this.#state.kind === "due") this.#state.timer.clear();
    this.#state = { kind: "stopped" };
    await this.#last;
  }

  async #run(): Promise<void> {
    const { pass, passed, againMs } = this.#options;
    this.#state = { kind: "running", again: false };
    const nextInMs = await pass();
    const state: State = this.#state;
    if (state.kind !== "running") return;
    this.#state = { kind: "idle" };
    this.within(state.again ? againMs : nextInMs);
    passed();
  }
}
