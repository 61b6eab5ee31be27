import { describe, expect, test } from "vitest";
import type { Route } from "../../src/routes/route.ts";
import { routingId } from "../../src/routes/route.ts";
import { type RouteTable } from "../../src/routes/table.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

const on = (name: string, version: number, fields: Partial<Route> = {}) =>
  observe(makeRoute(name, version, fields));

function table(...listed: ReturnType<typeof on>[]) {
  const made = newTable({ scopes: [""] });
  made.relist("", rv(10), listed, 0);
  return made;
}

const served = (of: RouteTable) => [...of.keys()].filter((key) => of.inspect(key)?.inEffect?.incarnation);

describe("rule 9: one ID, one sandbox", () => {
  test("the routing ID is the label, else namespace--name; a label with -- that is not its own is ignored", () => {
    expect(routingId("ns", "one", "short")).toBe("short");
    expect(routingId("ns", "one", undefined)).toBe("ns--one");
    expect(routingId("ns", "one", "")).toBe("ns--one");
    expect(routingId("ns", "one", "ns--one")).toBe("ns--one");
    expect(routingId("ns", "one", "ns--two")).toBe("ns--one");
  });

  test("a push cannot take another object's legacy ID", () => {
    const t = table(on("one", 5));
    t.pushUpdate(makeRoute("thief", 11, { id: "ns--one", ip: "10.6.6.6" }), 0);
    expect(t.lookup("ns--one")).toMatchObject({ route: { name: "one" } });
    expect(t.lookup("ns--thief")).toMatchObject({ route: { name: "thief" } });
  });

  test("order of arrival does not decide: neither of two is served, whoever came first", () => {
    for (const names of [
      ["a", "b"],
      ["b", "a"],
    ]) {
      const t = table();
      names.forEach((name, index) => {
        t.observe("", on(name, 11 + index, { id: "shared", ip: name === "a" ? "10.0.0.1" : "10.0.0.2" }), 0);
      });
      expect(t.lookup("shared")).toEqual({ kind: "id_conflict", keys: ["ns/a", "ns/b"] });
      expect(t.stats().idConflicts).toBe(1);
    }
  });

  test("the dead hint no ID; IDs differ by more than case", () => {
    const t = table(on("a", 5, { id: "Shared", state: "dead" }), on("b", 6, { id: "shared" }));
    expect(t.lookup("SHARED")).toMatchObject({ route: { name: "b" } });
    t.observe("", on("a", 11, { id: "Shared", ip: "10.0.0.9" }), 0);
    expect(t.lookup("shared").kind).toBe("id_conflict");
    t.remove("", "ns", "b", "b-1", rv(12), 0);
    expect(t.lookup("shared")).toMatchObject({ route: { name: "a" } });
    expect(t.stats().idConflicts).toBe(0);
  });
});

describe("rule 10: one IP, one sandbox", () => {
  test("the one that surely took it later is served", () => {
    const t = table(on("old", 5));
    t.observe("", on("new", 11), 0);
    expect(served(t)).toEqual(["ns/new"]);
    expect(t.lookup("ns--old")).toMatchObject({ ipReassigned: true, incarnation: undefined });
    expect(t.stats().ipConflicts).toBe(1);
  });

  test("when a list brought both, neither is, until one lets go", () => {
    const t = table(on("a", 5), on("b", 6));
    expect(served(t)).toEqual([]);
    t.observe("", on("a", 11, { state: "paused", ip: "" }), 0);
    expect(served(t)).toEqual(["ns/b"]);
  });

  test("each of three that a list brought says why it is not served", () => {
    const t = table(on("a", 5), on("b", 6), on("c", 7));
    for (const name of ["a", "b", "c"]) {
      expect(t.lookup(`ns--${name}`)).toMatchObject({ ipReassigned: true, incarnation: undefined });
    }
  });

  test("a relist shows that a new object came after the watermark", () => {
    const t = table(on("old", 5));
    t.relist("", rv(30), [on("old", 5), on("new", 20)], 0);
    expect(served(t)).toEqual(["ns/new"]);
  });

  test("an object that may have let the IP go and taken it again in a gap is not trusted to be the older", () => {
    const t = table(on("old", 5));
    t.relist("", rv(30), [on("old", 25), on("new", 20)], 0);
    expect(served(t)).toEqual([]);
  });

  test("the same pod UID shows that it never let go", () => {
    const t = table(on("old", 5, { podUid: "p" }));
    t.relist("", rv(30), [on("old", 25, { podUid: "p" }), on("new", 20)], 0);
    expect(served(t)).toEqual(["ns/new"]);
  });

  test("back from a pause with the address it had: unsure, so neither", () => {
    const t = table(on("a", 5));
    t.observe("", on("a", 11, { state: "paused" }), 0);
    t.observe("", on("b", 12), 0);
    expect(served(t)).toEqual(["ns/b"]);
    t.observe("", on("a", 13), 0);
    expect(served(t)).toEqual([]);
  });

  test("a push is younger than all that the informer has delivered", () => {
    const t = table(on("old", 5));
    t.pushUpdate(makeRoute("new", 11), 0);
    expect(served(t)).toEqual(["ns/new"]);
  });

  test("two pushes: unsure, until the watermark tells them apart", () => {
    const t = table();
    t.pushUpdate(makeRoute("a", 11), 0);
    t.pushUpdate(makeRoute("b", 13), 0);
    expect(served(t)).toEqual([]);
    t.observe("", on("a", 11), 0);
    expect(served(t)).toEqual(["ns/b"]);
  });

  test("a pod that waits in a pool, or is not ready yet, has its IP: whoever had it before is not served", () => {
    for (const state of ["available", "creating"]) {
      const t = table(on("old", 5));
      t.observe("", on("new", 11, { state }), 0);
      expect(served(t)).toEqual([]);
      expect(t.lookup("ns--old")).toMatchObject({ ipReassigned: true });
      expect(t.lookup("ns--new")).toMatchObject({ ipReassigned: false, state });
    }
  });

  test("the paused, the dead and states from the future hold no IP", () => {
    for (const state of ["paused", "dead", "hibernated"]) {
      expect(served(table(on("a", 5), on("b", 6, { state })))).toEqual(["ns/a"]);
    }
  });

  test("the rule can be switched off for the host network", () => {
    const hostNetwork = newTable({ scopes: [""], onePodPerIp: false });
    hostNetwork.relist("", rv(10), [on("a", 5), on("b", 6)], 0);
    expect(served(hostNetwork)).toEqual(["ns/a", "ns/b"]);
  });

  test("one address has many spellings", () => {
    const t = table(on("old", 5, { ip: "fd00:0:0::1" }));
    t.observe("", on("new", 11, { ip: "FD00::0:1" }), 0);
    expect(served(t)).toEqual(["ns/new"]);
    const mapped = table(on("old", 5));
    mapped.observe("", on("new", 11, { ip: "::ffff:10.0.0.1" }), 0);
    expect(served(mapped)).toEqual(["ns/new"]);
  });

  test("a crowd behind one IP is served for none of them, until few are left", () => {
    const crowd = Array.from({ length: 20 }, (_, i) => `n${i}`);
    const t = table();
    crowd.forEach((name, i) => t.observe("", on(name, 11 + i), 0));
    expect(served(t)).toEqual([]);
    crowd.slice(0, 4).forEach((name, i) => t.remove("", "ns", name, `${name}-1`, rv(40 + i), 0));
    expect(served(t)).toEqual(["ns/n19"]);
  });

  test("what is not an IP is never served", () => {
    const t = table(
      on("a", 5, { ip: "evil.example" }),
      on("b", 6, { ip: "10.0.0.1:80" }),
      on("c", 7, { ip: "fd00::1" }),
    );
    expect(served(t)).toEqual(["ns/c"]);
  });
});

