import { expect, test } from "vitest";
import { RULES, type Rules } from "../../src/routes/rules.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// Rule 5: a list that stays below the watermark means that the cluster was restored from a backup.

function restored(rules: Rules = RULES) {
  const table = newTable({ scopes: [""], rules });
  table.relist(
    "",
    rv(100),
    [observe(makeRoute("one", 90)), observe(makeRoute("two", 95, { ip: "10.0.0.2" }))],
    0,
  );
  table.pushUpdate(makeRoute("three", 110, { ip: "10.0.0.3" }), 0);
  table.pushDelete({ namespace: "ns", name: "two", resourceVersion: "95" }, 0);
  expect(table.relist("", rv(50), [observe(makeRoute("one", 40))], 0)).toBe("behind");
  expect(table.lookup("ns--one")).toMatchObject({ route: { resourceVersion: "90" } });
  table.startOver("", rv(50), [observe(makeRoute("one", 40))], 0);
  return table;
}

test("the table starts over from the list, with nothing that peers had said", () => {
  const table = restored();
  expect(table.lookup("ns--one")).toMatchObject({ route: { resourceVersion: "40" } });
  expect(table.lookup("ns--two").kind).toBe("unknown");
  expect(table.lookup("ns--three").kind).toBe("unknown");
  expect(table.stats()).toMatchObject({
    hints: 0,
    tombstones: 0,
    scopes: [{ watermark: "50", barredUntil: "100" }],
  });
});

test("no push is kept until the watermark has passed its old height", () => {
  const table = restored();
  const revive = makeRoute("three", 105, { ip: "10.0.0.3" });
  expect(table.pushUpdate(revive, 0)).toBe("ignored_restored");
  expect(table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "90" }, 0)).toBe(
    "ignored_restored",
  );
  table.bookmark("", rv(100), 0);
  expect(table.pushUpdate(revive, 0)).toBe("ignored_restored");
  table.bookmark("", rv(101), 0);
  expect(table.pushUpdate(revive, 0)).toBe("applied");
});

test("without the bar a push from before the restore would be taken", () => {
  const judgeUpdate: Rules["judgeUpdate"] = (facts, push, scope) =>
    RULES.judgeUpdate(facts, push, { ...scope, barredUntil: undefined });
  const table = restored({ ...RULES, judgeUpdate });
  expect(table.pushUpdate(makeRoute("three", 105, { ip: "10.0.0.3" }), 0)).toBe("applied");
});

test("restored twice: the highest height counts", () => {
  const table = restored();
  table.startOver("", rv(20), [], 0);
  expect(table.stats().scopes[0]).toMatchObject({ watermark: "20", barredUntil: "100" });
  expect(table.lookup("ns--one").kind).toBe("unknown");
});

test("a list that shows a known version with other content is believed: the restore went unnoticed", () => {
  const route = makeRoute("one", 7);
  const others = {
    "it is ending": undefined,
    "another state": { ...route, state: "paused" },
    "another IP": { ...route, ip: "10.9.9.9" },
    "another ID": { ...route, id: "other" },
    "another pod": { ...route, podUid: "pod-2" },
    "another owner": { ...route, owner: "somebody" },
    "another token": { ...route, accessToken: "secret" },
    "a JWT asked for": { ...route, requireTrafficAuth: true },
    "a shutdownTime": { ...route, shutdownAtMs: 5_000 },
  };
  for (const [what, other] of Object.entries(others)) {
    const table = newTable({ scopes: [""] });
    table.relist("", rv(10), [observe(route)], 0);
    table.relist("", rv(12), [{ ...observe(route), route: other }], 0);
    expect(table.inspect("ns/one")?.inEffect?.route, what).toEqual(other);
  }
});
