import { readFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import type { Clock, Milliseconds, TimerHandle } from "./clock.ts";

/** What a file holds; or the system's code for why it can't be read: `ENOENT`, for instance. */
export type FileState = { readonly bytes: Buffer } | { readonly fault: string };

/** Options of {@link PolledFiles}. */
export interface PolledFilesOptions {
  readonly paths: readonly string[];
  /** Time between two looks. */
  readonly everyMs: Milliseconds;
  /** Called when any of them differs from the last look, with all in the order of `paths`. Must not throw. */
  changed(states: readonly FileState[]): void;
  readonly clock: Clock;
}

/**
 * Files that are read again and again, for keys and certificates that others renew. Their content is compared, not their
 * times, and they are read by path: Kubernetes swaps the directory behind a mounted Secret as a whole (a symbolic link,
 * renamed), which watches on a file do not notice.
 */
export class PolledFiles {
  readonly #options: PolledFilesOptions;
  #states: readonly FileState[];
  #timer: TimerHandle | undefined;
  #stopped = false;

  /** Reads them a first time, at once; {@link PolledFiles.states} has what they hold. */
  constructor(options: PolledFilesOptions) {
    this.#options = options;
    this.#states = options.paths.map(readNow);
    this.#wait();
  }

  /** As of the last look, in the order of the paths. */
  get states(): readonly FileState[] {
    return this.#states;
  }

  /** Looks now. */
  async look(): Promise<void> {
    const states = await Promise.all(this.#options.paths.map(readSoon));
    if (this.#stopped || states.every((state, index) => isSame(state, this.#states[index]))) return;
    this.#states = states;
    this.#options.changed(states);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.clear();
  }

  #wait(): void {
    if (this.#stopped) return;
    const { clock, everyMs } = this.#options;
    this.#timer = clock.setTimeout(() => {
      void this.look().finally(() => this.#wait());
    }, everyMs);
  }
}

function readNow(path: string): FileState {
  try {
    return { bytes: readFileSync(path) };
  } catch (error) {
    return { fault: codeOf(error) };
  }
}

async function readSoon(path: string): Promise<FileState> {
  try {
    return { bytes: await readFile(path) };
  } catch (error) {
    return { fault: codeOf(error) };
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "unknown error";
}

function isSame(one: FileState, other: FileState | undefined): boolean {
  if (other === undefined) return false;
  if ("bytes" in one) return "bytes" in other && one.bytes.equals(other.bytes);
  return "fault" in other && one.fault === other.fault;
}
