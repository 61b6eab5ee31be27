import { messageOf } from "../system/error-text.ts";
import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import { PacedLog } from "../system/paced-log.ts";
import { SnapshotDraft } from "./snapshot-file.ts";
import type { SnapshotSource } from "./snapshot-format.ts";
import { isHeard, type SnapshotTable, writeSnapshot } from "./snapshot-writer.ts";

/** Told of each attempt to save. */
export interface SnapshotObserver {
  saved(tookMs: Milliseconds, bytes: number): void;
  saveFailed(): void;
}

/** Options of {@link SnapshotKeeper}. */
export interface SnapshotKeeperOptions {
  readonly path: string;
  readonly intervalMs: Milliseconds;
  readonly source: SnapshotSource;
  readonly table: SnapshotTable;
  readonly observer: SnapshotObserver;
  readonly clock: Clock;
  readonly log: Log;
}

const LOG_EVERY_MS: Milliseconds = 10 * 60_000;

/**
 * Saves a table to a file, again and again when something has changed, for the next start (docs/route-table.md#snapshots). Each is
 * written in slices while the table goes on ({@link writeSnapshot}). Failures are logged and counted; the file stays as it was.
 */
export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions;
  readonly #log: PacedLog;
  /** The file may be of anything at first, and the first list empty. */
  #hasChanged = true;
  #stopWatching: (() => void) | undefined;
  #timer: TimerHandle | undefined;
  #saving: Promise<void> | undefined;
  #savedAtMs: Milliseconds | undefined;

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
    this.#log = new PacedLog(options.log, options.clock, LOG_EVERY_MS);
  }

  /** When the last snapshot was taken, in milliseconds since the epoch; undefined before the first of this process. */
  get savedAtMs(): Milliseconds | undefined {
    return this.#savedAtMs;
  }

  /** Watches the table from now on. Call it once. */
  start(): void {
    this.#stopWatching = this.#options.table.watchFacts(() => {
      this.#hasChanged = true;
    });
    this.#wait();
  }

  /** Saves what has changed since the last time, once more, and stops. Never rejects. */
  async finish(): Promise<void> {
    this.#timer?.clear();
    await this.#saving;
    await this.save();
    this.stop();
  }

  /** Stops at once; a snapshot that is being written is given up by the end of the process. */
  stop(): void {
    this.#timer?.clear();
    this.#timer = undefined;
    this.#stopWatching?.();
    this.#stopWatching = undefined;
  }

  /** Saves, if something has changed since the last time and the informers have been heard. Never rejects. */
  save(): Promise<void> {
    this.#saving ??= this.#save().finally(() => {
      this.#saving = undefined;
    });
    return this.#saving;
  }

  #wait(): void {
    const { clock, intervalMs } = this.#options;
    this.#timer = clock.setTimeout(() => {
      void this.save().then(() => {
        if (this.#stopWatching) this.#wait();
      });
    }, intervalMs);
  }

  async #save(): Promise<void> {
    const { table, path, source, observer, clock } = this.#options;
    // What is itself from a snapshot is not to look younger than it is.
    if (!this.#hasChanged || !isHeard(table)) return;
    this.#hasChanged = false;
    const startedMs = clock.monotonicMs();
    let draft: SnapshotDraft | undefined;
    try {
      const writing = await SnapshotDraft.create(path);
      draft = writing;
      const takenAtMs = await writeSnapshot({
        table,
        source,
        nowMs: () => {
          // What changes from here on is not in it.
          this.#hasChanged = false;
          return clock.nowMs();
        },
        write: (lines) => writing.write(lines),
      });
      const bytes = await draft.publish();
      this.#savedAtMs = takenAtMs;
      observer.saved(clock.monotonicMs() - startedMs, bytes);
    } catch (error) {
      this.#hasChanged = true;
      await draft?.discard();
      observer.saveFailed();
      this.#log.tell("error", "saving the snapshot failed: the one before stays", () => ({
        path,
        message: messageOf(error),
      }));
    }
  }
}
