import { expect, test } from "vitest";
import type { HistoryFact } from "../../src/admin/api-types.ts";
import { describeFormerRoute, formerRouteOf } from "../../src/admin/former-route.ts";
import { RouteHistory } from "../../src/history/route-history.ts";

const born: HistoryFact = {
  atMs: 1_000,
  writer: "informer",
  what: "observed",
  outcome: "applied",
  state: "running",
  ip: "10.0.0.7",
  uid: "u-1",
  resourceVersion: "1000",
};
const told = (fact: Partial<HistoryFact>): HistoryFact => ({
  atMs: 10_000,
  writer: "informer",
  what: "deleted",
  outcome: "applied",
  ...fact,
});

/** What is said of the end, 14 s after it. */
function said(...facts: HistoryFact[]): string | undefined {
  const former = formerRouteOf("team-a", "x", { facts, forgotten: 0 });
  return former && describeFormerRoute(former, 24_000);
}

test.each<[HistoryFact, string]>([
  [told({ resourceVersion: "1130" }), "deleted at version 1130, told by the informer 14 s ago"],
  [
    told({ what: "observed", state: "ending", resourceVersion: "1130" }),
    "being deleted (deletionTimestamp) at version 1130, told by the informer 14 s ago",
  ],
  [
    told({ what: "unlisted", resourceVersion: "1130" }),
    "missing from the list at version 1130, told by the informer 14 s ago",
  ],
  [
    told({ what: "deletion", writer: "peer", from: "10.0.0.9", state: "dead", resourceVersion: "1130" }),
    "deleted at version 1130, told by peer 10.0.0.9 14 s ago",
  ],
  [
    told({ what: "shutdown", writer: "clock", state: "dead" }),
    "ended by its shutdownTime, told by the clock 14 s ago",
  ],
  [
    told({ what: "observed", state: "dead", resourceVersion: "1130" }),
    "state dead at version 1130, told by the informer 14 s ago",
  ],
  [
    told({ what: "read", outcome: "settled", state: "gone", resourceVersion: "1130" }),
    "gone by a read of the API server at version 1130, told by the informer 14 s ago",
  ],
])("$what by the $writer", (end, words) => {
  expect(said(born, end)).toBe(`team-a/x (running on 10.0.0.7), ${words}`);
});

test("the end is the first fact that took the route away, not what followed it", () => {
  expect(
    said(
      born,
      told({ what: "observed", state: "ending", resourceVersion: "1128" }),
      told({ what: "incarnation_ended", writer: "table", outcome: "dead" }),
      told({ atMs: 20_000, resourceVersion: "1130" }),
      told({ atMs: 21_000, what: "update", writer: "peer", outcome: "ignored_watermark", state: "running" }),
    ),
  ).toContain("at version 1128, told by the informer 14 s ago");
});

test("what only a push had said ends when that is given up; of what the informer had told it is no end", () => {
  const dropped = told({ what: "hint_dropped", writer: "table", outcome: "contradicted" });
  const deleted = told({ atMs: 20_000, resourceVersion: "1130" });
  const pushed: HistoryFact = { ...born, writer: "peer", from: "10.0.0.9", what: "update" };
  expect(said(pushed, dropped)).toContain(
    "a pushed update that was given up, told by the route table 14 s ago",
  );
  expect(said(born, dropped, deleted)).toContain("deleted at version 1130, told by the informer 4 s ago");
  expect(said(born, dropped)).toBeUndefined();
});

test("what never lived, or lives, is nothing that was", () => {
  expect(said()).toBeUndefined();
  expect(said(told({}))).toBeUndefined();
  expect(said(born)).toBeUndefined();
  expect(said(born, told({ what: "deletion", outcome: "ignored_stale" }))).toBeUndefined();
  // Deleted and made again under the same name.
  expect(said(born, told({}), { ...born, uid: "u-2" })).toBeUndefined();
});

test("the history finds who had an ID last, whatever the case of its letters", () => {
  const history = new RouteHistory({ maxFacts: 3, maxFactsPerRoute: 3 });
  const add = (name: string, id: string | undefined) =>
    history.add("team-a", name, {
      atMs: 1,
      writer: "informer",
      what: "observed",
      outcome: "applied",
      resourceVersion: "1",
      state: "running",
      ip: "",
      uid: "u",
      from: undefined,
      incarnation: undefined,
      isRevival: false,
      id,
    });
  add("one", "Hello");
  add("two", "other");
  expect(history.lastOwnerOf("hELLO")).toEqual({ namespace: "team-a", name: "one" });
  add("three", "hello");
  expect(history.lastOwnerOf("hello")?.name).toBe("three");
  add("three", undefined);
  expect(history.lastOwnerOf("hello")?.name).toBe("three");
  expect(history.lastOwnerOf("hell")).toBeUndefined();
  // Forgotten with its fact.
  for (let more = 0; more < 3; more++) add("four", "four");
  expect(history.lastOwnerOf("hello")).toBeUndefined();
});
