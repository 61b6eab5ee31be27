import type { Clock, Milliseconds } from "./clock.ts";
import type { Log } from "./log.ts";
import { type FileState, PolledFiles } from "./polled-files.ts";

/** Options of {@link SecretKeys}. */
export interface SecretKeysOptions {
  /** The setting that names the files, for messages. */
  readonly setting: string;
  /** Files with one key each. */
  readonly paths: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** Time between two looks at the files. Default 5 seconds. */
  readonly everyMs?: Milliseconds;
}

/** A key is the text itself, so that every tool can sign with it. */
const KEY = /^[\x21-\x7e]{32,512}$/;

/**
 * Secret keys of HMACs, kept up to date with their files. A key whose file is gone is taken no more. A file that can't be read
 * for another reason, or holds no key, leaves the last one in force, and the log says so: it may be half written.
 */
export class SecretKeys {
  readonly #setting: string;
  readonly #paths: readonly string[];
  readonly #log: Log;
  readonly #files: PolledFiles;
  #byFile: (string | undefined)[] = [];
  #current: readonly string[] = [];

  /** @throws Error when a file can't be read or holds no key. It names the file, and says nothing of what it holds. */
  constructor({ setting, paths, clock, log, everyMs = 5_000 }: SecretKeysOptions) {
    this.#setting = setting;
    this.#paths = paths;
    this.#log = log;
    this.#files = new PolledFiles({ paths, everyMs, clock, changed: (states) => this.#changed(states) });
    this.#files.states.forEach((state, index) => {
      const key = keyOf(state);
      if (typeof key !== "string") {
        this.stop();
        throw new Error(`${setting}: ${paths[index]} ${key.fault}`);
      }
      this.#byFile[index] = key;
    });
    this.#current = distinct(this.#byFile);
  }

  /** In the order of the files: the first signs, all are taken. */
  get current(): readonly string[] {
    return this.#current;
  }

  /** Looks at the files now. */
  look(): Promise<void> {
    return this.#files.look();
  }

  stop(): void {
    this.#files.stop();
  }

  #changed(states: readonly FileState[]): void {
    const before = this.#current;
    states.forEach((state, index) => {
      const key = keyOf(state);
      if (typeof key === "string") this.#byFile[index] = key;
      else {
        const isGone = "fault" in state && state.fault === "ENOENT";
        if (isGone) this.#byFile[index] = undefined;
        const file = this.#paths[index];
        const message = isGone
          ? "a key file is gone: its key is taken no more"
          : "a key file is of no use: its last key stays";
        this.#log.warn(message, { setting: this.#setting, file, why: key.fault });
      }
    });
    this.#current = distinct(this.#byFile);
    if (before.join("\n") !== this.#current.join("\n"))
      this.#log.info("keys changed", { setting: this.#setting, keys: this.#current.length });
  }
}

function keyOf(state: FileState): string | { readonly fault: string } {
  if ("fault" in state) return { fault: `can't be read: ${state.fault}` };
  const key = state.bytes.toString("latin1").trim();
  if (KEY.test(key)) return key;
  return { fault: "must hold one key: 32 to 512 printable ASCII characters without spaces" };
}

function distinct(keys: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(keys.filter((key) => key !== undefined))];
}
