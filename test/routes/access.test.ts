import { expect, test } from "vitest";
import type { Route } from "../../src/routes/route.ts";
import type { RouteTable } from "../../src/routes/table.ts";
import { newTable } from "../support/defaults.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";

// docs/access.md#private-or-open: who may pass to a sandbox that a peer pushes.

const route: Route = { ...makeRoute("box", 5), access: "private", previewEpoch: "1" };
/** As a manager pushes it: it can't say who may pass. */
const pushed = (version: number, more: Partial<Route> = {}): Route => ({
  ...makeRoute("box", version, { ip: route.ip }),
  uid: route.uid,
  ...more,
});

function table(): RouteTable {
  const made = newTable({ scopes: [""], trust: "serve" });
  made.relist("", rv(5), [observe(route)], 0);
  return made;
}

function inEffect(of: RouteTable): readonly unknown[] {
  const found = of.lookup(route.id);
  return found.kind === "found"
    ? [found.route.resourceVersion, found.access, found.previewEpoch]
    : [found.kind];
}

test("a push can't say it, so the informer's word of the same object holds", () => {
  const of = table();
  expect(inEffect(of)).toEqual(["5", "private", "1"]);
  expect(of.pushUpdate(pushed(6), 0)).toBe("applied");
  expect(inEffect(of)).toEqual(["6", "private", "1"]);
});

test("another object under the same name has its own, and a replica that knows it is believed", () => {
  const replaced = table();
  replaced.pushUpdate(pushed(6, { uid: "another" }), 0);
  expect(inEffect(replaced)).toEqual(["6", undefined, undefined]);
  const told = table();
  told.pushUpdate(pushed(7, { access: "3000", previewEpoch: "2" }), 0);
  expect(inEffect(told)).toEqual(["7", "3000", "2"]);
});

test("a list that says another thing at the same version is heard", () => {
  const of = table();
  of.relist("", rv(5), [observe({ ...route, access: "open", previewEpoch: "2" })], 0);
  expect(inEffect(of)).toEqual(["5", "open", "2"]);
});
