import type { Milliseconds } from "../system/clock.ts";
import type { ObjectFacts } from "../routes/object-facts.ts";
import type { ObjectKey } from "../routes/route.ts";
import type { ScopeStats } from "../routes/table-view.ts";
import { endLine, headLine, objectLine, type SnapshotSource } from "./snapshot-format.ts";

/** What a snapshot is taken of: the route table. */
export interface SnapshotTable {
  keys(): Iterable<ObjectKey>;
  factsOf(key: ObjectKey): ObjectFacts | undefined;
  watchFacts(watcher: (namespace: string, name: string) => void): () => void;
  stats(): { readonly scopes: readonly ScopeStats[] };
}

/**
 * Whether what a table knows is what the API server said, and not a snapshot's: that is not to look younger than it is. A CRD that
 * is not installed is not waited for.
 */
export function isHeard(table: Pick<SnapshotTable, "stats">): boolean {
  const { scopes } = table.stats();
  return scopes.some(({ synced }) => synced) && scopes.every(({ synced, missing }) => synced || missing);
}

/** Objects that are put into text between two turns of the event loop: less than a millisecond's work. */
const SLICE = 256;
/** So few may be left for the last slice, which must be one with the watermarks. */
const LAST_SLICE = 512;
/** In a storm of changes the last slice is what it is after so many rounds. */
const MAX_ROUNDS = 8;

/** Options of {@link writeSnapshot}. */
export interface SnapshotWriting {
  readonly table: SnapshotTable;
  readonly source: SnapshotSource;
  /** Asked once, for the moment of which the snapshot is, in milliseconds since the epoch. */
  readonly nowMs: () => Milliseconds;
  /** Takes whole lines, and resolves when more may come. The event loop must have had a turn then. */
  readonly write: (lines: string) => Promise<void>;
}

/**
 * Writes the lines of a snapshot. It is of one moment, though the table goes on while it is written: what changes meanwhile is
 * written again, and the last few objects go out with the watermarks in one turn. Resolves to that moment; rejects with what
 * `write` does.
 */
export async function writeSnapshot({ table, source, nowMs, write }: SnapshotWriting): Promise<Milliseconds> {
  const changed = new Set<ObjectKey>();
  const stopWatching = table.watchFacts((namespace, name) => void changed.add(`${namespace}/${name}`));
  let lines = 1;
  const writeAll = async (keys: Iterable<ObjectKey>): Promise<void> => {
    let text = "";
    let size = 0;
    for (const key of keys) {
      text += objectLine(key, table.factsOf(key));
      lines += 1;
      if (++size < SLICE) continue;
      await write(text);
      text = "";
      size = 0;
    }
    await write(text);
  };
  try {
    await write(headLine(source));
    await writeAll(table.keys());
    for (let round = 1; round < MAX_ROUNDS && changed.size > LAST_SLICE; round++) {
      const keys = [...changed];
      changed.clear();
      await writeAll(keys);
    }
    // All of this in one turn: facts and watermarks are of one moment.
    let text = "";
    for (const key of changed) {
      text += objectLine(key, table.factsOf(key));
      lines += 1;
    }
    const takenAtMs = nowMs();
    text += endLine(takenAtMs, table.stats().scopes, lines + 1);
    await write(text);
    return takenAtMs;
  } finally {
    stopWatching();
  }
}
