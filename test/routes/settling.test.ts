import { describe, expect, test } from "vitest";
import type { ObjectKey, Route } from "../../src/routes/route.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// Rule 12, scene by scene: a push is a rumour, requests that it may concern are held, and a read of the API server settles it.

const SETTLE_MS = 500;

function scene(options: { distrusts?: (from: string, key: ObjectKey) => boolean } = {}) {
  const table = newTable({ scopes: [""], trust: "verify", settleMs: SETTLE_MS, ...options });
  table.setLive("", true, 0);
  table.relist(
    "",
    rv(100),
    [observe(makeRoute("one", 50)), observe(makeRoute("two", 60, { ip: "10.0.0.2" }))],
    0,
  );
  const told: string[] = [];
  table.addListener({
    told({ writer, how, namespace, name, outcome, guard }) {
      // What reads show is told too; told.test.ts sees to that.
      if (how === "read") return;
      told.push(`${writer} ${namespace}/${name} ${outcome}${guard ? `, stopped by ${guard}` : ""}`);
    },
    factDropped: (fact, reason, key, from) => void told.push(`${fact} of ${key} from ${from}: ${reason}`),
    hintConfirmed: (lagMs) => void told.push(`confirmed after ${lagMs} ms`),
    doubted: (key) => void told.push(`doubted ${key}`),
    doubtChanged: (key) => void told.push(`doubt of ${key} changed`),
  });
  const update = (version: number, fields: Partial<Route> = {}, nowMs = 0, name = "one") =>
    table.pushUpdate(makeRoute(name, version, fields), nowMs, "10.9.9.9");
  const deletion = (version: number, nowMs = 0, name = "one") =>
    table.pushDelete({ namespace: "ns", name, resourceVersion: String(version) }, nowMs, "10.9.9.9");
  const read = (
    version: number,
    route: Route | undefined,
    { asOf = table.pushSerial, nowMs = 7, name = "one" } = {},
  ) =>
    table.settle(
      { namespace: "ns", name, version: rv(version), observation: route && observe(route), asOf },
      nowMs,
    );
  /** What is in effect, as `uid state ip @version`. */
  const effect = (name = "one") => {
    const found = table.inspect(`ns/${name}`)?.inEffect;
    return found && `${found.route.uid} ${found.state} ${found.route.ip} @${found.route.resourceVersion}`;
  };
  const heard = () => told.splice(0);
  return { table, update, deletion, read, effect, heard };
}

