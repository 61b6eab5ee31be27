import { readFile } from "node:fs/promises";
import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { describeNodeToolError } from "../node-tool-error.ts";
import type { BirdAnnouncer } from "./bird-announcer.ts";
import { BEAT_MS } from "./heartbeat.ts";

/** Four beats: a process that is held up for a moment is none that is dead. */
export const DEAD_AFTER_MS: Milliseconds = 4 * BEAT_MS;
const LOOK_MS: Milliseconds = BEAT_MS / 2;

/** Someone who announces, as the guard sees it. */
export interface Guarded {
  /** For the log: `the daemon`. */
  readonly name: string;
  /** The file that it beats in. */
  readonly heartbeat: string;
  readonly bird: Pick<BirdAnnouncer, "withdrawAll">;
}

/** What is known of one of them. */
type Life =
  /** It never ran, or ended in order. */
  | { readonly kind: "absent" }
  | { readonly kind: "beating"; readonly beat: string; readonly atMs: Milliseconds }
  /** Its beat stayed the same for too long; `withdrawn` when BIRD has done it. */
  | { readonly kind: "dead"; readonly beat: string; readonly withdrawn: boolean };

/** What is known after a look that found `beat` (`undefined`: no file) at `nowMs`. */
export function nextLife(life: Life, beat: string | undefined, nowMs: Milliseconds): Life {
  if (beat === undefined) return { kind: "absent" };
  if (life.kind === "absent" || life.beat !== beat) return { kind: "beating", beat, atMs: nowMs };
  if (life.kind === "dead" || nowMs - life.atMs <= DEAD_AFTER_MS) return life;
  return { kind: "dead", beat, withdrawn: false };
}

/**
 * Withdraws at BIRD what a process announced that was killed or hangs: one that beats no more, without having ended in order. BIRD itself keeps a static
 * route for ever, so it takes a second process: this one does nothing else. Who comes back announces anew.
 */
export class AnycastGuard {
  readonly #guarded: readonly Guarded[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #lives = new Map<Guarded, Life>();
  #timer: TimerHandle | undefined;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: { readonly guarded: readonly Guarded[]; readonly clock: Clock; readonly log: Log }) {
    this.#guarded = options.guarded;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  start(): void {
    this.#looking = Promise.all(this.#guarded.map((one) => this.#lookAt(one))).then(() => {
      if (!this.#stopped)
        this.#timer = this.#clock.setTimeout(() => this.start(), LOOK_MS, { keepAlive: true });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.clear();
    await this.#looking;
  }

  /** Never rejects. */
  async #lookAt(one: Guarded): Promise<void> {
    // A file that is being written is empty for a moment: no beat, and no end.
    const before = this.#lives.get(one) ?? { kind: "absent" };
    const text = await readFile(one.heartbeat, "utf8").catch(() => undefined);
    const beat = text === "" && before.kind !== "absent" ? before.beat : text;
    const life = nextLife(before, beat, this.#clock.monotonicMs());
    this.#lives.set(one, life);
    if (before.kind === "dead" && life.kind === "beating") this.#log.info(`anycast: ${one.name} is back`);
    if (life.kind !== "dead" || life.withdrawn) return;
    if (before.kind !== "dead")
      this.#log.error(`anycast: ${one.name} is gone or hangs; withdrawing what it announced`);
    try {
      await one.bird.withdrawAll();
      this.#lives.set(one, { ...life, withdrawn: true });
      this.#log.info(`anycast: withdrew what ${one.name} announced`);
    } catch (error) {
      if (before.kind !== "dead")
        this.#log.error("anycast: BIRD could not be told; trying again", {
          fault: describeNodeToolError(error),
        });
    }
  }
}
