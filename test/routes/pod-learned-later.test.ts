import { expect, test } from "vitest";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// Pushes do not name the pod, the informer does. docs/route-table.md#incarnations: connections to a pod end with it, also
// when the next one has the same address.

function pushed() {
  const table = newTable({ scopes: [""] });
  const ended: string[] = [];
  table.addListener({ incarnationEnded: ({ number }, reason) => void ended.push(`${number} ${reason}`) });
  table.relist("", rv(10), [], 0);
  table.pushUpdate(makeRoute("one", 11), 0);
  const number = () => {
    const found = table.lookup("ns--one");
    return found.kind === "found" ? found.incarnation?.number : undefined;
  };
  const see = (version: number, podUid: string | undefined) =>
    table.observe("", observe(makeRoute("one", version, { podUid })), 0);
  return { table, ended, number, see };
}

test("a pod that the informer names after the first request: the next pod behind the IP is another life", () => {
  const { ended, number, see } = pushed();
  const first = number();
  expect(first).toBeTypeOf("number");
  see(11, "p1");
  expect(number()).toBe(first);
  see(12, "p2");
  expect(ended).toEqual([`${first} replaced`]);
  expect(number()).not.toBe(first);
});

test("the same when nobody has asked before the pod is named, and when a version between does not name it", () => {
  const { ended, number, see } = pushed();
  see(11, "p1");
  see(12, undefined);
  expect(ended).toEqual([]);
  const first = number();
  see(13, "p1");
  expect(number()).toBe(first);
  see(14, "p2");
  expect(ended).toEqual([`${first} replaced`]);
});
