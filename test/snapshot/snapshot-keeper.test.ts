import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { RouteTable } from "../../src/routes/table.ts";
import { readSnapshot } from "../../src/snapshot/snapshot-file.ts";
import { SnapshotKeeper, type SnapshotKeeperOptions } from "../../src/snapshot/snapshot-keeper.ts";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import { silentLog } from "../../src/system/log.ts";
import { makeRoute, observe, rv } from "../routes/support/timeline.ts";
import { newTable } from "../support/defaults.ts";
import { eventually } from "../support/eventually.ts";
import { SOURCE, snapshotPath } from "./support.ts";

interface Saved {
  readonly keeper: SnapshotKeeper;
  readonly table: RouteTable;
  readonly path: string;
  readonly results: string[];
}

async function keeperOf(options: Partial<SnapshotKeeperOptions> = {}): Promise<Saved> {
  const path = await snapshotPath();
  const table = newTable({ scopes: [""] });
  const results: string[] = [];
  const keeper = new SnapshotKeeper({
    path,
    intervalMs: 3_600_000,
    source: SOURCE,
    table,
    observer: { saved: () => void results.push("saved"), saveFailed: () => void results.push("failed") },
    clock: systemClock,
    log: silentLog,
    ...options,
  });
  keeper.start();
  return { keeper, table, path, results };
}

const route = (index: number, version: number) =>
  makeRoute(`s-${index}`, version, { ip: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}` });

/** All facts of a table, by key. */
function factsIn(table: RouteTable): Map<string, unknown> {
  const found = Array.from(table.keys(), (key) => {
    const facts = table.factsOf(key);
    // A snapshot passes on what it holds.
    return [key, { ...facts, hint: facts?.hint && { ...facts.hint, isRelayed: true } }] as const;
  });
  return new Map(found);
}

test("a snapshot is of one moment, though the table goes on while it is written", async () => {
  // The keeper asks for the time once, when it writes the end.
  let atTheEnd: { facts: Map<string, unknown>; watermark: string | undefined } | undefined;
  const clock: Clock = {
    ...systemClock,
    nowMs() {
      atTheEnd = { facts: factsIn(table), watermark: table.stats().scopes[0]?.watermark };
      return 1_234;
    },
  };
  const { keeper, table, path } = await keeperOf({ clock });
  const count = 6_000;
  table.relist(
    "",
    rv(count),
    Array.from({ length: count }, (_, index) => observe(route(index, index + 1))),
    0,
  );
  let version = count;
  let turns = 0;
  let isSaving = true;
  const churn = (): void => {
    if (!isSaving) return;
    turns += 1;
    for (let step = 0; step < 40; step++) {
      const index = (version * 7_919) % count;
      version += 1;
      const name = `s-${index}`;
      if (version % 3 === 0) table.remove("", "ns", name, "", rv(version), 0);
      else if (version % 3 === 1) table.observe("", observe(route(index, version)), 0);
      else table.pushUpdate(route(index, version + 100), 0, "10.9.9.9");
    }
    setImmediate(churn);
  };
  setImmediate(churn);
  await keeper.save();
  isSaving = false;
  keeper.stop();
  // One slice has 256 objects, and others have their turn after each.
  expect(turns).toBeGreaterThan(count / 256);
  const read = await readSnapshot(path, SOURCE);
  expect(read?.snapshot.takenAtMs).toBe(1_234);
  expect(read?.snapshot.scopes[0]?.watermark).toBe(atTheEnd?.watermark);
  const objects = [...(read?.snapshot.objects ?? [])];
  expect(new Map(objects.map((facts) => [`${facts.namespace}/${facts.name}`, facts]))).toEqual(
    atTheEnd?.facts,
  );
});

test("nothing is saved before the informer was heard, nor while nothing changes", async () => {
  const { keeper, table, path, results } = await keeperOf();
  table.load(
    { takenAtMs: 1, scopes: [{ name: "", watermark: rv(5), barredUntil: undefined }], objects: [] },
    0,
  );
  table.pushUpdate(route(1, 10), 0);
  await keeper.save();
  expect(results).toEqual([]);
  table.relist("", rv(7), [observe(route(0, 6))], 0);
  await keeper.save();
  const { mtimeMs } = await stat(path);
  await keeper.save();
  table.bookmark("", rv(9), 0);
  await keeper.save();
  expect(results).toEqual(["saved"]);
  expect((await stat(path)).mtimeMs).toBe(mtimeMs);
  table.remove("", "ns", "s-0", "", rv(20), 0);
  await keeper.finish();
  expect(results).toEqual(["saved", "saved"]);
  const read = await readSnapshot(path, SOURCE);
  expect(read?.snapshot.scopes[0]?.watermark).toBe("20");
  expect([...(read?.snapshot.objects ?? [])]).toEqual([]);
});

test("it is saved again and again while things change", async () => {
  const { keeper, table, path, results } = await keeperOf({ intervalMs: 5 });
  table.relist("", rv(7), [observe(route(0, 6))], 0);
  await eventually(() => results.length === 1);
  table.observe("", observe(route(1, 8)), 0);
  await eventually(() => results.length === 2);
  keeper.stop();
  expect([...((await readSnapshot(path, SOURCE))?.snapshot.objects ?? [])]).toHaveLength(2);
});

test("a failure is counted, leaves the file before, and is made good by the next time", async () => {
  const file = await snapshotPath();
  await writeFile(file, "a file is no folder");
  const { keeper, table, results } = await keeperOf({ path: join(file, "routes.snapshot") });
  table.relist("", rv(7), [observe(route(0, 6))], 0);
  await keeper.save();
  await keeper.finish();
  // What was not saved is still to be saved.
  expect(results).toEqual(["failed", "failed"]);
  expect(await readFile(file, "utf8")).toBe("a file is no folder");
});
