import { expect, test } from "vitest";
import type { Route } from "../../src/routes/route.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// What became of pushes, as the metrics tell it: confirmed, contradicted, or overtaken without a word.

function told() {
  const table = newTable({ scopes: [""] });
  const what: string[] = [];
  table.addListener({
    factDropped: (fact, reason, key) => void what.push(`${fact} ${reason} ${key}`),
    hintConfirmed: () => void what.push("confirmed"),
  });
  table.relist("", rv(10), [observe(makeRoute("other", 5, { ip: "10.0.0.2" }))], 0);
  table.pushUpdate(makeRoute("one", 20), 0);
  return { table, what };
}

test("an event of another object at or after it, and none of its own: contradicted", () => {
  for (const version of [20, 21]) {
    const { table, what } = told();
    table.observe("", observe(makeRoute("other", version, { ip: "10.0.0.2" })), 0);
    expect(what).toEqual(["hint contradicted ns/one"]);
  }
});

test("the end of another object after it: contradicted", () => {
  const { table, what } = told();
  table.remove("", "ns", "other", "other-1", rv(21), 0);
  expect(what).toEqual(["hint contradicted ns/one"]);
});

test("a list that has passed it may have missed it: nothing is said of it", () => {
  const { table, what } = told();
  table.relist("", rv(30), [], 0);
  expect(what).toEqual([]);
  expect(table.stats().hints).toBe(0);
});

test("its own event with the same UID, IP and state: confirmed", () => {
  const { table, what } = told();
  table.observe("", observe(makeRoute("one", 20, { owner: "whoever" })), 0);
  expect(what).toEqual(["confirmed"]);
});

test.each<[string, Partial<Route>]>([
  ["UID", { uid: "one-2" }],
  ["IP", { ip: "10.6.6.6" }],
  ["state", { state: "paused" }],
])("its own event with another %s: contradicted", (_, fields) => {
  const { table, what } = told();
  table.observe("", observe(makeRoute("one", 20, fields)), 0);
  expect(what).toEqual(["hint contradicted ns/one"]);
});
