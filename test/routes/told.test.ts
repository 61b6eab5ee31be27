import { describe, expect, test } from "vitest";
import type { Route } from "../../src/routes/route.ts";
import type { TableListener } from "../../src/routes/news.ts";
import type { Told } from "../../src/routes/told.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// What listeners hear (metrics, history, workers), and what they must not.

function listening() {
  const table = newTable({ scopes: [""] });
  const told: string[] = [];
  const listener: TableListener = {
    told: ({ writer, outcome, namespace, name, guard }) =>
      void told.push(`${writer} ${outcome} ${namespace}/${name} ${guard ?? "-"}`),
    routeChanged: (key, found) => void told.push(`route ${key} ${found?.route.resourceVersion ?? "none"}`),
    factDropped: (fact, reason, key) => void told.push(`dropped ${fact} ${reason} ${key}`),
  };
  const stop = table.addListener(listener);
  table.setLive("", true, 0);
  table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
  return { table, stop, take: () => told.splice(0) };
}

test("a listener hears nothing after it was taken away; others still do", () => {
  const { table, stop, take } = listening();
  const other: string[] = [];
  table.addListener({ told: ({ outcome }) => void other.push(outcome) });
  take();
  stop();
  table.observe("", observe(makeRoute("one", 11)), 0);
  expect(take()).toEqual([]);
  expect(other).toEqual(["applied"]);
});

test("an event at or below the watermark is ignored, changes nothing and moves nothing back", () => {
  for (const version of [11, 20]) {
    const { table, take } = listening();
    table.bookmark("", rv(20), 0);
    take();
    const late = observe(makeRoute("one", version, { ip: "10.6.6.6" }));
    expect(table.observe("", late, 0)).toBe("ignored_watermark");
    expect(table.remove("", "ns", "one", "one-1", rv(version), 0)).toBe("ignored_watermark");
    expect(take()).toEqual(["informer ignored_watermark ns/one -", "informer ignored_watermark ns/one -"]);
    expect(table.lookup("ns--one")).toMatchObject({ route: { ip: "10.0.0.1" } });
    expect(table.stats().scopes).toMatchObject([{ watermark: "20" }]);
  }
});

test("a list of a stale server is ignored, and so is all that it shows: one that would live again is an attempt", () => {
  const { table, take } = listening();
  table.remove("", "ns", "one", "one-1", rv(20), 0);
  take();
  const listed = [observe(makeRoute("one", 5)), observe(makeRoute("two", 6, { ip: "10.0.0.2" }))];
  expect(table.relist("", rv(15), listed, 0)).toBe("behind");
  expect(take()).toEqual([
    "informer ignored_watermark ns/one watermark",
    "informer ignored_watermark ns/two watermark",
  ]);
  expect(table.lookup("ns--one").kind).toBe("unknown");
});

test("rule 3: an update whose state is dead is a deletion", () => {
  const { table, take } = listening();
  take();
  expect(table.pushUpdate(makeRoute("one", 5, { state: "dead" }), 0)).toBe("applied");
  expect(table.stats()).toMatchObject({ hints: 0, tombstones: 1 });
  expect(table.lookup("ns--one").kind).toBe("unknown");
  expect(take()).toEqual(["peer applied ns/one -", "route ns/one none"]);
});

test("the end at a shutdownTime is told as the clock's", () => {
  const { table, take } = listening();
  table.observe("", observe(makeRoute("one", 11, { shutdownAtMs: 5_000 })), 0);
  take();
  table.advance(4_999);
  expect(take()).toEqual([]);
  table.advance(5_000);
  expect(take()).toEqual(["clock applied ns/one -", "route ns/one 11"]);
});

test("the informer says that an object is ending: what was pushed of it is contradicted", () => {
  const { table, take } = listening();
  table.pushUpdate(makeRoute("one", 30), 0);
  take();
  table.observe("", { ...observe(makeRoute("one", 11)), route: undefined }, 0);
  expect(take()).toEqual([
    "informer applied ns/one -",
    "dropped hint contradicted ns/one",
    "route ns/one none",
  ]);
  expect(table.stats().hints).toBe(0);
});

test("a deletion that is kept beneath a newer push changes no route, and says so", () => {
  const { table, take } = listening();
  table.pushUpdate(makeRoute("one", 30), 0);
  take();
  expect(table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "5" }, 0)).toBe("applied");
  expect(take()).toEqual(["peer applied ns/one -"]);
});

