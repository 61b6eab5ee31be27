import { describe, expect, test } from "vitest";
import type { Outcome } from "../../src/routes/outcome.ts";
import { type RouteTable } from "../../src/routes/table.ts";
import { makeRoute } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// The store cases of docs/openkruise.md#cases in words, against a table without an informer: the only one that the gateway
// we replace had. Where we differ on purpose, the name says how.

function store() {
  const table = newTable({ scopes: "none" });
  return {
    table,
    u: (id: string, version: string | number, fields: object = {}): Outcome =>
      table.pushUpdate({ ...makeRoute("one", 1, { id, ...fields }), resourceVersion: String(version) }, 0),
    d: (version: string | number, key: object = {}): Outcome =>
      table.pushDelete({ namespace: "ns", name: "one", resourceVersion: String(version), ...key }, 0),
    fence: () => table.inspect("ns/one")?.facts.find((fact) => fact.kind === "tombstone")?.resourceVersion,
    found: (id: string) => table.lookup(id).kind === "found",
  };
}

describe("upsert", () => {
  test("U(legacy@1) on empty: applied, found", () => {
    const { u, found } = store();
    expect(u("legacy", 1)).toBe("applied");
    expect(found("legacy")).toBe(true);
  });

  test("U(old@1,uid-a), U(new@2,uid-b): applied, old is gone", () => {
    const { u, found } = store();
    u("old", 1, { uid: "uid-a" });
    expect(u("new", 2, { uid: "uid-b" })).toBe("applied");
    expect([found("old"), found("new")]).toEqual([false, true]);
  });

  test("U(old@2) twice: the second is stale", () => {
    const { u } = store();
    u("old", 2);
    expect(u("old", 2)).toBe("ignored_stale");
  });

  test("U(new@3), U(old@2): ignored, new stays", () => {
    const { u, found } = store();
    u("new", 3);
    expect(u("old", 2)).toBe("ignored_stale");
    expect([found("old"), found("new")]).toEqual([false, true]);
  });

  test("D(4), U(id@4): ignored, absent; U(id@5): applied", () => {
    const { u, d, found } = store();
    d(4);
    expect(u("id", 4)).toBe("ignored_tombstone");
    expect(found("id")).toBe(false);
    expect(u("id", 5)).toBe("applied");
    expect(found("id")).toBe(true);
  });
});

describe("delete", () => {
  const cases: [string, (s: ReturnType<typeof store>) => Outcome, Outcome, fence: string | undefined][] = [
    ["absent D(2)", (s) => s.d(2), "applied", "2"],
    ["U@2, D(2)", (s) => (s.u("id", 2), s.d(2)), "applied", "2"],
    ["U@3, D(4)", (s) => (s.u("id", 3), s.d(4)), "applied", "4"],
    ["D(3), D(2)", (s) => (s.d(3), s.d(2)), "ignored_stale", "3"],
    ["D(2), D(3)", (s) => (s.d(2), s.d(3)), "applied", "3"],
    ["D(3), D(3)", (s) => (s.d(3), s.d(3)), "applied", "3"],
    ['D("rv")', (s) => s.d("rv"), "invalid_resource_version", undefined],
    ["no key D(3)", (s) => s.d(3, { namespace: "", name: "" }), "invalid_key", undefined],
    ["namespace only D(2)", (s) => s.d(2, { name: "" }), "invalid_key", undefined],
    // The gateway we replace drops a route on an empty version that its own informer may give. Nothing sends us one:
    // our informer's deletions always carry a version, and a push must.
    [
      'U@10, D(""): invalid, unlike the gateway we replace',
      (s) => (s.u("id", 10), s.d("")),
      "invalid_resource_version",
      undefined,
    ],
  ];
  for (const [name, run, outcome, fence] of cases) {
    test(`${name}: ${outcome}, fence ${fence ?? "none"}`, () => {
      const s = store();
      expect(run(s)).toBe(outcome);
      expect(s.fence()).toBe(fence);
    });
  }

  test("U@3, D(2): the route stays, and unlike the gateway we replace the deletion is kept beneath it", () => {
    const { u, d, found, fence } = store();
    u("id", 3);
    expect(d(2)).toBe("applied");
    expect(found("id")).toBe(true);
    expect(fence()).toBe("2");
  });
});

