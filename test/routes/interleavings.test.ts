import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exploreAll, INFORMERS, longHistories, tellAll, timelines } from "./support/histories.ts";
import { makeRoute, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

for (const { what, scriptsOf } of INFORMERS) {
  describe(`small histories with ${what}: no resurrection, no disagreement, full convergence`, () => {
    // All pairs: test/e2e/table-histories.test.ts.
    test("one sandbox, three moments, every interleaving of one pair of pushes in eleven", () => {
      const { histories, violation } = exploreAll(timelines(["a"], 3), { scriptsOf, oneIn: 11 });
      expect(violation).toBeUndefined();
      expect(histories).toBeGreaterThan(10_000);
    });

    test("two sandboxes that share an ID and an IP, two moments, every interleaving of two pushes", () => {
      const { histories, violation } = exploreAll(timelines(["a", "b"], 2), { scriptsOf });
      expect(violation).toBeUndefined();
      expect(histories).toBeGreaterThan(5_000);
    });
  });

  test(`long random histories of three sandboxes with ${what}`, () => {
    fc.assert(
      fc.property(longHistories(["a", "b", "c"], scriptsOf), ({ moments, steps }) => {
        expect(tellAll(moments, steps)).toBeUndefined();
      }),
      { numRuns: 3_000 },
    );
  });
}

test("without an informer: any order of any pushes ends in the newest word, and death wins ties", () => {
  const push = fc.record({ version: fc.integer({ min: 1, max: 6 }), dead: fc.boolean() });
  fc.assert(
    fc.property(fc.array(push, { minLength: 1, maxLength: 12 }), (pushes) => {
      const table = newTable({ scopes: "none" });
      let lastEnd = 0;
      for (const { version, dead } of pushes) {
        if (dead) table.pushDelete({ namespace: "ns", name: "one", resourceVersion: rv(version) }, 0);
        else table.pushUpdate(makeRoute("one", version), 0);
        if (dead) lastEnd = Math.max(lastEnd, version);
        const found = table.lookup("ns--one");
        if (found.kind === "found") expect(Number(found.route.resourceVersion)).toBeGreaterThan(lastEnd);
      }
      const newest = Math.max(0, ...pushes.filter(({ dead }) => !dead).map(({ version }) => version));
      const found = table.lookup("ns--one");
      expect(found.kind === "found" ? Number(found.route.resourceVersion) : undefined).toBe(
        newest > lastEnd ? newest : undefined,
      );
    }),
    { numRuns: 2_000 },
  );
});