test("a route that moves between contested IPs is told each time, and no conflict is left", () => {
  const { table, take } = listening();
  table.observe("", observe(makeRoute("two", 11)), 0);
  expect(table.stats().ipConflicts).toBe(1);
  expect(take()).toContain("route ns/two 11");
  table.observe("", observe(makeRoute("two", 12, { ip: "10.0.0.2" })), 0);
  expect(table.stats().ipConflicts).toBe(0);
  const told = take();
  expect(told).toContain("route ns/two 12");
  // It is served again.
  expect(told).toContain("route ns/one 5");
  table.pushUpdate(makeRoute("three", 20, { ip: "10.0.0.3" }), 0);
  take();
  // With no conflict left, what only moves the watermark changes nothing.
  table.bookmark("", rv(13), 0);
  expect(take()).toEqual([]);
});

describe("a push longer than any real one is refused, whichever field makes it so", () => {
  const long = "x".repeat(16_384);
  const fields: readonly (keyof Route)[] = [
    "namespace",
    "name",
    "id",
    "uid",
    "owner",
    "ip",
    "state",
    "accessToken",
    "podUid",
  ];
  test.each(fields)("%s", (field) => {
    const { table } = listening();
    expect(table.pushUpdate({ ...makeRoute("new", 20), [field]: long }, 0)).toMatch(/^invalid_/);
    expect(table.stats().hints).toBe(0);
  });

  test("the version", () => {
    const { table } = listening();
    const push = { ...makeRoute("new", 20), resourceVersion: "9".repeat(16_384) };
    expect(table.pushUpdate(push, 0)).toBe("invalid_size");
    expect(table.pushDelete(push, 0)).toBe("invalid_size");
  });

  test("and all of them together, when no one does; at the limit it is taken", () => {
    const route = makeRoute("new", 20, { podUid: "p" });
    const known = [route.namespace, route.name, route.id, route.uid, route.owner, route.ip, route.state];
    const others = [...known, route.resourceVersion, "p"].join("").length;
    const push = (length: number) =>
      listening().table.pushUpdate({ ...route, accessToken: "x".repeat(length) }, 0);
    expect(push(16_384 - others)).toBe("applied");
    expect(push(16_384 - others + 1)).toBe("invalid_size");
  });
});

test("what each scope's informer has said, and whether it is heard, is shown", () => {
  const table = newTable({ scopes: ["a", "b"] });
  const shown = { watermark: "0", synced: false, missing: false, live: false, barredUntil: undefined };
  expect(table.stats().scopes).toEqual([
    { ...shown, name: "a" },
    { ...shown, name: "b" },
  ]);
  table.setLive("a", true, 0);
  table.relist("a", rv(10), [], 0);
  expect(table.stats().scopes).toEqual([
    { ...shown, name: "a", watermark: "10", synced: true, live: true },
    { ...shown, name: "b" },
  ]);
  table.startOver("a", rv(5), [], 0);
  table.setLive("a", false, 0);
  expect(table.stats().scopes[0]).toEqual({
    name: "a",
    watermark: "5",
    synced: true,
    missing: false,
    live: false,
    barredUntil: "10",
  });
});

test("all that is known of an object is shown, fact by fact", () => {
  const table = newTable({ scopes: [""], trust: "verify" });
  table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
  expect(table.inspect("ns/one")).toMatchObject({
    key: "ns/one",
    facts: [{ kind: "confirmed", resourceVersion: "5", state: "running" }],
    idConflict: false,
    doubt: undefined,
  });
  table.pushUpdate(makeRoute("one", 20, { state: "paused" }), 0);
  table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "21" }, 0);
  const pushed = [
    { kind: "confirmed", resourceVersion: "5", state: "running" },
    { kind: "hint", resourceVersion: "20", state: "paused" },
    { kind: "tombstone", resourceVersion: "21", state: "dead" },
  ];
  expect(table.inspect("ns/one")).toMatchObject({ facts: pushed, doubt: "held" });
  table.advance(500);
  expect(table.inspect("ns/one")).toMatchObject({ facts: pushed, doubt: "overdue" });
  const read = (name: string, observation: ReturnType<typeof observe> | undefined) =>
    table.settle({ namespace: "ns", name, version: rv(30), observation, asOf: table.pushSerial }, 600);
  read("one", { ...observe(makeRoute("one", 25)), route: undefined });
  expect(table.inspect("ns/one")).toMatchObject({
    facts: [
      { kind: "confirmed", resourceVersion: "25", state: "ending" },
      { kind: "read", resourceVersion: "30", state: "ending" },
    ],
    doubt: undefined,
    inEffect: undefined,
  });
  read("never", undefined);
  expect(table.inspect("ns/never")?.facts).toEqual([{ kind: "read", resourceVersion: "30", state: "gone" }]);
  read("two", observe(makeRoute("two", 28, { id: "ns--two", ip: "10.0.0.2" })));
  expect(table.inspect("ns/two")?.facts.at(-1)).toEqual({
    kind: "read",
    resourceVersion: "30",
    state: "running",
  });
  expect(table.inspect("ns/unheard-of")).toBeUndefined();
});

