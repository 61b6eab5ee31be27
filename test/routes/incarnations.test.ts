import { describe, expect, test } from "vitest";
import type { Incarnation } from "../../src/routes/lookup.ts";
import type { Route } from "../../src/routes/route.ts";
import { type RouteTable } from "../../src/routes/table.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// docs/route-table.md#incarnations: what an incarnation survives, and what ends it.

function running(fields: Partial<Route> = {}) {
  const table = newTable({ scopes: [""] });
  const ended: string[] = [];
  table.addListener({ incarnationEnded: ({ number }, reason) => void ended.push(`${number} ${reason}`) });
  table.relist("", rv(10), [observe(makeRoute("one", 5, fields))], 0);
  const now = (): Incarnation | undefined => {
    const found = table.lookup("ns--one");
    return found.kind === "found" ? found.incarnation : undefined;
  };
  const next = (fields: Partial<Route>, version: number) =>
    table.observe("", observe(makeRoute("one", version, fields)), 0);
  return { table, ended, now, next };
}

test("it goes on through every change that leaves UID, pod IP and life alone, hints included", () => {
  const { table, ended, now, next } = running();
  const first = now();
  next({ owner: "someone" }, 11);
  table.pushUpdate(makeRoute("one", 12, { accessToken: "t" }), 0);
  next({ accessToken: "t" }, 12);
  table.relist("", rv(30), [observe(makeRoute("one", 29))], 0);
  expect(now()).toBe(first);
  expect(first).toMatchObject({ key: "ns/one", uid: "one-1", ip: "10.0.0.1" });
  expect(ended).toEqual([]);
});

describe("it ends, and the next one has another number", () => {
  const changes: [string, Partial<Route>, string][] = [
    ["paused", { state: "paused" }, "paused"],
    ["paused with the IP taken away", { state: "paused", ip: "" }, "paused"],
    ["dead", { state: "dead" }, "dead"],
    ["another UID", { uid: "one-2" }, "replaced"],
    ["another IP", { ip: "10.0.0.9" }, "ip_moved"],
    ["the IP taken away", { state: "creating", ip: "" }, "ip_moved"],
    ["creating again", { state: "creating" }, "not_running"],
    ["a state from the future", { state: "hibernated" }, "not_running"],
  ];
  for (const [what, fields, reason] of changes) {
    test(`${what}: ${reason}`, () => {
      const { ended, now, next } = running();
      const first = now();
      next(fields, 11);
      expect(ended).toEqual([`${first?.number} ${reason}`]);
      next({}, 12);
      expect(now()?.number).toBeGreaterThan(first?.number ?? 0);
    });
  }

  test("another pod behind the same IP: a pause and a resume that nobody saw", () => {
    const { ended, now, next } = running({ podUid: "p1" });
    next({ podUid: undefined }, 11);
    expect(ended).toEqual([]);
    next({ podUid: "p2" }, 12);
    expect(ended).toEqual(["1 replaced"]);
    expect(now()?.number).toBe(2);
  });

  test("the IP surely taken by another: ip_reassigned", () => {
    const { table, ended, now } = running();
    table.observe("", observe(makeRoute("two", 11)), 0);
    expect(ended).toEqual(["1 ip_reassigned"]);
    expect(now()).toBeUndefined();
  });

  test("deleted: by the informer, by a peer, by a relist, and by a deletionTimestamp", () => {
    const ends: ((table: RouteTable) => void)[] = [
      (table) => table.remove("", "ns", "one", "one-1", rv(11), 0),
      (table) => table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "5" }, 0),
      (table) => table.relist("", rv(11), [], 0),
      (table) => table.observe("", { ...observe(makeRoute("one", 11)), route: undefined }, 0),
    ];
    for (const end of ends) {
      const { table, ended } = running();
      end(table);
      expect(ended).toEqual(["1 dead"]);
      expect(table.lookup("ns--one").kind).toBe("unknown");
    }
  });
});

describe("what lingers of a paused one is over when its sandbox is heard of again", () => {
  const paused = () => {
    const scene = running();
    const over: string[] = [];
    scene.table.addListener({ pauseEnded: ({ number }, reason) => void over.push(`${number} ${reason}`) });
    scene.next({ state: "paused" }, 11);
    return { ...scene, over };
  };

  test("deleted: dead", () => {
    const { table, over, ended } = paused();
    table.remove("", "ns", "one", "one-1", rv(12), 0);
    expect(over).toEqual(["1 dead"]);
    expect(ended).toEqual(["1 paused"]);
  });

  test("resumed elsewhere: ip_moved; resumed behind the same address: replaced, and another incarnation", () => {
    const elsewhere = paused();
    elsewhere.next({ ip: "10.0.0.9" }, 12);
    expect(elsewhere.over).toEqual(["1 ip_moved"]);
    const same = paused();
    same.next({}, 12);
    expect(same.over).toEqual(["1 replaced"]);
    expect(same.now()?.number).toBe(2);
  });

  test("while it stays paused, and after it was told once, nothing is told", () => {
    const { over, next } = paused();
    next({ state: "paused", ip: "" }, 12);
    next({ state: "paused", owner: "someone" }, 13);
    expect(over).toEqual([]);
    next({}, 14);
    next({ owner: "someone else" }, 15);
    expect(over).toEqual(["1 replaced"]);
  });
});

test("listeners hear of it when the table is consistent again", () => {
  const table = newTable({ scopes: [""] });
  const seen: (string | undefined)[] = [];
  table.addListener({
    incarnationEnded: () => {
      const found = table.lookup("ns--two");
      seen.push(found.kind === "found" ? found.incarnation?.key : undefined);
    },
  });
  table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
  table.observe("", observe(makeRoute("two", 11)), 0);
  expect(seen).toEqual(["ns/two"]);
});
