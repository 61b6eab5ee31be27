import { describe, expect, test } from "vitest";
import type { TableSnapshot } from "../../src/routes/object-facts.ts";
import type { RouteTable, RouteTableOptions } from "../../src/routes/table.ts";
import { newTable } from "../support/defaults.ts";
import { snapshotOf } from "./support/snapshot-of.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";

const TAKEN_AT_MS = 1_000;
const STARTED_AT_MS = 60_000;

/** A table that was told something; a snapshot of it; and one that started with the snapshot. */
function restarted(tell: (table: RouteTable) => void, options: Partial<RouteTableOptions> = {}): RouteTable {
  const snapshot = takenOf(tell, options);
  const table = newTable({ scopes: [""], ...options });
  expect(table.load(snapshot, STARTED_AT_MS)).toEqual([""]);
  return table;
}

function takenOf(tell: (table: RouteTable) => void, options: Partial<RouteTableOptions> = {}): TableSnapshot {
  const before = newTable({ scopes: [""], ...options });
  before.setLive("", true, 0);
  tell(before);
  return snapshotOf(before, TAKEN_AT_MS);
}

const listed = (table: RouteTable): void =>
  void table.relist(
    "",
    rv(50),
    [observe(makeRoute("a", 40)), observe(makeRoute("b", 41, { ip: "10.0.0.2" }))],
    0,
  );

function served(table: RouteTable, name: string): string {
  const found = table.lookupObject("ns", name);
  if (found.kind !== "found") return found.kind;
  return found.incarnation ? `${found.state} on ${found.incarnation.ip}` : found.state;
}

