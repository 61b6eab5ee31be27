import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RULES, type Rules } from "../../src/routes/rules.ts";
import { timelines } from "./support/histories.ts";
import { HAPPENINGS, timeline } from "./support/timeline.ts";
import {
  exploreVerify,
  forgedPushes,
  gaplessScripts,
  goThrough,
  truePushes,
  type VerifyStep,
  VerifyWitness,
} from "./support/verify-explorer.ts";

// Rule 12: a push is a rumour, and a read of the API server settles it.

// All pairs of pushes: test/e2e/table-histories.test.ts.
describe("every interleaving of informer, manager, forger and reads, of one pair of pushes in eleven", () => {
  test("no forged push changes who answers, no true one is lost, nothing dead comes back", () => {
    const { histories, violation } = exploreVerify(timelines(["a"], 2), {}, 11);
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(5_000);
  });

  test("the same with a manager who proves who it is, and whose pushes count at once", () => {
    const { histories, violation } = exploreVerify(timelines(["a"], 2), { proven: true }, 11);
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(5_000);
  });

  test("what the informer's selector hides is never in effect, and who pushes it is not blamed", () => {
    const { histories, violation } = exploreVerify(timelines(["a"], 2), { proven: true, hidden: "a" }, 11);
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(5_000);
  });
});

test("long random histories of two sandboxes, many pushes, true and forged", () => {
  const step = fc.tuple(fc.constantFrom("a", "b"), fc.constantFrom(...HAPPENINGS));
  const insert = fc.record({
    what: fc.constantFrom("true", "forged", "answer", "time"),
    pick: fc.nat(),
    at: fc.nat(),
  });
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 3, maxLength: 16 }),
      fc.nat(),
      fc.array(insert, { maxLength: 40 }),
      fc.constantFrom("begin" as const, "end" as const),
      fc.record({
        proven: fc.boolean(),
        hidden: fc.option(fc.constant("b"), { nil: undefined, freq: 2 }),
      }),
      (steps, scriptPick, inserts, readMoment, { proven, hidden }) => {
        const moments = timeline(steps);
        const scripts = gaplessScripts(moments);
        const script = scripts[scriptPick % scripts.length] as VerifyStep[];
        const pushes = {
          true: truePushes(moments),
          forged: forgedPushes(moments),
          answer: [{ kind: "answer" } as const],
          time: [{ kind: "time" } as const],
        };
        const order = script.slice(0, -1);
        for (const { what, pick, at } of inserts) {
          const choice = pushes[what];
          const chosen = choice[pick % Math.max(1, choice.length)];
          if (chosen) order.splice(at % (order.length + 1), 0, chosen);
        }
        const violation = goThrough(
          new VerifyWitness(moments, readMoment, { proven, ...(hidden !== undefined && { hidden }) }),
          order,
          script.at(-1) as VerifyStep,
        );
        expect(violation).toBeUndefined();
      },
    ),
    { numRuns: 3_000 },
  );
});

describe("the explorer finds the bug when a part of rule 12 is switched off", () => {
  const switchedOff: { readonly [what: string]: Partial<Rules> } = {
    "an event that a read has passed is taken": { eventIsRead: () => false },
    "a read that began before a push settles it": {
      settleUpdate: (push, read) => RULES.settleUpdate(push, read, true),
      settleDelete: (version, uid, read) => RULES.settleDelete(version, uid, read, true),
    },
    "a push that waits is never given up": {
      settleUpdate: () => "open",
    },
    "a deletion that waits is never given up": {
      settleDelete: () => "open",
    },
  };
  for (const [what, change] of Object.entries(switchedOff)) {
    test(what, () => {
      const { violation } = exploreVerify(timelines(["a"], 2), { rules: { ...RULES, ...change } });
      expect(violation?.what).toBeTypeOf("string");
    });
  }
});

describe("the explorer finds the bug when a part of rule 14 is switched off", () => {
  const switchedOff: { readonly [what: string]: Partial<Rules> } = {
    "an update of an object that the informer does not show counts": { isShown: () => true },
    "a read that does not show the object refutes the push": {
      settleUpdate: (push, read, isAfter, deletion) =>
        RULES.settleUpdate(push, { ...read, selective: false }, isAfter, deletion),
    },
  };
  for (const [what, change] of Object.entries(switchedOff)) {
    test(what, () => {
      const world = { rules: { ...RULES, ...change }, proven: true, hidden: "a" };
      expect(exploreVerify(timelines(["a"], 2), world).violation?.what).toBeTypeOf("string");
    });
  }
});