describe("which requests are held", () => {
  test("for the sandbox itself, under its ID and its name, and for nobody else", () => {
    const { table, deletion } = scene();
    expect([table.isHeld("ns--one"), table.isObjectHeld("ns", "one"), table.doubtful]).toEqual([
      false,
      false,
      0,
    ]);
    expect(deletion(110)).toBe("unsettled");
    expect([table.isHeld("ns--one"), table.isHeld("NS--ONE"), table.isObjectHeld("ns", "one")]).toEqual([
      true,
      true,
      true,
    ]);
    expect([
      table.isHeld("ns--two"),
      table.isHeld("unheard-of"),
      table.isObjectHeld("ns", "two"),
      table.isObjectHeld("ns", "unheard-of"),
    ]).toEqual([false, false, false, false]);
    expect([table.doubtful, [...table.doubtKeys()], table.isInDoubt("ns", "one")]).toEqual([
      1,
      ["ns/one"],
      true,
    ]);
    expect(table.isInDoubt("ns", "two")).toBe(false);
  });

  test("for an ID that nobody has yet, in whatever case it is asked for", () => {
    const { table, update } = scene();
    update(110, { id: "Fresh" }, 0, "new");
    expect([table.isHeld("fresh"), table.isHeld("FRESH"), table.isHeld("ns--new")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(table.isObjectHeld("ns", "new")).toBe(true);
    expect(table.doubtOf("ns/new")).toEqual({ ids: ["fresh"], ips: ["10.0.0.1"] });
    expect(table.doubtOf("ns/two")).toBeUndefined();
    expect(table.doubtOf("ns/unheard-of")).toBeUndefined();
  });

  test("for an ID that another is served under, it is not: no push takes that away", () => {
    const { table, update } = scene();
    table.observe("", observe(makeRoute("two", 101, { id: "label", ip: "10.0.0.2" })), 0);
    update(110, { id: "label", ip: "10.0.0.9" });
    expect(table.doubtOf("ns/one")?.ids).toEqual(["label"]);
    expect([table.isHeld("label"), table.isObjectHeld("ns", "two")]).toEqual([false, false]);
  });

  test("for an ID of a sandbox that no pod answers for, it is", () => {
    const { table, update } = scene();
    table.observe("", observe(makeRoute("two", 101, { id: "label", state: "paused", ip: "" })), 0);
    update(110, { id: "label", ip: "10.0.0.9" });
    expect([table.isHeld("label"), table.isObjectHeld("ns", "two")]).toEqual([true, true]);
  });

  test("for whoever is served behind the pod IP that was pushed, in whatever spelling", () => {
    for (const ip of ["10.0.0.2", "::ffff:10.0.0.2"]) {
      const { table, update } = scene();
      update(110, { ip });
      expect([table.isHeld("ns--two"), table.isObjectHeld("ns", "two")]).toEqual([true, true]);
    }
  });

  test("not for one whose IP is pushed of a sandbox at rest: it holds none", () => {
    const { table, update } = scene();
    update(110, { state: "paused", ip: "10.0.0.2" });
    expect(table.isHeld("ns--two")).toBe(false);
    expect(table.doubtOf("ns/one")?.ips).toEqual([]);
  });

  test("for the latest sixteen IPs and IDs that were pushed of one sandbox", () => {
    const { table, update } = scene();
    for (let i = 0; i < 20; i++) update(110 + i, { id: `id-${i}`, ip: `10.0.1.${i}` }, 0, "new");
    const latest = Array.from({ length: 16 }, (_, i) => i + 4);
    expect(table.doubtOf("ns/new")).toEqual({
      ids: latest.map((i) => `id-${i}`),
      ips: latest.map((i) => `10.0.1.${i}`),
    });
    expect([table.isHeld("id-3"), table.isHeld("id-4"), table.isHeld("id-19")]).toEqual([false, true, true]);
  });

  test("for an ID that two sandboxes in doubt name, until both are settled", () => {
    const { table, update, read } = scene();
    update(110, { id: "wanted", ip: "10.0.1.1" }, 0, "a");
    update(111, { id: "wanted", ip: "10.0.1.1" }, 0, "b");
    read(120, undefined, { name: "a" });
    expect(table.isHeld("wanted")).toBe(true);
    read(120, undefined, { name: "b" });
    expect([table.isHeld("wanted"), table.doubtful]).toEqual([false, 0]);
  });

  test("for so long and no longer, each from its own push; the table says when", () => {
    const { table, update, heard } = scene();
    expect(table.nextDeadlineMs()).toBeUndefined();
    update(110, {}, 10);
    update(111, { ip: "10.0.0.2" }, 200, "two");
    update(112, {}, 300);
    expect(table.nextDeadlineMs()).toBe(10 + SETTLE_MS);
    heard();
    table.advance(9 + SETTLE_MS);
    expect([table.isHeld("ns--one"), heard()]).toEqual([true, []]);
    table.advance(10 + SETTLE_MS);
    expect([table.isHeld("ns--one"), table.isHeld("ns--two"), heard()]).toEqual([
      false,
      true,
      ["doubt of ns/one changed"],
    ]);
    expect(table.nextDeadlineMs()).toBe(200 + SETTLE_MS);
    table.advance(200 + SETTLE_MS);
    expect([table.isHeld("ns--two"), table.doubtful, table.nextDeadlineMs()]).toEqual([false, 0, undefined]);
    // Still waited for, and not asked for by requests any more.
    expect(table.isInDoubt("ns", "one")).toBe(true);
  });

  test("each push is told to who reads, and to who holds requests; the end of it too", () => {
    const { update, read, heard } = scene();
    update(110);
    expect(heard()).toEqual(["peer ns/one unsettled", "doubted ns/one", "doubt of ns/one changed"]);
    update(111);
    expect(heard()).toEqual(["peer ns/one unsettled", "doubted ns/one", "doubt of ns/one changed"]);
    read(120, makeRoute("one", 111));
    expect(heard()).toContain("doubt of ns/one changed");
  });
});

describe("until it is settled a push has no effect", () => {
  test("an update", () => {
    const { update, effect } = scene();
    expect(update(110, { ip: "10.0.0.9" })).toBe("unsettled");
    expect(effect()).toBe("one-1 running 10.0.0.1 @50");
  });

  test("nor does it stop another, which may be the true one: an older one is read for all the same", () => {
    const { update, deletion, heard, table } = scene();
    update(900, { ip: "10.0.0.9" });
    deletion(900);
    heard();
    const serial = table.pushSerial;
    expect(update(110)).toBe("unsettled");
    expect(table.pushSerial).toBeGreaterThan(serial);
    expect(deletion(110)).toBe("unsettled");
    expect(heard().filter((what) => what.startsWith("doubted"))).toHaveLength(2);
  });

  test("what the informer and reads have seen is refused at once", () => {
    const { update, read, deletion } = scene();
    expect(update(100)).toBe("ignored_watermark");
    read(200, makeRoute("one", 50));
    expect([update(200), update(201)]).toEqual(["ignored_watermark", "unsettled"]);
    expect([deletion(49), deletion(50)]).toEqual(["ignored_stale", "unsettled"]);
  });
});

describe("what a read makes of an update", () => {
  test("it is as it was pushed: in effect, and the time since the push is told", () => {
    const { table, update, read, effect, heard } = scene();
    const pushed = { ip: "10.0.0.9" };
    update(110, pushed, 3);
    heard();
    expect(read(120, makeRoute("one", 110, pushed), { nowMs: 9 })).toBe("settled");
    expect(effect()).toBe("one-1 running 10.0.0.9 @110");
    expect(heard()).toEqual(["confirmed after 6 ms", "doubt of ns/one changed"]);
    expect(table.stats()).toMatchObject({ hints: 0, doubtful: 0, reads: 1 });
    expect(table.isHeld("ns--one")).toBe(false);
  });

  const otherwise: Record<string, Partial<Route>> = {
    "another UID": { uid: "one-2" },
    "another IP": { ip: "10.0.0.8" },
    "another state": { state: "creating" },
  };
  for (const [what, fields] of Object.entries(otherwise)) {
    test(`the object has ${what} at that version: refuted, and the sender is told of`, () => {
      const { update, read, heard } = scene();
      update(110, { ip: "10.0.0.9" });
      heard();
      expect(read(120, makeRoute("one", 110, { ip: "10.0.0.9", ...fields }))).toBe("settled");
      expect(heard()).toEqual([
        "peer ns/one ignored_refuted",
        "hint of ns/one from 10.9.9.9: refuted",
        "doubt of ns/one changed",
      ]);
    });
  }

  test("the object is still at an older version: there is no such version", () => {
    const { update, read, effect, heard } = scene();
    update(110, { ip: "10.0.0.9" });
    heard();
    read(120, makeRoute("one", 50));
    expect(effect()).toBe("one-1 running 10.0.0.1 @50");
    expect(heard()).toContain("hint of ns/one from 10.9.9.9: refuted");
  });

  test("the object is at a newer version: the push may have been true, and the sender is not blamed", () => {
    const { table, update, read, effect, heard } = scene();
    update(110, { ip: "10.0.0.9" });
    heard();
    read(120, makeRoute("one", 115, { ip: "10.0.0.7" }));
    expect(effect()).toBe("one-1 running 10.0.0.7 @115");
    expect(heard()).toEqual(["doubt of ns/one changed"]);
    expect(table.stats().hints).toBe(0);
  });

  test("there is no such object: that was an attempt to bring back the dead", () => {
    const { table, update, read, heard } = scene();
    update(110, {}, 0, "gone");
    heard();
    read(120, undefined, { name: "gone" });
    expect(heard()).toEqual([
      "peer ns/gone ignored_refuted, stopped by refuted",
      "hint of ns/gone from 10.9.9.9: refuted",
      "doubt of ns/gone changed",
    ]);
    expect(table.lookup("ns--gone").kind).toBe("unknown");
  });

  test("there is no such object, and its deletion was pushed too: it was true once, and the sender is not blamed", () => {
    const { update, deletion, read, effect, heard } = scene();
    update(110, { state: "paused" });
    deletion(120);
    heard();
    read(130, undefined);
    expect(effect()).toBeUndefined();
    expect(heard().join("\n")).not.toMatch(/refuted|stopped/);
  });

  test("there is no such object, and the deletion that was pushed is older: that was an attempt all the same", () => {
    const { update, deletion, read, effect, heard } = scene();
    deletion(110);
    update(120);
    heard();
    read(130, undefined);
    expect(effect()).toBeUndefined();
    expect(heard().join("\n")).toMatch(/refuted/);
  });

  test("the object is ending: refuted", () => {
    const { table, update, heard } = scene();
    update(110);
    heard();
    const asOf = table.pushSerial;
    const observation = {
      namespace: "ns",
      name: "one",
      uid: "one-1",
      resourceVersion: rv(110),
      route: undefined,
    };
    table.settle({ namespace: "ns", name: "one", version: rv(120), observation, asOf }, 7);
    expect(heard()).toContain("hint of ns/one from 10.9.9.9: refuted");
    expect(table.lookup("ns--one").kind).toBe("unknown");
  });
});

describe("what a read makes of a deletion", () => {
  test("there is no such object: gone, and nobody is blamed", () => {
    const { table, deletion, read, heard, effect } = scene();
    deletion(110);
    heard();
    expect(read(120, undefined)).toBe("settled");
    expect([effect(), heard()]).toEqual([undefined, ["doubt of ns/one changed"]]);
    expect(table.stats()).toMatchObject({ tombstones: 0, reads: 1 });
  });

  test("the object is dead: gone", () => {
    const { deletion, read, heard } = scene();
    deletion(110);
    heard();
    read(120, makeRoute("one", 110, { state: "dead" }));
    expect(heard()).toEqual(["doubt of ns/one changed"]);
  });

  test("the object is as it was: refuted", () => {
    const { table, deletion, read, heard, effect } = scene();
    deletion(110);
    heard();
    read(120, makeRoute("one", 50));
    expect(effect()).toBe("one-1 running 10.0.0.1 @50");
    expect(heard()).toEqual(["tombstone of ns/one from 10.9.9.9: refuted", "doubt of ns/one changed"]);
    expect(table.stats()).toMatchObject({ tombstones: 0, doubtful: 0 });
  });

  test("the object is at the very version of the deletion: refuted", () => {
    const { deletion, read, heard } = scene();
    deletion(110);
    heard();
    read(120, makeRoute("one", 110));
    expect(heard()).toContain("tombstone of ns/one from 10.9.9.9: refuted");
  });

  test("another object has its name, or it has come back to life since: nobody is blamed", () => {
    for (const route of [makeRoute("one", 105, { uid: "one-2" }), makeRoute("one", 111)]) {
      const { deletion, read, heard } = scene();
      deletion(110);
      heard();
      read(120, route);
      expect(heard()).toEqual(["doubt of ns/one changed"]);
    }
  });
});

describe("a push that comes while a read is under way", () => {
  test("an update that is newer than the read waits for the next, and requests with it", () => {
    const { table, update, read, effect } = scene();
    update(110);
    const asOf = table.pushSerial;
    update(130, { ip: "10.0.0.9", id: "later" });
    expect(read(120, makeRoute("one", 110), { asOf })).toBe("open");
    expect(effect()).toBe("one-1 running 10.0.0.1 @110");
    expect([table.isHeld("ns--one"), table.isHeld("later"), table.stats().hints]).toEqual([true, true, 1]);
    expect(read(140, makeRoute("one", 130, { ip: "10.0.0.9", id: "later" }))).toBe("settled");
    expect(effect()).toBe("one-1 running 10.0.0.9 @130");
    expect([table.isHeld("ns--one"), table.doubtful]).toEqual([false, 0]);
  });

  test("one that is in it is settled, but the read may have shown a moment before another push: a further one is asked for", () => {
    const { table, update, read, heard } = scene();
    update(110);
    const asOf = table.pushSerial;
    update(115);
    heard();
    expect(read(120, makeRoute("one", 115), { asOf })).toBe("open");
    expect(heard()).toContain("confirmed after 7 ms");
    expect(table.isHeld("ns--one")).toBe(true);
    expect(read(121, makeRoute("one", 115))).toBe("settled");
  });

  test("a deletion that a read from before it does not show waits for the next", () => {
    const { table, update, deletion, read, heard } = scene();
    update(110);
    const asOf = table.pushSerial;
    deletion(110);
    heard();
    expect(read(120, makeRoute("one", 110), { asOf })).toBe("open");
    expect(heard()).not.toContain("tombstone of ns/one from 10.9.9.9: refuted");
    expect(table.stats().tombstones).toBe(1);
    expect(read(121, undefined)).toBe("settled");
    expect(table.stats().tombstones).toBe(0);
  });

  test("its own time begins with the answer: it is held for as long as any", () => {
    const { table, update, read } = scene();
    update(110);
    const asOf = table.pushSerial;
    update(130, {}, 100);
    read(120, makeRoute("one", 110), { asOf, nowMs: 400 });
    expect(table.nextDeadlineMs()).toBe(400 + SETTLE_MS);
  });

  test("an older one is counted, and what it said is read for: the read after it settles both", () => {
    const { table, update, read } = scene();
    update(130);
    const asOf = table.pushSerial;
    update(120);
    expect(table.stats().hints).toBe(1);
    expect(read(140, makeRoute("one", 130), { asOf })).toBe("open");
    expect(read(141, makeRoute("one", 130))).toBe("settled");
  });
});

describe("what a read has shown, ahead of the watermark", () => {
  test("an event up to there says nothing new of that object, and is taken for every other", () => {
    const { table, read, effect, heard } = scene();
    read(120, makeRoute("one", 115, { ip: "10.0.0.9" }));
    heard();
    expect(table.observe("", observe(makeRoute("one", 110, { ip: "10.0.0.8" })), 9)).toBe("ignored_read");
    expect(table.observe("", observe(makeRoute("two", 111, { ip: "10.0.0.3" })), 9)).toBe("applied");
    expect([effect(), effect("two")]).toEqual(["one-1 running 10.0.0.9 @115", "two-1 running 10.0.0.3 @111"]);
    expect(table.remove("", "ns", "one", "one-1", rv(112), 9)).toBe("ignored_read");
    expect(effect()).toBe("one-1 running 10.0.0.9 @115");
  });

  test("the very event that the read has shown is no old news", () => {
    const { table, read } = scene();
    read(120, makeRoute("one", 115));
    expect(table.observe("", observe(makeRoute("one", 115)), 9)).toBe("applied");
  });

  test("an event after it counts, and the read is forgotten once the watermark has reached it", () => {
    const { table, read, effect } = scene();
    read(120, makeRoute("one", 115, { ip: "10.0.0.9" }));
    expect(table.stats().reads).toBe(1);
    table.bookmark("", rv(119), 9);
    expect(table.stats().reads).toBe(1);
    table.bookmark("", rv(120), 9);
    expect(table.stats().reads).toBe(0);
    expect(table.observe("", observe(makeRoute("one", 121, { ip: "10.0.0.8" })), 9)).toBe("applied");
    expect(effect()).toBe("one-1 running 10.0.0.8 @121");
  });

  test("gone stays gone for an object that the informer has yet to tell of", () => {
    const { table, read, heard, effect } = scene();
    read(120, undefined, { name: "new" });
    heard();
    expect(table.observe("", observe(makeRoute("new", 110)), 9)).toBe("ignored_read");
    expect(heard()).toEqual(["informer ns/new ignored_read, stopped by read"]);
    expect(effect("new")).toBeUndefined();
    table.bookmark("", rv(120), 9);
    expect([...table.keys()].sort()).toEqual(["ns/one", "ns/two"]);
  });

  test("a list from before it changes nothing of that object; one from after it does", () => {
    const { table, read, effect } = scene();
    read(120, makeRoute("one", 115, { ip: "10.0.0.9" }));
    table.relist("", rv(110), [observe(makeRoute("one", 50))], 9);
    expect(effect()).toBe("one-1 running 10.0.0.9 @115");
    table.relist("", rv(111), [], 9);
    expect([effect(), effect("two")]).toEqual(["one-1 running 10.0.0.9 @115", undefined]);
    table.relist("", rv(121), [], 9);
    expect(effect()).toBeUndefined();
  });

  test("a list of that very version is as good", () => {
    const { table, read, effect } = scene();
    read(120, makeRoute("one", 115, { ip: "10.0.0.9" }));
    table.relist("", rv(120), [], 9);
    expect(effect()).toBeUndefined();
  });

  test("a read that the informer has passed meanwhile says nothing: its word settles the push", () => {
    const { table, update, read, effect, heard } = scene();
    update(110, { ip: "10.0.0.9" });
    const asOf = table.pushSerial;
    table.observe("", observe(makeRoute("one", 130, { ip: "10.0.0.7" })), 1);
    heard();
    expect(read(120, makeRoute("one", 110, { ip: "10.0.0.9" }), { asOf })).toBe("settled");
    expect(effect()).toBe("one-1 running 10.0.0.7 @130");
    expect(table.stats()).toMatchObject({ reads: 0, doubtful: 0 });
  });

  test("nor does one that another read has passed", () => {
    const { read, effect } = scene();
    read(130, makeRoute("one", 125, { ip: "10.0.0.7" }));
    read(120, makeRoute("one", 110, { ip: "10.0.0.9" }));
    expect(effect()).toBe("one-1 running 10.0.0.7 @125");
  });

  test("one at the watermark is not kept: the informer has said it all", () => {
    const { table, read } = scene();
    read(100, makeRoute("one", 50));
    expect(table.stats().reads).toBe(0);
    read(101, makeRoute("one", 50));
    expect(table.stats().reads).toBe(1);
  });

  test("a list may have shown the object at a later version than its own: a read below that does not take it back", () => {
    const { table, read, effect } = scene();
    table.relist("", rv(101), [observe(makeRoute("one", 150, { ip: "10.0.0.7" }))], 1);
    read(120, makeRoute("one", 110, { ip: "10.0.0.9" }));
    expect(effect()).toBe("one-1 running 10.0.0.7 @150");
  });

  test("there is a read only where an informer is", () => {
    for (const scopes of ["none", ["elsewhere"]] as const) {
      const table = newTable({ scopes, trust: "verify" });
      const read = { namespace: "ns", name: "one", version: rv(5), observation: undefined, asOf: 0 };
      expect(() => table.settle(read, 0)).toThrow('no informer watches the namespace "ns"');
    }
  });
});

describe("pushes from a sender that is distrusted for an object", () => {
  const distrusts = (from: string, key: ObjectKey) => from === "10.9.9.9" && key === "ns/one";

  test("are left aside: nothing is held, nothing is read", () => {
    const { table, update, deletion, heard } = scene({ distrusts });
    expect([update(110), deletion(110)]).toEqual(["ignored_distrusted", "ignored_distrusted"]);
    expect(heard()).toEqual(["peer ns/one ignored_distrusted", "peer ns/one ignored_distrusted"]);
    expect([table.doubtful, table.pushSerial]).toEqual([0, 0]);
  });

  test("of another object, or from another sender, are not", () => {
    const { table, update } = scene({ distrusts });
    expect(update(110, { ip: "10.0.0.2" }, 0, "two")).toBe("unsettled");
    expect(table.pushUpdate(makeRoute("one", 111), 0, "10.9.9.8")).toBe("unsettled");
  });

  test("an update of what is gone counts as an attempt", () => {
    const { table, update, heard } = scene({ distrusts });
    table.remove("", "ns", "one", "one-1", rv(105), 0);
    heard();
    update(110);
    expect(heard()).toEqual(["peer ns/one ignored_distrusted, stopped by distrusted"]);
  });

  test("with trust: serve nobody is asked", () => {
    const table = newTable({ scopes: [""], distrusts: () => true });
    table.relist("", rv(100), [], 0);
    expect(table.pushUpdate(makeRoute("one", 110), 0, "10.9.9.9")).toBe("applied");
  });
});

test("a restore from a backup forgets what waits, and no request is held for it", () => {
  const { table, update, heard } = scene();
  update(110);
  table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "110" }, 0, "10.9.9.8");
  heard();
  table.startOver("", rv(40), [observe(makeRoute("one", 30))], 1);
  expect(heard()).toEqual(
    expect.arrayContaining([
      "hint of ns/one from 10.9.9.9: restored",
      "tombstone of ns/one from 10.9.9.8: restored",
      "doubt of ns/one changed",
    ]),
  );
  expect(table.stats()).toMatchObject({ hints: 0, tombstones: 0, reads: 0, doubtful: 0 });
  expect(table.isHeld("ns--one")).toBe(false);
});