describe("nobody's connections are reset for what happened to another", () => {
  // `old` is confirmed with an IP that a push gave to `fresh`, and fresh is rightly served with it.
  function reused(scopes: readonly string[] = [""]) {
    const t = newTable({ scopes });
    for (const scope of scopes) t.relist(scope, rv(10), scope === scopes[0] ? [on("old", 5)] : [], 0);
    t.pushUpdate(makeRoute("fresh", 19), 0);
    const begun = t.inspect("ns/fresh")?.inEffect?.incarnation;
    expect(begun).toBeDefined();
    const ended: string[] = [];
    t.addListener({ incarnationEnded: ({ key }, reason) => void ended.push(`${key} ${reason}`) });
    return { t, begun, ended };
  }
  const leavings: Record<string, (t: RouteTable) => void> = {
    "it moves to another IP": (t) => t.observe("", on("old", 17, { ip: "10.0.0.7" }), 0),
    "it loses its IP": (t) => t.observe("", on("old", 17, { ip: "", state: "creating" }), 0),
    "it is paused": (t) => t.observe("", on("old", 17, { ip: "", state: "paused" }), 0),
    "it is deleted": (t) => t.remove("", "ns", "old", "old-1", rv(17), 0),
    "a list shows it elsewhere": (t) => t.relist("", rv(17), [on("old", 16, { ip: "10.0.0.7" })], 0),
    "a list lacks it": (t) => t.relist("", rv(17), [], 0),
  };
  for (const [what, leave] of Object.entries(leavings)) {
    test(`the new tenant of a pod IP lives on when the informer tells how the old one left: ${what}`, () => {
      const { t, begun, ended } = reused();
      leave(t);
      expect(ended.filter((end) => end.startsWith("ns/fresh"))).toEqual([]);
      expect(t.inspect("ns/fresh")?.inEffect?.incarnation).toBe(begun);
    });
  }

  test("two objects that swap their IPs in one list each begin again, and nobody else does", () => {
    const t = table(on("a", 5), on("b", 6, { ip: "10.0.0.2" }), on("c", 7, { ip: "10.0.0.3" }));
    const before = served(t).map((key) => t.inspect(key)?.inEffect?.incarnation);
    const ended: string[] = [];
    t.addListener({ incarnationEnded: ({ key }, reason) => void ended.push(`${key} ${reason}`) });
    t.relist("", rv(30), [on("a", 21, { ip: "10.0.0.2" }), on("b", 22), on("c", 7, { ip: "10.0.0.3" })], 0);
    expect(before.every((incarnation) => incarnation !== undefined)).toBe(true);
    expect(ended.sort()).toEqual(["ns/a ip_moved", "ns/b ip_moved"]);
    expect(served(t).sort()).toEqual(["ns/a", "ns/b", "ns/c"]);
  });
});

test("scopes that overlap are refused: two watermarks for one object would undo each other", () => {
  expect(() => newTable({ scopes: ["a", ""] })).toThrow(RangeError);
  expect(() => newTable({ scopes: ["a", "b", "a"] })).toThrow(/"a" is named twice/);
  expect(() => newTable({ scopes: ["a", "b"] })).not.toThrow();
});
