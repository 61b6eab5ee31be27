import { describe, expect, test } from "vitest";
import type { Route } from "../../src/routes/route.ts";
import type { RouteTableOptions } from "../../src/routes/table.ts";
import { newTable } from "../support/defaults.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";

// Rules 12 and 14, scene by scene: pushes that are believed beside pushes that wait for a read, and what a selector hides.

const SETTLE_MS = 500;

function scene(options: Partial<RouteTableOptions> = {}) {
  const table = newTable({ scopes: [""], trust: "verify", settleMs: SETTLE_MS, ...options });
  table.setLive("", true, 0);
  table.relist("", rv(100), [observe(makeRoute("one", 50))], 0);
  const dropped: string[] = [];
  const told: string[] = [];
  table.addListener({
    factDropped: (fact, reason) => void dropped.push(`${fact} ${reason}`),
    told: ({ how, outcome }) => void (how !== "read" && told.push(`${how} ${outcome}`)),
  });
  const push = (proven: boolean, version: number, fields: Partial<Route> = {}, name = "one") =>
    table.pushUpdate(makeRoute(name, version, fields), 0, proven ? "10.1.1.1" : "10.9.9.9", proven);
  const end = (proven: boolean, version: number) =>
    table.pushDelete(
      { namespace: "ns", name: "one", resourceVersion: String(version) },
      0,
      proven ? "10.1.1.1" : "10.9.9.9",
      proven,
    );
  const read = (version: number, route: Route | undefined, name = "one", asOf = table.pushSerial) =>
    table.settle(
      { namespace: "ns", name, version: rv(version), observation: route && observe(route), asOf },
      0,
    );
  const effect = (name = "one") => {
    const found = table.inspect(`ns/${name}`)?.inEffect;
    return found && `${found.state} ${found.route.ip} @${found.route.resourceVersion}`;
  };
  return { table, push, end, read, effect, dropped, told };
}

describe("a proven peer's push", () => {
  test("takes effect at once, and no request waits", () => {
    const { table, push, end, effect } = scene();
    expect(push(true, 110, { ip: "10.0.0.2" })).toBe("applied");
    expect([effect(), table.doubtful]).toEqual(["running 10.0.0.2 @110", 0]);
    expect(end(true, 110)).toBe("applied");
    expect([effect(), table.doubtful]).toEqual([undefined, 0]);
  });

  test("obeys rules 1, 2 and 13 like every other", () => {
    const { table, push, end } = scene();
    expect(push(true, 100)).toBe("ignored_watermark");
    expect(push(true, 10 ** 15)).toBe("ignored_implausible");
    expect(end(true, 49)).toBe("ignored_stale");
    expect(end(true, 110)).toBe("applied");
    expect(push(true, 110)).toBe("ignored_tombstone");
    table.remove("", "ns", "one", "one-1", rv(120), 0);
    expect(push(true, 115)).toBe("ignored_watermark");
  });

  test("is listened to though its address is distrusted for what others sent from there", () => {
    const { push, end } = scene({ distrusts: () => true });
    expect(push(false, 110)).toBe("ignored_distrusted");
    expect([push(true, 110), end(true, 111)]).toEqual(["applied", "applied"]);
  });

  test("is not hidden by one that waits; requests are held, and the read has the last word", () => {
    const { table, push, read, effect, dropped } = scene();
    push(true, 110, { ip: "10.0.0.2" });
    expect(push(false, 120, { ip: "10.6.6.6" })).toBe("unsettled");
    expect([effect(), table.isHeld("ns--one")]).toEqual(["running 10.0.0.2 @110", true]);
    expect(read(125, makeRoute("one", 110, { ip: "10.0.0.2" }))).toBe("settled");
    expect([effect(), table.isHeld("ns--one"), dropped]).toEqual(["running 10.0.0.2 @110", false, []]);
  });

  test("makes what waits at its version or below out of date: nobody waits any more", () => {
    const { table, push, effect } = scene();
    push(false, 110, { ip: "10.6.6.6" });
    expect(table.isHeld("ns--one")).toBe(true);
    expect(push(true, 110, { ip: "10.0.0.2" })).toBe("applied");
    expect([effect(), table.isHeld("ns--one"), table.doubtful]).toEqual(["running 10.0.0.2 @110", false, 0]);
  });

  test("leaves one that waits above its version in doubt", () => {
    const { table, push, read, effect } = scene();
    push(false, 120, { ip: "10.0.0.3" });
    push(true, 110, { ip: "10.0.0.2" });
    expect([effect(), table.isHeld("ns--one")]).toEqual(["running 10.0.0.2 @110", true]);
    read(125, makeRoute("one", 120, { ip: "10.0.0.3" }));
    expect([effect(), table.isHeld("ns--one")]).toEqual(["running 10.0.0.3 @120", false]);
  });

  test("a deletion: an update that waits does not revive the sandbox, nor does a read from before it", () => {
    const { table, push, end, read, effect } = scene();
    end(true, 110);
    const before = table.pushSerial - 1;
    expect(push(false, 110)).toBe("ignored_tombstone");
    expect(push(false, 120)).toBe("unsettled");
    expect(read(105, makeRoute("one", 50), "one", before)).toBe("open");
    expect(effect()).toBeUndefined();
    table.advance(SETTLE_MS);
    expect(effect()).toBeUndefined();
    expect(read(130, undefined)).toBe("settled");
    expect([effect(), table.doubtful]).toEqual([undefined, 0]);
  });

  test("the same deletion from an unproven peer first: the proven one counts", () => {
    const { table, end, effect } = scene();
    expect(end(false, 60)).toBe("unsettled");
    expect(effect()).toBe("running 10.0.0.1 @50");
    expect(end(true, 60)).toBe("applied");
    expect([effect(), table.doubtful, table.stats().tombstones]).toEqual([undefined, 0, 1]);
  });

  test("while the API server is away a lie can take its sandbox off the air, and not put another in its place", () => {
    const { table, push, end, effect } = scene();
    push(true, 110, { ip: "10.0.0.2" });
    expect(end(false, 110)).toBe("unsettled");
    table.advance(SETTLE_MS);
    expect(effect()).toBe("doubted 10.0.0.2 @110");
  });

  test("that a read refutes is given up, and counted", () => {
    const { push, read, effect, dropped } = scene();
    push(true, 110, { ip: "10.0.0.2" });
    read(120, makeRoute("one", 50));
    expect([effect(), dropped]).toEqual(["running 10.0.0.1 @50", ["hint refuted"]]);
  });
});