test("what waits for too long without a live informer's word expires, and nothing is in doubt any more", () => {
  const table = newTable({ scopes: [""], trust: "verify", hintTtlMs: 1_000, tombstoneTtlMs: 2_000 });
  table.setLive("", true, 0);
  table.relist("", rv(100), [observe(makeRoute("one", 50))], 0);
  table.pushUpdate(makeRoute("one", 110), 0);
  table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "110" }, 0);
  for (let ms = 0; ms < 1_000; ms += 250) table.bookmark("", rv(100), ms);
  expect(table.stats()).toMatchObject({ hints: 1, tombstones: 1 });
  table.bookmark("", rv(100), 1_000);
  expect(table.stats()).toMatchObject({ hints: 0, tombstones: 1, doubtful: 1 });
  for (let ms = 1_250; ms <= 2_000; ms += 250) table.bookmark("", rv(100), ms);
  expect(table.stats()).toMatchObject({ hints: 0, tombstones: 0, doubtful: 0 });
  expect(table.isInDoubt("ns", "one")).toBe(false);
});

test("how many objects of a namespace are known of", () => {
  const { table, update } = scene();
  expect([table.objectsIn("ns"), table.objectsIn("other")]).toEqual([2, 0]);
  update(110, {}, 0, "new");
  expect(table.objectsIn("ns")).toBe(3);
});