test("who contests an ID is shown with both, and with nobody else", () => {
  const table = newTable({ scopes: [""] });
  const on = (name: string, version: number, fields: Partial<Route>) =>
    observe(makeRoute(name, version, fields));
  table.relist(
    "",
    rv(10),
    [
      on("a", 5, { id: "shared" }),
      on("b", 6, { id: "Shared", ip: "10.0.0.2" }),
      on("c", 7, { id: "shared", ip: "", state: "dead" }),
      on("d", 8, { ip: "10.0.0.4" }),
    ],
    0,
  );
  const contesting = ["a", "b", "c", "d"].filter((name) => table.inspect(`ns/${name}`)?.idConflict);
  expect(contesting).toEqual(["a", "b"]);
  expect(table.stats().idConflicts).toBe(1);
  expect(table.lookupObject("ns", "a").kind).toBe("id_conflict");
  expect(table.lookupObject("ns", "c")).toMatchObject({ kind: "found", state: "dead" });
  expect(table.lookupObject("ns", "nobody").kind).toBe("unknown");
});

test("what the informer tells beneath a pushed deletion is no route, and is told as stopped by it", () => {
  for (const how of ["event", "list"]) {
    const { table, take } = listening();
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "20" }, 0);
    take();
    const late = observe(makeRoute("one", 15, { ip: "10.0.0.7" }));
    if (how === "event") expect(table.observe("", late, 0)).toBe("ignored_tombstone");
    else table.relist("", rv(15), [late], 0);
    expect(take()).toEqual(["informer ignored_tombstone ns/one tombstone"]);
    expect(table.lookup("ns--one").kind).toBe("unknown");
    expect(table.observe("", observe(makeRoute("one", 21)), 0)).toBe("applied");
  }
});

