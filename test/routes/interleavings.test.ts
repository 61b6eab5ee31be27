import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { informerScripts, pushesOf, type Step, Witness } from "./support/explorer.ts";
import { exploreAll, timelines } from "./support/histories.ts";
import { HAPPENINGS, makeRoute, rv, timeline } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

describe("every interleaving of small histories: no resurrection, no disagreement, full convergence", () => {
  test("one sandbox, three moments, two pushes", () => {
    const { histories, violation } = exploreAll(timelines(["a"], 3));
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(100_000);
  });

  test("two sandboxes that share an ID and an IP, two moments, two pushes", () => {
    const { histories, violation } = exploreAll(timelines(["a", "b"], 2));
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(5_000);
  });
});

test("long random histories of three sandboxes", () => {
  const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom(...HAPPENINGS));
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 4, maxLength: 24 }),
      fc.nat(),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }),
      (steps, scriptPick, pushPicks) => {
        const moments = timeline(steps);
        const scripts = informerScripts(moments);
        const pushes = pushesOf(moments);
        const script = scripts[scriptPick % scripts.length] as Step[];
        const witness = new Witness(moments);
        const last = script.at(-1) as Step;
        // Each push goes in at some point of the informer's way, in any order, any number of times.
        const order: Step[] = script.slice(0, -1);
        if (pushes.length > 0) {
          for (const [push, at] of pushPicks) {
            order.splice(at % (order.length + 1), 0, pushes[push % pushes.length] as Step);
          }
        }
        for (const told of [...order, last]) expect(witness.take(told)).toBeUndefined();
        expect(witness.notConverged()).toBeUndefined();
      },
    ),
    { numRuns: 3_000 },
  );
});

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
