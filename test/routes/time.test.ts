import { describe, expect, test } from "vitest";
import { RULES, type Rules } from "../../src/routes/rules.ts";
import { type RouteTable, type RouteTableOptions } from "../../src/routes/table.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

function live(options: Partial<RouteTableOptions> = {}) {
  const table = newTable({ scopes: [""], ...options });
  const dropped: string[] = [];
  const ended: string[] = [];
  table.addListener({
    factDropped: (fact, reason, key) => void dropped.push(`${fact} ${reason} ${key}`),
    incarnationEnded: (incarnation, reason) => void ended.push(`${incarnation.key} ${reason}`),
  });
  table.setLive("", true, 0);
  return { table, dropped, ended };
}

/** The informer speaks every 10 s, from one time to another, and has nothing new to say. */
function quietly(table: RouteTable, fromMs: number, toMs: number): void {
  for (let nowMs = fromMs; nowMs < toMs; nowMs += 10_000) table.bookmark("", rv(10), nowMs);
  table.bookmark("", rv(10), toMs);
}

const isServed = (table: RouteTable, id = "ns--one") => {
  const found = table.lookup(id);
  return found.kind === "found" && found.incarnation !== undefined;
};

describe("rule 6: a wrong, forged or foreign push neither hijacks nor freezes a route for long", () => {
  // As far ahead of the watermark as rule 13 believes.
  const forged = makeRoute("one", 1, { uid: "forged", ip: "10.6.6.6" });
  const hijack = (rules: Rules) => {
    const { table, dropped } = live({ rules });
    table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
    expect(table.pushUpdate({ ...forged, resourceVersion: "10000000" }, 0)).toBe("applied");
    quietly(table, 0, 60_000);
    return { found: table.lookup("ns--one"), dropped };
  };

  test("an update that a live informer does not confirm within the hint TTL is dropped", () => {
    const { found, dropped } = hijack(RULES);
    expect(found).toMatchObject({ route: { uid: "one-1", ip: "10.0.0.1" } });
    expect(dropped).toEqual(["hint expired ns/one"]);
  });

  test("without the rule the forged route would stay", () => {
    expect(hijack({ ...RULES, isOverdue: () => false }).found).toMatchObject({ route: { uid: "forged" } });
  });

  test("a deletion that is told beneath a forged update is remembered when that runs out", () => {
    const { table } = live();
    table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
    table.pushUpdate({ ...forged, resourceVersion: "10000000" }, 0);
    expect(table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "5" }, 0)).toBe("applied");
    quietly(table, 0, 60_000);
    expect(table.lookup("ns--one").kind).toBe("unknown");
  });

  test("a forged deletion ends after the tombstone TTL", () => {
    const { table, dropped } = live();
    table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "10000000" }, 0);
    expect(isServed(table)).toBe(false);
    quietly(table, 0, 599_999);
    expect(isServed(table)).toBe(false);
    quietly(table, 600_000, 600_000);
    expect(isServed(table)).toBe(true);
    expect(dropped).toEqual(["tombstone expired ns/one"]);
  });

  test("nothing expires while the informer is disconnected: the TTL counts its live time", () => {
    const { table } = live();
    table.relist("", rv(10), [], 0);
    table.pushUpdate(makeRoute("one", 11), 0);
    quietly(table, 0, 30_000);
    table.setLive("", false, 35_000);
    table.advance(10_000_000);
    expect(isServed(table)).toBe(true);
    table.setLive("", true, 10_000_000);
    quietly(table, 10_000_000, 10_029_999);
    expect(isServed(table)).toBe(true);
    quietly(table, 10_030_000, 10_030_000);
    expect(isServed(table)).toBe(false);
  });

  describe("a stall lets nothing expire: an older word of the informer must not come back", () => {
    const paused = () => {
      const { table } = live();
      table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
      table.pushUpdate(makeRoute("one", 20, { state: "paused", ip: "" }), 1_000);
      return table;
    };
    const another = observe(makeRoute("two", 11, { ip: "10.0.0.2" }));

    test("one that was noticed, whatever is heard first after it", () => {
      const table = paused();
      table.setLive("", false, 90_000);
      table.setLive("", true, 91_000);
      table.observe("", another, 91_000);
      expect(table.lookup("ns--one")).toMatchObject({ state: "paused" });
    });

    test("one that nobody noticed: the first event of the burst that catches up", () => {
      const table = paused();
      table.observe("", another, 80_000);
      expect(table.lookup("ns--one")).toMatchObject({ state: "paused" });
    });
  });

  test("a hint that the informer contradicts is dropped at once: by the object's end, or by passing its version", () => {
    const { table, dropped } = live();
    table.relist(
      "",
      rv(10),
      [observe(makeRoute("one", 5)), observe(makeRoute("two", 6, { ip: "10.0.0.2" }))],
      0,
    );
    table.pushUpdate(makeRoute("one", 50), 0);
    table.remove("", "ns", "one", "one-1", rv(11), 0);
    expect(table.lookup("ns--one").kind).toBe("unknown");
    table.pushUpdate(makeRoute("two", 12, { ip: "10.6.6.6" }), 0);
    table.bookmark("", rv(20), 0);
    expect(table.lookup("ns--two")).toMatchObject({ route: { ip: "10.0.0.2" } });
    expect(dropped).toEqual(["hint contradicted ns/one", "hint contradicted ns/two"]);
  });

  test("a hint of a new life survives the end of the old one", () => {
    const { table } = live();
    table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
    table.pushUpdate(makeRoute("one", 20, { uid: "one-2" }), 0);
    table.remove("", "ns", "one", "one-1", rv(11), 0);
    expect(table.lookup("ns--one")).toMatchObject({ route: { uid: "one-2" } });
  });

  test("an object that is ending takes no update of the same UID, however new", () => {
    const { table } = live();
    table.relist("", rv(10), [{ ...observe(makeRoute("one", 5)), route: undefined }], 0);
    expect(table.pushUpdate(makeRoute("one", 50), 0)).toBe("ignored_ended");
    expect(table.pushUpdate(makeRoute("one", 50, { uid: "one-2" }), 0)).toBe("applied");
  });

  test("the time from a push to the informer's word is told", () => {
    const { table } = live();
    const lags: number[] = [];
    table.addListener({ hintConfirmed: (lagMs) => void lags.push(lagMs) });
    table.relist("", rv(10), [], 0);
    table.pushUpdate(makeRoute("one", 11), 1_000);
    table.observe("", observe(makeRoute("one", 11)), 1_250);
    expect(lags).toEqual([250]);
  });
});

