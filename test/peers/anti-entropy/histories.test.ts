import { describe, expect, test } from "vitest";
import { RULES, type Rules } from "../../../src/routes/rules.ts";
import { pushesOf, replicasOf, snapshotScripts } from "../../routes/support/explorer.ts";
import { exploreAll, replicaPairs, timelines } from "../../routes/support/histories.ts";
import type { Moment } from "../../routes/support/timeline.ts";

const orders = (moments: readonly Moment[]) => replicaPairs(replicasOf(moments), pushesOf(moments));

describe("every interleaving of small histories with a comparison of replicas: no resurrection, full convergence", () => {
  test("one sandbox, two moments", () => {
    const { histories, violation } = exploreAll(timelines(["a"], 2), { ordersOf: orders });
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(10_000);
  });

  test("two sandboxes that share an ID and an IP, two moments", () => {
    const { histories, violation } = exploreAll(timelines(["a", "b"], 2), { ordersOf: orders });
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(10_000);
  });

  test("beside a restart from a snapshot", () => {
    const { histories, violation } = exploreAll(timelines(["a"], 2), {
      scriptsOf: snapshotScripts,
      ordersOf: (moments) => replicaPairs(replicasOf(moments), []),
    });
    expect(violation).toBeUndefined();
    expect(histories).toBeGreaterThan(1_000);
  });
});

describe("the explorer finds the bug when a rule does not hold for what replicas bring", () => {
  const switchedOff: { readonly [what: string]: Partial<Rules> } = {
    "a tombstone of a replica is dropped at once": { tombstoneIsDone: () => true },
    "a hint of a replica outlives the watermark": { hintIsReached: () => false },
    "death loses ties": {
      inEffect: (facts) => RULES.inEffect({ ...facts, tombstone: undefined }),
    },
  };
  for (const [what, change] of Object.entries(switchedOff)) {
    test(what, () => {
      const rules = { ...RULES, ...change };
      const { violation } = exploreAll(timelines(["a"], 2), {
        rules,
        ordersOf: (moments) => replicaPairs(replicasOf(moments), []),
      });
      expect(violation?.what).toBeTypeOf("string");
    });
  }
});
