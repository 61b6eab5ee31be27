import { describe, expect, test } from "vitest";
import { type RouteTable } from "../../src/routes/table.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// The clock of a real process does not begin at 0, as that of a test may: what is counted in the informer's live time must
// not be mixed up with the time of day.

const STARTED_MS = 1_800_000_000_000;
const AHEAD = "500";

function live() {
  const table = newTable({ scopes: [""], hintTtlMs: 60_000, tombstoneTtlMs: 600_000 });
  table.setLive("", true, STARTED_MS);
  table.relist("", rv(10), [observe(makeRoute("one", 5))], STARTED_MS);
  return table;
}

/** The informer speaks every 10 s and has nothing new to say. */
function quietly(table: RouteTable, fromMs: number, toMs: number): void {
  for (let atMs = fromMs; atMs <= toMs; atMs += 10_000) table.bookmark("", rv(10), STARTED_MS + atMs);
}

describe("rule 6 by a clock that counts from 1970", () => {
  test("an update that is not confirmed lasts as long as hintTtlMs says, and no longer", () => {
    const table = live();
    expect(
      table.pushUpdate({ ...makeRoute("one", 1, { ip: "10.6.6.6" }), resourceVersion: AHEAD }, STARTED_MS),
    ).toBe("applied");
    quietly(table, 0, 50_000);
    expect(table.lookup("ns--one")).toMatchObject({ route: { ip: "10.6.6.6" } });
    quietly(table, 60_000, 60_000);
    expect(table.lookup("ns--one")).toMatchObject({ route: { ip: "10.0.0.1" } });
    expect(table.stats().hints).toBe(0);
  });

  test("a deletion that is not confirmed lasts as long as tombstoneTtlMs says, and no longer", () => {
    const table = live();
    const deletion = { namespace: "ns", name: "one", resourceVersion: AHEAD };
    expect(table.pushDelete(deletion, STARTED_MS)).toBe("applied");
    quietly(table, 0, 590_000);
    expect(table.lookup("ns--one").kind).toBe("unknown");
    quietly(table, 600_000, 600_000);
    expect(table.lookup("ns--one")).toMatchObject({ kind: "found", state: "running" });
    expect(table.stats().tombstones).toBe(0);
  });

  test("without an informer a deletion lasts as long by the clock itself", () => {
    const table = newTable({ scopes: "none", tombstoneTtlMs: 600_000 });
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "7" }, STARTED_MS);
    table.advance(STARTED_MS + 599_999);
    expect(table.pushUpdate(makeRoute("one", 6), STARTED_MS + 599_999)).toBe("ignored_tombstone");
    table.advance(STARTED_MS + 600_000);
    expect(table.stats().tombstones).toBe(0);
    expect(table.pushUpdate(makeRoute("one", 6), STARTED_MS + 600_000)).toBe("applied");
  });
});