describe("rule 7: without an informer", () => {
  test("updates never expire, and tombstones are swept inline", () => {
    const { table } = { table: newTable({ scopes: "none", tombstoneTtlMs: 1_000 }) };
    expect(table.synced).toBe(true);
    table.pushUpdate(makeRoute("one", 1), 0);
    table.pushDelete({ namespace: "ns", name: "two", resourceVersion: "1" }, 0);
    table.pushUpdate(makeRoute("three", 1, { ip: "10.0.0.3" }), 1_000_000);
    expect(table.stats()).toMatchObject({ hints: 2, tombstones: 0 });
    expect(isServed(table)).toBe(true);
  });

  test("at most so many tombstones are kept; the oldest goes, and that is counted", () => {
    const table = newTable({ scopes: "none", maxTombstones: 2 });
    const dropped: string[] = [];
    table.addListener({ factDropped: (fact, reason, key) => void dropped.push(`${fact} ${reason} ${key}`) });
    for (const name of ["a", "b", "c"]) table.pushDelete({ namespace: "ns", name, resourceVersion: "1" }, 0);
    expect(table.stats().tombstones).toBe(2);
    expect(dropped).toEqual(["tombstone evicted ns/a"]);
  });
});

describe("rule 8: a sandbox ends at its shutdownTime, not at its next event", () => {
  const shutDown = (rules: Rules) => {
    const { table, ended } = live({ rules });
    table.relist("", rv(10), [observe(makeRoute("one", 5, { shutdownAtMs: 5_000 }))], 1_000);
    expect(table.nextDeadlineMs()).toBe(5_000);
    table.advance(4_999);
    expect(isServed(table)).toBe(true);
    table.advance(5_000);
    return { table, ended };
  };

  test("at that time the route is dead and its connections end", () => {
    const { table, ended } = shutDown(RULES);
    expect(table.lookup("ns--one")).toMatchObject({ kind: "found", state: "dead", incarnation: undefined });
    expect(ended).toEqual(["ns/one dead"]);
    expect(table.nextDeadlineMs()).toBeUndefined();
  });

  test("without the rule it would be served on", () => {
    expect(isServed(shutDown({ ...RULES, stateAt: (route) => route.state }).table)).toBe(true);
  });

  test("a clock that is set back does not bring it back", () => {
    const { table } = shutDown(RULES);
    table.observe("", observe(makeRoute("one", 11, { shutdownAtMs: 5_000 })), 2_000);
    expect(isServed(table)).toBe(false);
  });

  test("a later shutdownTime in a newer version lets it live on, and only the newest deadline counts", () => {
    const { table } = live();
    table.relist("", rv(10), [observe(makeRoute("one", 5, { shutdownAtMs: 5_000 }))], 1_000);
    table.observe("", observe(makeRoute("one", 11, { shutdownAtMs: 9_000 })), 2_000);
    table.advance(5_000);
    expect(isServed(table)).toBe(true);
    table.advance(9_000);
    expect(isServed(table)).toBe(false);
  });

  test("the earliest of many is the next, in whatever order they were told", () => {
    const { table } = live();
    const atMs = [9_000, 5_000, 7_000, 6_000, 8_000, 5_500];
    const listed = atMs.map((shutdownAtMs, i) =>
      observe(makeRoute(`s${i}`, 5 + i, { shutdownAtMs, ip: `10.0.1.${i}` })),
    );
    table.relist("", rv(20), listed, 1_000);
    for (const next of atMs.toSorted((a, b) => a - b)) {
      expect(table.nextDeadlineMs()).toBe(next);
      table.advance(next);
    }
    expect(table.nextDeadlineMs()).toBeUndefined();
  });

  test("one that was put off and back again ends the sandbox once", () => {
    const { table } = live();
    const told: string[] = [];
    table.relist("", rv(10), [observe(makeRoute("one", 5, { shutdownAtMs: 5_000 }))], 1_000);
    table.observe("", observe(makeRoute("one", 11, { shutdownAtMs: 6_000 })), 1_000);
    table.observe("", observe(makeRoute("one", 12, { shutdownAtMs: 5_000 })), 1_000);
    table.addListener({ told: ({ writer, how, name }) => void told.push(`${writer} ${how} ${name}`) });
    table.advance(7_000);
    expect(told).toEqual(["clock shutdown one"]);
  });

  test("a shutdownTime that is put off thousands of times: the last one counts, for it and for others", () => {
    const { table } = live();
    table.relist(
      "",
      rv(10),
      [
        observe(makeRoute("one", 5, { shutdownAtMs: 5_000 })),
        observe(makeRoute("two", 6, { shutdownAtMs: 7_000, ip: "10.0.0.2" })),
      ],
      1_000,
    );
    const putOff = 3_000;
    for (let i = 1; i <= putOff; i++) {
      table.observe("", observe(makeRoute("one", 10 + i, { shutdownAtMs: 5_000 + i })), 1_000);
    }
    table.advance(6_999);
    expect(table.lookup("ns--two")).toMatchObject({ state: "running" });
    table.advance(7_000);
    expect(table.lookup("ns--two")).toMatchObject({ state: "dead" });
    expect(isServed(table)).toBe(true);
    expect(table.nextDeadlineMs()).toBeLessThanOrEqual(5_000 + putOff);
    table.advance(5_000 + putOff - 1);
    expect(isServed(table)).toBe(true);
    expect(table.nextDeadlineMs()).toBe(5_000 + putOff);
    table.advance(5_000 + putOff);
    expect(isServed(table)).toBe(false);
  });

  test("a deadline told once holds for every later version that has it, in whatever states between", () => {
    const { table } = live();
    const next = (version: number, fields: Parameters<typeof makeRoute>[2]) =>
      table.observe("", observe(makeRoute("one", version, { shutdownAtMs: 5_000, ...fields })), 1_000);
    table.relist("", rv(10), [observe(makeRoute("one", 5, { shutdownAtMs: 5_000, state: "dead" }))], 1_000);
    expect(table.nextDeadlineMs()).toBeUndefined();
    next(11, {});
    next(12, { owner: "someone" });
    next(13, { state: "paused" });
    next(14, {});
    expect(isServed(table)).toBe(true);
    table.advance(4_999);
    expect(isServed(table)).toBe(true);
    table.advance(5_000);
    expect(isServed(table)).toBe(false);
    expect(table.nextDeadlineMs()).toBeUndefined();
  });

  test("a push, which does not tell the deadline, does not let the sandbox outlive it", () => {
    const { table, ended } = live();
    table.relist("", rv(10), [observe(makeRoute("one", 5, { shutdownAtMs: 5_000 }))], 1_000);
    expect(table.pushUpdate(makeRoute("one", 11, { owner: "someone" }), 2_000)).toBe("applied");
    table.advance(4_999);
    expect(isServed(table)).toBe(true);
    table.advance(5_000);
    expect(isServed(table)).toBe(false);
    expect(ended).toEqual(["ns/one dead"]);
    expect(table.pushUpdate(makeRoute("one", 12), 5_001)).toBe("applied");
    expect(isServed(table)).toBe(false);
    // The informer says that it was put off.
    table.observe("", observe(makeRoute("one", 13, { shutdownAtMs: 9_000 })), 5_002);
    expect(isServed(table)).toBe(true);
  });

  test("a deadline that the informer tells beneath a newer push holds for it too", () => {
    const { table } = live();
    table.relist("", rv(10), [], 1_000);
    table.pushUpdate(makeRoute("one", 12), 2_000);
    table.observe("", observe(makeRoute("one", 11, { shutdownAtMs: 5_000 })), 2_001);
    expect(table.nextDeadlineMs()).toBeLessThanOrEqual(5_000);
    table.advance(5_000);
    expect(isServed(table)).toBe(false);
  });

  test("a push of the next object by that name has nothing to do with the deadline of the last", () => {
    const { table } = live();
    table.relist("", rv(10), [observe(makeRoute("one", 5, { shutdownAtMs: 5_000 }))], 1_000);
    table.pushUpdate(makeRoute("one", 11, { uid: "one-2" }), 2_000);
    table.advance(5_000);
    expect(isServed(table)).toBe(true);
  });

  test("one that has passed already is never served", () => {
    const { table } = live();
    table.relist("", rv(10), [observe(makeRoute("one", 5, { shutdownAtMs: 5_000 }))], 6_000);
    expect(isServed(table)).toBe(false);
  });
});
