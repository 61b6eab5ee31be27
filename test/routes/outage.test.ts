import { describe, expect, test } from "vitest";
import { DOUBTED, type Route } from "../../src/routes/route.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// Rule 12 while the API server does not answer: what is pushed can't be settled, and what it puts in doubt is not served.

function scene(unsettled: "hold" | "serve" = "hold") {
  const table = newTable({ scopes: [""], trust: "verify", unsettled, settleMs: 500 });
  table.setLive("", true, 0);
  table.relist(
    "",
    rv(100),
    [observe(makeRoute("one", 50)), observe(makeRoute("two", 60, { ip: "10.0.0.2" }))],
    0,
  );
  const ended: string[] = [];
  table.addListener({ incarnationEnded: ({ key }, reason) => void ended.push(`${key} ${reason}`) });
  /** The state of an object, and whether requests are sent to its pod. */
  const seen = (name: string) => {
    const effect = table.inspect(`ns/${name}`)?.inEffect;
    return [effect?.state, effect?.incarnation !== undefined];
  };
  const push = (fields: Partial<Route>, version = 110) =>
    table.pushUpdate(makeRoute("one", version, fields), 0);
  const read = (route: Route | undefined, version = 120) =>
    table.settle(
      {
        namespace: "ns",
        name: "one",
        version: rv(version),
        observation: route && observe(route),
        asOf: table.pushSerial,
      },
      900,
    );
  return { table, ended, seen, push, read };
}

describe("an update that nothing settles", () => {
  const changes: Record<string, Partial<Route>> = {
    "it is paused": { state: "paused", ip: "" },
    "it is on another IP": { ip: "10.0.0.9" },
    "it is another life": { uid: "one-2" },
  };
  for (const [what, change] of Object.entries(changes)) {
    test(`${what}: not served once requests are held no longer, nobody has its IP, and a read brings it back`, () => {
      const { table, ended, seen, push, read } = scene();
      push(change);
      expect(seen("one")).toEqual(["running", true]);
      expect(table.isHeld("ns--one")).toBe(true);
      expect(table.nextDeadlineMs()).toBe(500);
      table.advance(499);
      expect(seen("one")).toEqual(["running", true]);
      table.advance(500);
      expect(seen("one")).toEqual([DOUBTED, false]);
      expect(table.isHeld("ns--one")).toBe(false);
      expect(ended).toEqual(["ns/one dead"]);
      // Its pod IP is still its own: an older holder is not served there instead.
      expect(table.stats()).toMatchObject({ servable: 1, ipConflicts: 0 });
      expect(read(makeRoute("one", 50))).toBe("settled");
      expect(seen("one")).toEqual(["running", true]);
    });
  }

  test("one that says what is known already changes nothing", () => {
    const { table, ended, seen, push } = scene();
    push({});
    table.advance(500);
    expect(seen("one")).toEqual(["running", true]);
    expect(ended).toEqual([]);
  });

  test("with unsettled: serve it takes effect", () => {
    const { table, seen, push } = scene("serve");
    push({ ip: "10.0.0.9" });
    table.advance(500);
    expect(seen("one")).toEqual(["running", true]);
    expect(table.lookup("ns--one")).toMatchObject({ route: { ip: "10.0.0.9" } });
  });
});

describe("an update that names another's pod IP", () => {
  test("the other is not served once requests are held no longer, until it is settled", () => {
    const { table, seen, push, read } = scene();
    push({ ip: "10.0.0.2" });
    expect(table.isHeld("ns--two")).toBe(true);
    table.advance(500);
    expect([seen("one"), seen("two")]).toEqual([
      [DOUBTED, false],
      [DOUBTED, false],
    ]);
    read(makeRoute("one", 50));
    expect([seen("one"), seen("two")]).toEqual([
      ["running", true],
      ["running", true],
    ]);
  });

  test("also when it comes after another push that waits for too long already", () => {
    const { table, seen, push } = scene();
    push({ ip: "10.0.0.9" });
    table.advance(500);
    expect(seen("two")).toEqual(["running", true]);
    push({ ip: "10.0.0.2" }, 111);
    expect(seen("two")).toEqual([DOUBTED, false]);
  });

  test("not with pods that share an IP by right", () => {
    const table = newTable({ scopes: [""], trust: "verify", onePodPerIp: false });
    table.relist("", rv(100), [observe(makeRoute("two", 60))], 0);
    table.pushUpdate(makeRoute("one", 110), 0);
    table.advance(500);
    expect(table.inspect("ns/two")?.inEffect?.incarnation).toBeDefined();
  });
});

describe("a deletion that nothing settles", () => {
  test("is not served once requests are held no longer, and a read that shows it gone frees its IP", () => {
    const { table, seen, read } = scene();
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "50" }, 0, "10.9.9.9");
    expect(seen("one")).toEqual(["running", true]);
    table.advance(500);
    expect(seen("one")).toEqual([DOUBTED, false]);
    read(undefined);
    expect(table.lookup("ns--one").kind).toBe("unknown");
    expect(table.stats()).toMatchObject({ tombstones: 0, doubtful: 0, reads: 1 });
  });

  test("a paused sandbox stays paused: there is nothing to take off the air", () => {
    const { table, seen } = scene();
    table.observe("", observe(makeRoute("one", 105, { state: "paused", ip: "" })), 0);
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "105" }, 0);
    table.advance(500);
    expect(seen("one")).toEqual(["paused", false]);
  });
});
