import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Heap } from "../../src/routes/heap.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

describe("memory is bounded, whatever peers push", () => {
  test("hints for objects that do not exist: at most so many, the oldest goes and is counted", () => {
    const table = newTable({ scopes: [""], maxHints: 10 });
    let evicted = 0;
    table.addListener({
      factDropped: (fact, reason) => void (evicted += Number(`${fact} ${reason}` === "hint evicted")),
    });
    for (let i = 0; i < 100; i++) table.pushUpdate(makeRoute(`n${i}`, 100 + i, { ip: `10.0.0.${i}` }), 0);
    expect(table.stats()).toMatchObject({ hints: 10, entries: 10 });
    expect(evicted).toBe(90);
    expect(table.lookup("ns--n99").kind).toBe("found");
  });

  test("ever higher versions for one object leave nothing behind", () => {
    const table = newTable({ scopes: [""] });
    table.relist("", rv(10), [], 0);
    for (let i = 0; i < 20_000; i++) table.pushUpdate(makeRoute("one", 100 + i), 0);
    table.observe("", observe(makeRoute("one", 1_000_000)), 0);
    expect(table.stats()).toMatchObject({ hints: 0, entries: 1 });
  });

  test("the oldest of all is evicted, not what was pushed last: one namespace can't void the pushes for another", () => {
    const table = newTable({ scopes: ["ns", "other"], maxTombstones: 2 });
    table.relist("ns", rv(10), [observe(makeRoute("one", 5))], 0);
    table.relist("other", rv(10), [], 0);
    for (const name of ["a", "b"]) table.pushDelete({ namespace: "other", name, resourceVersion: "20" }, 0);
    expect(table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "20" }, 0)).toBe("applied");
    expect(table.lookup("ns--one").kind).toBe("unknown");
    expect(table.inspect("other/a")).toBeUndefined();
  });

  test("a crowd under one ID or one IP costs what its changes are worth, not their square", () => {
    const table = newTable({ scopes: [""] });
    table.relist("", rv(10), [], 0);
    // With the square of it this would take minutes.
    for (let i = 0; i < 50_000; i++)
      table.pushUpdate(makeRoute(`n${i}`, 100 + i, { id: "shared", ip: "10.0.0.1" }), 0);
    expect(table.stats()).toMatchObject({ idConflicts: 1, ipConflicts: 1, servable: 0 });
    table.observe("", observe(makeRoute("late", 1_000_000, { ip: "10.0.0.1" })), 0);
    expect(table.stats()).toMatchObject({ hints: 0, idConflicts: 0, ipConflicts: 0, servable: 1 });
  });

  test("states of a peer's own invention do not pile up", () => {
    const table = newTable({ scopes: "none" });
    for (let i = 1; i < 100; i++) table.pushUpdate(makeRoute("one", i, { state: `state-${i}` }), 0);
    expect([...table.stats().states]).toEqual([["state-99", 1]]);
  });

  test("everything that came and went is gone", () => {
    const table = newTable({ scopes: [""] });
    table.relist("", rv(10), [], 0);
    for (let i = 0; i < 100; i++) {
      table.pushUpdate(makeRoute(`n${i}`, 1_000 + i), 0);
      table.pushDelete({ namespace: "ns", name: `n${i}`, resourceVersion: String(1_000 + i) }, 0);
    }
    table.bookmark("", rv(5_000), 0);
    expect(table.stats()).toMatchObject({ entries: 0, hints: 0, tombstones: 0, ipConflicts: 0 });
  });
});

test("a push for a namespace that no informer watches is out of scope", () => {
  const table = newTable({ scopes: ["ns"] });
  expect(table.pushUpdate(makeRoute("one", 5, { namespace: "other" }), 0)).toBe("ignored_out_of_scope");
  expect(table.pushDelete({ namespace: "other", name: "one", resourceVersion: "5" }, 0)).toBe(
    "ignored_out_of_scope",
  );
  expect(table.pushUpdate(makeRoute("one", 5), 0)).toBe("applied");
});

test("the table is synced when every scope has its first list", () => {
  const table = newTable({ scopes: ["a", "b"] });
  table.relist("a", rv(5), [], 0);
  expect(table.synced).toBe(false);
  table.relist("b", rv(7), [], 0);
  expect(table.synced).toBe(true);
  expect(() => table.bookmark("c", rv(1), 0)).toThrow('no informer scope "c"');
});

test("a heap gives its items in order, whatever was pushed, popped and compacted", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.integer(), fc.constant("pop"), fc.constant("compact"))), (commands) => {
      const heap = new Heap<number>((a, b) => a - b);
      let model: number[] = [];
      for (const command of commands) {
        if (command === "pop") expect(heap.pop()).toBe(model.shift());
        else if (command === "compact") {
          heap.compact((item) => item % 2 === 0);
          model = model.filter((item) => item % 2 === 0);
        } else {
          heap.push(command);
          model = [...model, command].sort((a, b) => a - b);
        }
        expect(heap.peek()).toBe(model[0]);
        expect(heap.size).toBe(model.length);
      }
    }),
  );
});