describe("each fact is told with its writer, as it was written, before its effects", () => {
  const scene = (trust: "serve" | "verify" = "serve") => {
    const table = newTable({ scopes: [""], trust });
    const facts: Told[] = [];
    const order: string[] = [];
    table.relist("", rv(10), [observe(makeRoute("one", 5, { id: "label" }))], 3);
    table.addListener({
      told: (fact) => {
        facts.push(fact);
        order.push(fact.how);
      },
      restored: (scope) => void order.push(`restored ${JSON.stringify(scope)}`),
      routeChanged: (key) => void order.push(key),
    });
    return { table, facts: () => facts.splice(0), order: () => order.splice(0) };
  };
  const one = { namespace: "ns", name: "one", uid: "one-1", from: "", guard: undefined, atMs: 7 };
  const running = { ...one, state: "running", ip: "10.0.0.7", id: "ns--one" };
  const route = (version: number) => makeRoute("one", version, { ip: "10.0.0.7" });

  test("an event", () => {
    const { table, facts, order } = scene();
    table.observe("", observe(route(11)), 7);
    expect(order()).toEqual(["observed", "ns/one"]);
    expect(facts()).toEqual([
      { ...running, writer: "informer", how: "observed", outcome: "applied", resourceVersion: "11" },
    ]);
    table.observe("", { ...observe(route(12)), route: undefined }, 7);
    expect(facts()).toMatchObject([{ how: "observed", resourceVersion: "12", state: "ending", ip: "" }]);
  });

  test("a deletion", () => {
    const { table, facts, order } = scene();
    table.remove("", "ns", "one", "one-1", rv(11), 7);
    expect(order()).toEqual(["deleted", "ns/one"]);
    expect(facts()).toEqual([
      {
        ...one,
        writer: "informer",
        how: "deleted",
        outcome: "applied",
        resourceVersion: "11",
        state: undefined,
        ip: undefined,
        id: undefined,
      },
    ]);
  });

  test("a list: what it shows otherwise, and what it lacks; what it shows as it was is no news", () => {
    const { table, facts, order } = scene();
    const two = observe(makeRoute("two", 6, { ip: "10.0.0.2" }));
    table.relist("", rv(20), [observe(route(15)), two], 7);
    expect(order()).toEqual(["listed", "listed", "ns/one", "ns/two"]);
    expect(facts()[0]).toEqual({
      ...running,
      writer: "informer",
      how: "listed",
      outcome: "applied",
      resourceVersion: "15",
    });
    table.relist("", rv(30), [two], 7);
    expect(order()).toEqual(["unlisted", "ns/one"]);
    expect(facts()).toMatchObject([
      {
        writer: "informer",
        how: "unlisted",
        outcome: "applied",
        name: "one",
        resourceVersion: "30",
        uid: undefined,
      },
    ]);
  });

  test("pushes, also those that are refused", () => {
    const { table, facts } = scene();
    table.pushUpdate(route(20), 7, "10.9.9.9");
    table.pushUpdate(route(20), 7, "10.9.9.9");
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "21" }, 7, "10.9.9.8");
    table.pushUpdate(route(21), 7, "10.9.9.9");
    table.pushUpdate({ ...route(22), uid: "" }, 7, "10.9.9.9");
    const update = { ...running, writer: "peer", how: "update", from: "10.9.9.9", resourceVersion: "20" };
    expect(facts()).toEqual([
      { ...update, outcome: "applied" },
      { ...update, outcome: "ignored_stale" },
      {
        ...one,
        writer: "peer",
        how: "deletion",
        from: "10.9.9.8",
        outcome: "applied",
        resourceVersion: "21",
        state: "dead",
        ip: undefined,
        uid: undefined,
        id: undefined,
      },
      { ...update, outcome: "ignored_tombstone", resourceVersion: "21", guard: "tombstone" },
      { ...update, outcome: "invalid_uid", resourceVersion: "22", uid: "" },
    ]);
  });

  test("a read, and the push that it refutes with its sender", () => {
    const { table, facts, order } = scene("verify");
    table.pushUpdate(route(20), 7, "10.9.9.9");
    facts();
    order();
    const read = (observation: ReturnType<typeof observe> | undefined, version: number) =>
      table.settle(
        { namespace: "ns", name: "one", version: rv(version), observation, asOf: table.pushSerial },
        7,
      );
    read(observe(route(15)), 30);
    expect(order()).toEqual(["read", "update", "ns/one"]);
    expect(facts()).toEqual([
      { ...running, writer: "informer", how: "read", outcome: "applied", resourceVersion: "30" },
      {
        ...running,
        writer: "peer",
        how: "update",
        outcome: "ignored_refuted",
        resourceVersion: "20",
        from: "10.9.9.9",
      },
    ]);
    read({ ...observe(route(31)), route: undefined }, 32);
    read(undefined, 33);
    expect(facts()).toMatchObject([
      { how: "read", resourceVersion: "32", state: "ending", ip: "", uid: "one-1" },
      { how: "read", resourceVersion: "33", state: "gone", ip: "", uid: undefined },
    ]);
  });

  test("a shutdownTime that comes", () => {
    const { table, facts } = scene();
    table.observe("", observe(makeRoute("one", 11, { shutdownAtMs: 7 })), 3);
    facts();
    table.advance(7);
    expect(facts()).toMatchObject([
      { writer: "clock", how: "shutdown", outcome: "applied", name: "one", state: "dead", atMs: 7 },
    ]);
  });

  test("a restore from a backup: the facts, then that it was one", () => {
    const { table, order } = scene();
    table.startOver("", rv(5), [observe(route(4))], 7);
    expect(order()).toEqual(["listed", 'restored ""', "ns/one"]);
    table.startOver("", rv(5), [], 7);
    expect(order()).toEqual(["unlisted", 'restored ""', "ns/one"]);
  });

  test("an IP that no pod can have, with who gave it", () => {
    const table = newTable({ scopes: [""], isPodAddress: (ip) => !ip.startsWith("127.") });
    const refused: unknown[] = [];
    table.addListener({ podIpRefused: (...of) => void refused.push(of) });
    table.relist("", rv(10), [observe(makeRoute("one", 5, { ip: "127.0.0.1" }))], 0);
    table.pushUpdate(makeRoute("two", 20, { ip: "127.0.0.2" }), 0, "10.9.9.9");
    expect(refused).toEqual([
      ["informer", "ns/one", "127.0.0.1", ""],
      ["peer", "ns/two", "127.0.0.2", "10.9.9.9"],
    ]);
  });
});