describe("a list that has passed an update which waits says of it what a read would", () => {
  const list = (table: ReturnType<typeof scene>["table"], version: number, ...routes: Route[]) =>
    table.relist(
      "",
      rv(version),
      routes.map((route) => observe(route)),
      7,
    );
  const one = makeRoute("one", 50);
  const two = makeRoute("two", 60, { ip: "10.0.0.2" });

  test.each<[string, Route[]]>([
    ["shows the object as it was before", [one, two]],
    ["shows no such object", [two]],
    ["shows another pod IP at that very version", [makeRoute("one", 105, { ip: "10.0.0.3" }), two]],
  ])("it %s: its sender is blamed", (_, routes) => {
    const { table, update, heard } = scene();
    update(105, { ip: "10.6.6.6" });
    heard();
    list(table, 110, ...routes);
    expect(heard().filter((said) => said.startsWith("hint of ns/one"))).toEqual([
      expect.stringMatching(/^hint of ns\/one from 10\.9\.9\.9: (refuted|contradicted)$/),
    ]);
    expect(table.stats()).toMatchObject({ hints: 0, doubtful: 0 });
  });

  test.each<[string, Route[]]>([
    ["at a later version, so it was true perhaps", [makeRoute("one", 107), two]],
    ["as it says", [makeRoute("one", 105, { ip: "10.6.6.6" }), two]],
  ])("it shows the object %s: nobody is blamed", (_, routes) => {
    const { table, update, heard } = scene();
    update(105, { ip: "10.6.6.6" });
    heard();
    list(table, 110, ...routes);
    expect(heard().filter((said) => said.startsWith("hint of ns/one"))).toEqual([]);
    expect(table.stats()).toMatchObject({ hints: 0, doubtful: 0 });
  });

  test("it shows no such object, and a deletion waits beside: nobody is blamed", () => {
    const { table, update, deletion, heard } = scene();
    update(105, { ip: "10.6.6.6" });
    deletion(105);
    heard();
    list(table, 110, two);
    expect(heard().filter((said) => said.includes("refuted"))).toEqual([]);
  });
});
