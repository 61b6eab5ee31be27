import fc from "fast-check";
import { expect, test } from "vitest";
import { timelines } from "./support/histories.ts";
import { HAPPENINGS, timeline } from "./support/timeline.ts";
import {
  forgedPushes,
  gaplessScripts,
  goThrough,
  mergings,
  truePushes,
  type VerifyStep,
  VerifyWitness,
} from "./support/verify-explorer.ts";

// A restart from a snapshot settles nothing: what was in doubt before is in doubt afterwards (rule 12).

const RELOAD: VerifyStep = { kind: "reload" };

test("every interleaving of informer, manager, forger and a restart from a snapshot", () => {
  let histories = 0;
  for (const moments of timelines(["a"], 2)) {
    for (const script of gaplessScripts(moments)) {
      const last = script.at(-1) as VerifyStep;
      for (const push of [...truePushes(moments), ...forgedPushes(moments)]) {
        for (const steps of mergings([script.slice(0, -1), [push], [RELOAD], [{ kind: "time" }]])) {
          histories++;
          expect(goThrough(new VerifyWitness(moments, "end"), steps, last)).toBeUndefined();
        }
      }
    }
  }
  expect(histories).toBeGreaterThan(10_000);
});

test("long random histories of two sandboxes with restarts from snapshots", () => {
  const step = fc.tuple(fc.constantFrom("a", "b"), fc.constantFrom(...HAPPENINGS));
  const insert = fc.record({
    what: fc.constantFrom("true", "forged", "answer", "time", "reload"),
    pick: fc.nat(),
    at: fc.nat(),
  });
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 3, maxLength: 16 }),
      fc.nat(),
      fc.array(insert, { maxLength: 30 }),
      fc.constantFrom("begin" as const, "end" as const),
      (steps, scriptPick, inserts, readMoment) => {
        const moments = timeline(steps);
        const scripts = gaplessScripts(moments);
        const script = scripts[scriptPick % scripts.length] as VerifyStep[];
        const choices: Record<string, readonly VerifyStep[]> = {
          true: truePushes(moments),
          forged: forgedPushes(moments),
          answer: [{ kind: "answer" }],
          time: [{ kind: "time" }],
          reload: [RELOAD],
        };
        const order = script.slice(0, -1);
        for (const { what, pick, at } of inserts) {
          const choice = choices[what] ?? [];
          const chosen = choice[pick % Math.max(1, choice.length)];
          if (chosen) order.splice(at % (order.length + 1), 0, chosen);
        }
        const last = script.at(-1) as VerifyStep;
        expect(goThrough(new VerifyWitness(moments, readMoment), order, last)).toBeUndefined();
      },
    ),
    { numRuns: 5_000 },
  );
});