describe("with a selector (rule 14)", () => {
  const trusts = [
    ["an unproven peer", {}, false],
    ["a proven peer", {}, true],
    ["trust: serve", { trust: "serve" }, false],
  ] as const;

  test.each(trusts)(
    "%s: an update of an object that nobody knows waits for a read",
    (_who, trust, proven) => {
      const { table, push, read, effect, dropped, told } = scene({ selective: true, ...trust });
      expect(push(proven, 110, { ip: "10.0.0.7" }, "tin")).toBe("unsettled");
      expect([effect("tin"), table.isHeld("ns--tin")]).toEqual([undefined, true]);
      expect(read(110, undefined, "tin")).toBe("settled");
      expect([effect("tin"), table.doubtful, dropped]).toEqual([undefined, 0, []]);
      expect(told.at(-1)).toBe("update ignored_unselected");
    },
  );

  test.each(trusts)(
    "%s: if the read shows it, it is served before the watch tells of it",
    (_who, trust, proven) => {
      const { push, read, effect } = scene({ selective: true, ...trust });
      push(proven, 110, { ip: "10.0.0.7" }, "gold");
      read(110, makeRoute("gold", 110, { ip: "10.0.0.7" }), "gold");
      expect(effect("gold")).toBe("running 10.0.0.7 @110");
    },
  );

  test.each(trusts.slice(1))(
    "%s: an update of an object that the informer shows counts",
    (_who, trust, proven) => {
      const { push, effect } = scene({ selective: true, ...trust });
      expect(push(proven, 110, { ip: "10.0.0.7" })).toBe("applied");
      expect(effect()).toBe("running 10.0.0.7 @110");
    },
  );

  test("another UID under a known name is another object, of which no label is known", () => {
    const { push, effect } = scene({ selective: true });
    expect(push(true, 110, { uid: "one-2", ip: "10.0.0.7" })).toBe("unsettled");
    expect(effect()).toBe("running 10.0.0.1 @50");
  });

  test("nobody is served by an update that can't be read, with unsettled: serve neither", () => {
    for (const proven of [false, true]) {
      const { table, push, effect } = scene({ selective: true, unsettled: "serve" });
      push(proven, 110, { ip: "10.0.0.7" }, "tin");
      table.advance(SETTLE_MS);
      expect([effect("tin"), table.isHeld("ns--tin")]).toEqual([undefined, false]);
    }
    const { table, push, effect } = scene({ unsettled: "serve" });
    push(false, 110, { ip: "10.0.0.7" }, "new");
    table.advance(SETTLE_MS);
    expect(effect("new")).toBe("running 10.0.0.7 @110");
  });

  test("one whose label is taken away leaves, and its manager's pushes contradict nobody", () => {
    const { table, push, effect, dropped } = scene({ selective: true });
    push(true, 130);
    // To a watch with a selector that is a deletion.
    table.remove("", "ns", "one", "one-1", rv(120), 0);
    expect(effect()).toBeUndefined();
    expect(push(true, 140)).toBe("unsettled");
    table.bookmark("", rv(150), 0);
    expect([effect(), table.doubtful, dropped]).toEqual([undefined, 0, []]);
  });

  test("a deletion needs no read: it can't bring anything in", () => {
    const { end, effect } = scene({ selective: true });
    expect(end(true, 110)).toBe("applied");
    expect(effect()).toBeUndefined();
  });
});
