import { expect, test } from "vitest";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// Rule 4 and 5 where an API server is odder than it should be.

test("what a list shows of an object counts, at a lower version too: the cluster was restored while nobody looked", () => {
  const table = newTable({ scopes: [""] });
  table.relist("", rv(100), [observe(makeRoute("one", 90, { ip: "10.0.0.9" }))], 0);
  expect(table.relist("", rv(120), [observe(makeRoute("one", 40))], 0)).toBe("applied");
  expect(table.lookup("ns--one")).toMatchObject({ route: { ip: "10.0.0.1" } });
});

test("an event, or a deletion, older than what a list showed of the object changes nothing but the watermark", () => {
  const table = newTable({ scopes: [""] });
  table.relist("", rv(10), [observe(makeRoute("one", 15, { state: "paused" }))], 0);
  expect(table.observe("", observe(makeRoute("one", 12)), 0)).toBe("ignored_stale");
  expect(table.remove("", "ns", "one", "one-0", rv(13), 0)).toBe("ignored_stale");
  expect(table.lookup("ns--one")).toMatchObject({ state: "paused" });
  expect(table.stats().scopes[0]?.watermark).toBe("13");
});

test("a deletion without a UID ends the life that was confirmed, and what was claimed of it", () => {
  const table = newTable({ scopes: [""] });
  table.relist("", rv(10), [observe(makeRoute("one", 5))], 0);
  table.pushUpdate(makeRoute("one", 50), 0);
  table.remove("", "ns", "one", "", rv(20), 0);
  expect(table.lookup("ns--one").kind).toBe("unknown");
});

test("a relist that shows what is known counts no mutation", () => {
  const table = newTable({ scopes: [""] });
  const mutations: string[] = [];
  table.relist(
    "",
    rv(10),
    [observe(makeRoute("one", 5)), observe(makeRoute("two", 6, { ip: "10.0.0.2" }))],
    0,
  );
  table.addListener({
    told: ({ namespace, name, outcome }) => void mutations.push(`${namespace}/${name} ${outcome}`),
  });
  table.relist(
    "",
    rv(20),
    [observe(makeRoute("one", 5)), observe(makeRoute("two", 15, { ip: "10.0.0.2" }))],
    0,
  );
  expect(mutations).toEqual(["ns/two applied"]);
});
