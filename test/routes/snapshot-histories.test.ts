import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RULES, type Rules } from "../../src/routes/rules.ts";
import { pushesOf, snapshotScripts, type Step, Witness } from "./support/explorer.ts";
import { exploreAll, timelines } from "./support/histories.ts";
import { HAPPENINGS, timeline } from "./support/timeline.ts";

describe("every interleaving of small histories with a restart from a snapshot: no resurrection, full convergence", () => {
  test("one sandbox, three moments, two pushes", () => {
    const { histories, violation } = exploreAll(timelines(["a"], 3), RULES, snapshotScripts);
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(100_000);
  });

  test("two sandboxes that share an ID and an IP, two moments, two pushes", () => {
    const { histories, violation } = exploreAll(timelines(["a", "b"], 2), RULES, snapshotScripts);
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(50_000);
  });
});

test("long random histories with restarts from snapshots", () => {
  const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom(...HAPPENINGS));
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 4, maxLength: 20 }),
      fc.nat(),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }),
      (steps, scriptPick, pushPicks) => {
        const moments = timeline(steps);
        const scripts = snapshotScripts(moments);
        const script = scripts[scriptPick % scripts.length] as Step[];
        const pushes = pushesOf(moments);
        const witness = new Witness(moments);
        const last = script.at(-1) as Step;
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
    { numRuns: 2_000 },
  );
});

describe("the explorer finds the bug when a rule does not hold after a restart from a snapshot", () => {
  const switchedOff: { readonly [what: string]: Partial<Rules> } = {
    "an update at or below the snapshot's watermark is kept": {
      judgeUpdate: (facts, push, scope) =>
        RULES.judgeUpdate(facts, push, { ...scope, watermark: "0" as typeof scope.watermark }),
    },
    "a deletion that was pushed before the restart is forgotten": {
      judgeDelete: () => "ignored_stale",
    },
    "what the first list lacks stays": { isGone: () => false },
  };
  for (const [what, change] of Object.entries(switchedOff)) {
    test(what, () => {
      const { violation } = exploreAll(timelines(["a"], 3), { ...RULES, ...change }, snapshotScripts);
      expect(violation?.what).toBeTypeOf("string");
    });
  }
});