describe("a table that starts with a snapshot", () => {
  test("serves it, and says that it is old", () => {
    const table = restarted(listed);
    expect(table.synced).toBe(true);
    expect(table.stats().scopes).toEqual([
      {
        name: "",
        watermark: "50",
        synced: false,
        missing: false,
        live: false,
        barredUntil: undefined,
        snapshotAtMs: TAKEN_AT_MS,
      },
    ]);
    expect(served(table, "a")).toBe("running on 10.0.0.1");
  });

  test("believes nothing of it once the informer has spoken: the first list replaces it whole", () => {
    const table = restarted(listed);
    expect(table.relist("", rv(60), [observe(makeRoute("b", 55, { ip: "10.0.0.3" }))], STARTED_AT_MS)).toBe(
      "applied",
    );
    expect(served(table, "a")).toBe("unknown");
    expect(served(table, "b")).toBe("running on 10.0.0.3");
    expect(table.stats().scopes[0]).toMatchObject({ synced: true, watermark: "60", snapshotAtMs: undefined });
  });

  test("takes a first list that is older than the snapshot, and no push from the time between", () => {
    const table = restarted(listed);
    expect(table.relist("", rv(30), [observe(makeRoute("c", 20))], STARTED_AT_MS)).toBe("applied");
    expect(served(table, "a")).toBe("unknown");
    expect(served(table, "c")).toBe("running on 10.0.0.1");
    expect(table.pushUpdate(makeRoute("a", 45), STARTED_AT_MS)).toBe("ignored_restored");
    expect(table.relist("", rv(20), [], STARTED_AT_MS)).toBe("behind");
    table.bookmark("", rv(51), STARTED_AT_MS);
    expect(table.pushUpdate(makeRoute("a", 52), STARTED_AT_MS)).toBe("applied");
  });

  test("a watermark that this cluster can't have reached keeps no push out", () => {
    const table = newTable({ scopes: [""] });
    const scopes = [{ name: "", watermark: rv(10 ** 15), barredUntil: undefined }];
    table.load({ takenAtMs: 0, scopes, objects: [] }, STARTED_AT_MS);
    table.relist("", rv(30), [], STARTED_AT_MS);
    expect(table.pushUpdate(makeRoute("a", 45), STARTED_AT_MS)).toBe("applied");
  });

  test("refuses a push that the snapshot's informer has passed", () => {
    const table = restarted(listed);
    const guards: string[] = [];
    table.addListener({ told: ({ guard }) => void (guard && guards.push(guard)) });
    expect(table.pushUpdate(makeRoute("gone", 45), STARTED_AT_MS)).toBe("ignored_watermark");
    expect(table.pushUpdate(makeRoute("a", 40), STARTED_AT_MS)).toBe("ignored_watermark");
    expect(guards).toEqual(["watermark"]);
  });

  test("a push above it obeys the rules: it takes effect, or waits for a read", () => {
    const trusting = restarted(listed);
    expect(trusting.pushUpdate(makeRoute("a", 55, { state: "paused", ip: "" }), STARTED_AT_MS)).toBe(
      "applied",
    );
    expect(served(trusting, "a")).toBe("paused");
    const verifying = restarted(listed, { trust: "verify" });
    expect(verifying.pushUpdate(makeRoute("a", 55, { state: "paused", ip: "" }), STARTED_AT_MS)).toBe(
      "unsettled",
    );
    expect(verifying.isObjectHeld("ns", "a")).toBe(true);
  });

  test("a deletion that was pushed before holds, and so does an update", () => {
    const table = restarted((before) => {
      listed(before);
      before.pushDelete({ namespace: "ns", name: "a", resourceVersion: "40" }, 0, "10.9.9.9");
      before.pushUpdate(makeRoute("b", 60, { ip: "10.0.0.9" }), 0, "10.9.9.9");
    });
    expect(served(table, "a")).toBe("unknown");
    expect(served(table, "b")).toBe("running on 10.0.0.9");
    expect(table.pushUpdate(makeRoute("a", 40), STARTED_AT_MS)).toBe("ignored_watermark");
  });

  test("what was not settled before is not settled now: a read is asked for, and without one it is in doubt", () => {
    const snapshot = takenOf(
      (before) => {
        listed(before);
        before.pushDelete({ namespace: "ns", name: "a", resourceVersion: "40" }, 0, "10.9.9.9");
      },
      { trust: "verify" },
    );
    const table = newTable({ scopes: [""], trust: "verify" });
    const doubted: string[] = [];
    table.addListener({ doubted: (key) => void doubted.push(key) });
    table.load(snapshot, STARTED_AT_MS);
    expect(new Set(doubted)).toEqual(new Set(["ns/a"]));
    expect(table.isObjectHeld("ns", "a")).toBe(true);
    table.advance(STARTED_AT_MS + 500);
    expect(served(table, "a")).toBe("doubted");
    expect(served(table, "b")).toBe("running on 10.0.0.2");
  });

  test("what a read had shown ahead of the watermark is not forgotten", () => {
    const table = restarted((before) => {
      listed(before);
      before.settle({ namespace: "ns", name: "a", version: rv(70), observation: undefined, asOf: 0 }, 0);
    });
    expect(served(table, "a")).toBe("unknown");
    expect(table.pushUpdate(makeRoute("a", 65), STARTED_AT_MS)).toBe("ignored_watermark");
  });

  test("a sandbox whose shutdownTime came meanwhile is dead", () => {
    const table = restarted((before) =>
      before.relist("", rv(50), [observe(makeRoute("a", 40, { shutdownAtMs: 30_000 }))], 0),
    );
    expect(served(table, "a")).toBe("dead");
  });

  test("of two with one pod IP the one that took it later is still known", () => {
    const table = restarted((before) => {
      before.relist("", rv(50), [observe(makeRoute("a", 40))], 0);
      before.observe("", observe(makeRoute("b", 60)), 0);
    });
    expect(served(table, "a")).toBe("running");
    expect(served(table, "b")).toBe("running on 10.0.0.1");
  });

  test("is late when the informer has spoken, and changes nothing then", () => {
    const snapshot = takenOf(listed);
    const table = newTable({ scopes: [""] });
    table.relist("", rv(10), [], STARTED_AT_MS);
    expect(table.load(snapshot, STARTED_AT_MS)).toEqual([]);
    expect(table.stats().entries).toBe(0);
    expect(table.stats().scopes[0]?.watermark).toBe("10");
  });

  test("of several namespaces only those that were not listed yet are loaded", () => {
    const before = newTable({ scopes: ["ns", "other"] });
    before.relist("ns", rv(50), [observe(makeRoute("a", 40))], 0);
    before.relist("other", rv(50), [observe(makeRoute("b", 41, { namespace: "other", ip: "10.0.0.2" }))], 0);
    const table = newTable({ scopes: ["ns", "other"] });
    table.relist("ns", rv(60), [], STARTED_AT_MS);
    expect(table.load(snapshotOf(before, TAKEN_AT_MS), STARTED_AT_MS)).toEqual(["other"]);
    expect(served(table, "a")).toBe("unknown");
    expect(table.lookupObject("other", "b").kind).toBe("found");
    expect(table.synced).toBe(true);
  });

  test("a CRD that was not installed is not waited for; objects of another one come back under their own key", () => {
    const sigs = "agents.x-k8s.io:";
    const options = { scopes: ["", sigs] };
    const neither = takenOf((before) => {
      listed(before);
      before.setMissing(sigs, 0);
    }, options);
    const first = newTable(options);
    expect(first.load(neither, STARTED_AT_MS)).toEqual([""]);
    expect(first.synced).toBe(true);
    const both = takenOf((before) => {
      listed(before);
      before.relist(
        sigs,
        rv(60),
        [observe(makeRoute("a", 55, { namespace: `${sigs}ns`, id: "x", ip: "10.0.0.7" }))],
        0,
      );
    }, options);
    const second = newTable(options);
    expect(second.load(both, STARTED_AT_MS)).toEqual(["", sigs]);
    expect(second.inspect(`${sigs}ns/a`)?.inEffect?.route.ip).toBe("10.0.0.7");
    expect(second.inspect("ns/a")?.inEffect?.route.ip).toBe("10.0.0.1");
  });

  test("a push that came before the snapshot was loaded ends when the snapshot knows better", () => {
    const snapshot = takenOf(listed);
    const table = newTable({ scopes: [""] });
    table.pushUpdate(makeRoute("gone", 45), STARTED_AT_MS);
    table.pushUpdate(makeRoute("a", 45, { state: "paused" }), STARTED_AT_MS);
    table.pushUpdate(makeRoute("b", 99, { ip: "10.0.0.7" }), STARTED_AT_MS);
    table.load(snapshot, STARTED_AT_MS);
    expect(served(table, "gone")).toBe("unknown");
    expect(served(table, "a")).toBe("running on 10.0.0.1");
    expect(served(table, "b")).toBe("running on 10.0.0.7");
  });

  test("each object is told as loaded, once", () => {
    const snapshot = takenOf(listed);
    const table = newTable({ scopes: [""] });
    const told: string[] = [];
    table.addListener({ told: ({ how, name, outcome }) => void told.push(`${how} ${name} ${outcome}`) });
    table.load(snapshot, STARTED_AT_MS);
    expect(told).toEqual(["loaded a applied", "loaded b applied"]);
  });
});

test("who watches facts hears of each object that changes, until it stops", () => {
  const table = newTable({ scopes: [""] });
  const heard: string[] = [];
  const stop = table.watchFacts((namespace, name) => void heard.push(`${namespace}/${name}`));
  listed(table);
  table.remove("", "ns", "a", "", rv(60), 0);
  table.pushUpdate(makeRoute("b", 70), 0);
  expect(heard).toEqual(["ns/a", "ns/b", "ns/a", "ns/b"]);
  stop();
  table.remove("", "ns", "b", "", rv(80), 0);
  expect(heard.length).toBe(4);
});