describe("fence retention", () => {
  const ttl = 600_000;
  const at = (table: RouteTable, version: number, nowMs: number) =>
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: String(version) }, nowMs);

  test("a fence lasts ten minutes; at that time it is gone, and an older update is applied again", () => {
    const { table } = store();
    at(table, 2, 1_000);
    expect(table.nextDeadlineMs()).toBe(1_000 + ttl);
    table.advance(1_000 + ttl - 1);
    expect(table.pushUpdate(makeRoute("one", 1), 1_000 + ttl - 1)).toBe("ignored_tombstone");
    expect(table.pushUpdate(makeRoute("one", 1), 1_000 + ttl)).toBe("applied");
  });

  test("a stale or equal deletion does not move the expiry; a newer one, unlike the gateway we replace, lasts its own time", () => {
    const { table } = store();
    at(table, 2, 0);
    at(table, 1, 5_000);
    at(table, 2, 6_000);
    expect(table.nextDeadlineMs()).toBe(ttl);
    at(table, 3, 7_000);
    expect(table.nextDeadlineMs()).toBe(7_000 + ttl);
  });
});

test("a key that would be another's, and a route longer than any real one, are invalid", () => {
  const { table, u, d } = store();
  expect(u("id", 1, { namespace: "a/b", name: "c" })).toBe("invalid_key");
  expect(d(1, { namespace: "a", name: "b/c" })).toBe("invalid_key");
  expect(u("id", 1, { accessToken: "t".repeat(20_000) })).toBe("invalid_size");
  expect(d("9".repeat(20_000))).toBe("invalid_size");
  expect(table.stats().entries).toBe(0);
});

test("a missing key, ID, UID or version is invalid and allocates nothing", () => {
  const { table, u } = store();
  expect(u("id", 1, { namespace: "", name: "" })).toBe("invalid_key");
  expect(u("id", 1, { name: "" })).toBe("invalid_key");
  expect(u("", 1)).toBe("invalid_id");
  expect(u("id", 1, { uid: "" })).toBe("invalid_uid");
  for (const version of ["", "0", "01", "rv"]) expect(u("id", version)).toBe("invalid_resource_version");
  expect(table.stats().entries).toBe(0);
  expect(u("id", "18446744073709551616")).toBe("applied");
});

describe("ID collision: unlike the gateway we replace, which lets the last one win, neither is served", () => {
  const both = () => {
    const { table } = store();
    for (const name of ["a", "b"])
      table.pushUpdate(makeRoute(name, 1, { id: "shared", ip: `10.0.0.${name === "a" ? 1 : 2}` }), 0);
    return table;
  };
  const remove = (table: RouteTable, name: string) =>
    table.pushDelete({ namespace: "ns", name, resourceVersion: "2" }, 0);

  test("while both live", () => {
    expect(both().lookup("shared")).toEqual({ kind: "id_conflict", keys: ["ns/a", "ns/b"] });
    expect(both().lookupObject("ns", "a").kind).toBe("id_conflict");
  });

  test("D(a@2): b is served", () => {
    const table = both();
    remove(table, "a");
    expect(table.lookup("shared")).toMatchObject({ kind: "found", route: { name: "b" } });
  });

  test("D(b@2): a is served, without waiting for its next version", () => {
    const table = both();
    remove(table, "b");
    expect(table.lookup("shared")).toMatchObject({ kind: "found", route: { name: "a" } });
  });
});

test("many writers on their own IDs: all applied, nothing left in the end", () => {
  const table = newTable({ scopes: "none" });
  const outcomes = new Set<Outcome>();
  for (let version = 1; version <= 100; version++) {
    for (let writer = 0; writer < 16; writer++) {
      const name = `w${writer}`;
      outcomes.add(
        table.pushUpdate(makeRoute(name, version * 2 - 1, { id: name, ip: `10.0.1.${writer}` }), 0),
      );
      expect(table.lookup(name).kind).toBe("found");
      outcomes.add(table.pushDelete({ namespace: "ns", name, resourceVersion: String(version * 2 - 1) }, 0));
    }
  }
  expect([...outcomes]).toEqual(["applied"]);
  expect([...table.stats().states]).toEqual([]);
});
