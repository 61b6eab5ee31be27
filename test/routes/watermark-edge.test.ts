import { expect, test } from "vitest";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// Rule 1: at the watermark itself the informer has seen all that there was.

function passed(version: number) {
  const table = newTable({ scopes: [""] });
  table.relist("", rv(10), [observe(makeRoute("known", 5, { ip: "10.0.0.2" }))], 0);
  table.bookmark("", rv(version), 0);
  return table;
}

test.each(["new", "known"])(
  "an update of %s at the watermark is stale; one version later it is not",
  (name) => {
    const ip = name === "new" ? "10.0.0.1" : "10.0.0.2";
    expect(passed(20).pushUpdate(makeRoute(name, 19, { ip }), 0)).toBe("ignored_watermark");
    const table = passed(20);
    expect(table.pushUpdate(makeRoute(name, 20, { ip }), 0)).toBe("ignored_watermark");
    expect(table.stats().hints).toBe(0);
    expect(table.pushUpdate(makeRoute(name, 21, { ip }), 0)).toBe("applied");
  },
);

test("a deletion at the watermark of what the informer does not know is stale; one version later it is kept", () => {
  const table = passed(20);
  const deletion = (version: number) => ({ namespace: "ns", name: "new", resourceVersion: String(version) });
  expect(table.pushDelete(deletion(20), 0)).toBe("ignored_watermark");
  expect(table.stats().tombstones).toBe(0);
  expect(table.pushDelete(deletion(21), 0)).toBe("applied");
});

test("what was pushed at a version is settled when the watermark reaches it, not one later", () => {
  const table = passed(20);
  table.pushUpdate(makeRoute("new", 21), 0);
  table.pushDelete({ namespace: "ns", name: "other", resourceVersion: "21" }, 0);
  table.bookmark("", rv(21), 0);
  expect(table.stats()).toMatchObject({ hints: 0, tombstones: 0 });
  expect(table.lookup("ns--new").kind).toBe("unknown");
});
