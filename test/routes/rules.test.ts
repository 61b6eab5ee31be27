import { describe, expect, test } from "vitest";
import { RULES, type ReadView } from "../../src/routes/rules.ts";
import type { Route } from "../../src/routes/route.ts";
import { makeRoute, rv } from "./support/timeline.ts";

// What a read makes of a push (rule 12), as docs/route-table.md states it: each answer at the version where it turns.

const push = makeRoute("one", 110, { ip: "10.0.0.9" });
const view = (version: number, route: Route | undefined): ReadView => ({
  version: rv(version),
  observation: route && { uid: route.uid, resourceVersion: route.resourceVersion, route },
  selective: false,
});
const ending = (version: number): ReadView => ({
  version: rv(120),
  observation: { uid: "one-1", resourceVersion: rv(version), route: undefined },
  selective: false,
});

describe("an update at 110", () => {
  const { settleUpdate } = RULES;

  test("a read that began before it and is older says nothing; at its version or after it speaks", () => {
    expect(settleUpdate(push, view(109, makeRoute("one", 50)), false)).toBe("open");
    expect(settleUpdate(push, view(109, undefined), false)).toBe("open");
    expect(settleUpdate(push, view(110, makeRoute("one", 50)), false)).toBe("refuted");
    expect(settleUpdate(push, view(110, push), false)).toBe("confirmed");
  });

  test("a read that began after it speaks, however old its version", () => {
    expect(settleUpdate(push, view(109, makeRoute("one", 50)), true)).toBe("refuted");
    expect(settleUpdate(push, view(109, undefined), true)).toBe("refuted");
  });

  test("the object at 109, 110 and 111", () => {
    expect(settleUpdate(push, view(120, { ...push, resourceVersion: rv(109) }), true)).toBe("refuted");
    expect(settleUpdate(push, view(120, push), true)).toBe("confirmed");
    expect(settleUpdate(push, view(120, { ...push, resourceVersion: rv(111) }), true)).toBe("passed");
    expect(settleUpdate(push, ending(111), true)).toBe("passed");
  });

  test("the object at 110, but otherwise", () => {
    for (const fields of [{ uid: "one-2" }, { ip: "10.0.0.8" }, { state: "paused" }])
      expect(settleUpdate(push, view(120, { ...push, ...fields }), true)).toBe("refuted");
    expect(settleUpdate(push, ending(110), true)).toBe("refuted");
  });
});

describe("rule 14: a read with a selector", () => {
  const selected = (version: number, route: Route | undefined) => ({
    ...view(version, route),
    selective: true,
  });

  test("an update of what it does not show is unselected, no lie", () => {
    expect(RULES.settleUpdate(push, selected(120, undefined), true)).toBe("unselected");
    expect(RULES.settleUpdate(push, selected(109, undefined), false)).toBe("open");
    expect(RULES.settleUpdate(push, selected(120, undefined), true, rv(110))).toBe("passed");
    expect(RULES.settleUpdate(push, selected(120, makeRoute("one", 50)), true)).toBe("refuted");
  });

  test("only an object of the same UID is shown", () => {
    const confirmed = { uid: "one-1", resourceVersion: rv(50), route: makeRoute("one", 50) };
    expect(RULES.isShown(confirmed, push)).toBe(true);
    expect(RULES.isShown({ ...confirmed, uid: "one-0" }, push)).toBe(false);
    expect(RULES.isShown(undefined, push)).toBe(false);
  });
});

describe("a deletion at 110 of one-1", () => {
  const settle = (read: ReadView, isAfter = true, uid: string | undefined = "one-1") =>
    RULES.settleDelete(rv(110), uid, read, isAfter);

  test("gone, ending or dead: confirmed, whenever the read began", () => {
    for (const isAfter of [true, false]) {
      expect(settle(view(120, undefined), isAfter)).toBe("confirmed");
      expect(settle(ending(50), isAfter)).toBe("confirmed");
      expect(settle(view(120, makeRoute("one", 50, { state: "dead" })), isAfter)).toBe("confirmed");
    }
  });

  test("a read that began before it and is older says nothing, even where it shows no object", () => {
    expect(settle(view(109, undefined), false)).toBe("open");
    expect(settle(view(110, undefined), false)).toBe("confirmed");
  });

  test("it lives: a read that began before can't tell; one that began after refutes it", () => {
    expect(settle(view(120, makeRoute("one", 110)), false)).toBe("open");
    expect(settle(view(120, makeRoute("one", 110)))).toBe("refuted");
    expect(settle(view(120, makeRoute("one", 50)))).toBe("refuted");
  });

  test("it lives at a later version, or another has its name: that may have come after", () => {
    expect(settle(view(120, makeRoute("one", 111)))).toBe("passed");
    expect(settle(view(120, makeRoute("one", 100, { uid: "one-2" })))).toBe("passed");
  });

  test("which object was meant is not known: refuted by whoever lives", () => {
    expect(RULES.settleDelete(rv(110), undefined, view(120, makeRoute("one", 100)), true)).toBe("refuted");
  });
});

test("rule 13 and rule 5 come before what is known of the key", () => {
  const facts = { confirmed: undefined, hint: undefined, tombstone: rv(500) };
  const scope = { watermark: rv(100), barredUntil: undefined, ceiling: rv(300) };
  expect(RULES.judgeUpdate(facts, makeRoute("one", 300), scope)).toBe("ignored_tombstone");
  expect(RULES.judgeUpdate(facts, makeRoute("one", 301), scope)).toBe("ignored_implausible");
  expect(RULES.judgeDelete(facts, rv(300), scope)).toBe("ignored_stale");
  expect(RULES.judgeDelete(facts, rv(301), scope)).toBe("ignored_implausible");
  const barred = { ...scope, barredUntil: rv(200) };
  expect(RULES.judgeUpdate(facts, makeRoute("one", 301), barred)).toBe("ignored_restored");
  expect(RULES.judgeDelete(facts, rv(301), barred)).toBe("ignored_restored");
});
