import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { describeNodeToolError } from "../node-tool-error.ts";

/** Pause between beats. */
export const BEAT_MS: Milliseconds = 500;

/** Where the beats of whoever writes `includeFile` go: beside it, and not by a name that BIRD includes. */
export function heartbeatPath(includeFile: string): string {
  return includeFile.replace(/(\.conf)?$/, ".alive");
}

/**
 * A file that says that this process lives, for the guard: another number every half second. It is gone after {@link stop}, and stays as it was when the
 * process is killed or hangs.
 */
export class Heartbeat {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Log;
  #count = 0;
  #timer: TimerHandle | undefined;
  #writing: Promise<void> = Promise.resolve();
  #fault = "";
  #stopped = false;

  constructor(options: { readonly path: string; readonly clock: Clock; readonly log: Log }) {
    this.#path = options.path;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  start(): void {
    this.#writing = this.#beat().then(() => {
      if (!this.#stopped) this.#timer = this.#clock.setTimeout(() => this.start(), BEAT_MS);
    });
  }

  /** Ends in order: the guard leaves what is announced as it is. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.clear();
    await this.#writing;
    await rm(this.#path, { force: true }).catch(() => {});
  }

  /** Never rejects. */
  async #beat(): Promise<void> {
    this.#count += 1;
    try {
      // Such as /run/lychgate after a boot; one level, as for the file of BIRD.
      if (this.#count === 1) await mkdir(dirname(this.#path)).catch(() => {});
      await writeFile(this.#path, `${process.pid} ${this.#count}\n`);
      this.#fault = "";
    } catch (error) {
      const fault = describeNodeToolError(error);
      if (fault !== this.#fault) this.#log.warn("anycast: no heartbeat for the guard", { fault });
      this.#fault = fault;
    }
  }
}
