import { describe, expect, test } from "vitest";
import { compareResourceVersions } from "../../src/routes/resource-version.ts";
import { RULES, type Rules } from "../../src/routes/rules.ts";
import { snapshotScripts } from "./support/explorer.ts";
import { exploreAll, timelines } from "./support/histories.ts";

// The explorer must find the bug when a rule is switched off; else it would prove nothing of the rule. The rules that
// need time or a restored cluster (5, 6, 7, 8) are switched off in the tests of those.
const switchedOff: { readonly [what: string]: Partial<Rules> } = {
  "rule 1: an update at or below the watermark is kept": {
    judgeUpdate: (facts, push, scope) => RULES.judgeUpdate(facts, push, { ...scope, watermark: ZERO }),
  },
  "rule 1: an update below a known version is kept": {
    judgeUpdate: ({ tombstone }, push, scope) =>
      RULES.judgeUpdate({ tombstone, confirmed: undefined, hint: undefined }, push, scope),
  },
  "rule 2: an update below a tombstone is kept": {
    judgeUpdate: (facts, push, scope) => RULES.judgeUpdate({ ...facts, tombstone: undefined }, push, scope),
  },
  "rule 2: death loses ties": {
    judgeDelete: (facts, version, scope) =>
      facts.confirmed?.resourceVersion === version
        ? "ignored_stale"
        : RULES.judgeDelete(facts, version, scope),
  },
  "rule 2: a deletion below what is known is kept": {
    judgeDelete: (_facts, version, scope) =>
      RULES.judgeDelete({ confirmed: undefined, hint: undefined, tombstone: undefined }, version, {
        ...scope,
        watermark: ZERO,
      }),
  },
  "rule 2: a tombstone does not stop what the informer says": {
    inEffect: (facts) => RULES.inEffect({ ...facts, tombstone: undefined }),
  },
  "rule 3: dead is a state like any other": { isTerminal: () => false },
  "rule 4: old events are taken": { eventIsSeen: () => false },
  "rule 4: an older listing of an object replaces a newer": { inEffect: (facts) => facts.confirmed?.route },
  "rule 4: a hint outlives the watermark": { hintIsReached: () => false },
  "rule 4: a tombstone is dropped at once": { tombstoneIsDone: () => true },
  "rule 4: a tombstone is kept for ever": { tombstoneIsDone: () => false },
  "rule 5: a list of a stale server is taken": { listIsBehind: () => false },
  "rule 5: what a list lacks stays": { isGone: () => false },
  "rule 6: what peers push runs out at once": { isOverdue: () => true },
  "rule 9: the first of two that hint an ID is served": {
    idHolder: (living) => (living > 0 ? 0 : undefined),
  },
  "rule 10: the first of two that hold an IP is served": {
    tookIpLater: (a, b) => compareResourceVersions(a.by, b.by) < 0,
  },
  "rule 10: any of two that hold an IP is served": { tookIpLater: () => true },
  "rule 11: resurrections are not counted": { resurrection: () => undefined },
};

const ZERO = "0" as Parameters<typeof compareResourceVersions>[0];

describe("the explorer finds the bug when a rule is switched off", () => {
  for (const [what, change] of Object.entries(switchedOff)) {
    test(what, () => {
      const rules = { ...RULES, ...change };
      const found =
        exploreAll(timelines(["a", "b"], 2), { rules }).violation ??
        exploreAll(timelines(["a"], 3), { rules, oneIn: 11 }).violation ??
        exploreAll(timelines(["a"], 3), { rules }).violation;
      expect(found?.what).toBeTypeOf("string");
    });
  }
});

describe("the explorer finds the bug when a rule does not hold after a restart from a snapshot", () => {
  const afterRestart: { readonly [what: string]: Partial<Rules> } = {
    "an update at or below the snapshot's watermark is kept": {
      judgeUpdate: (facts, push, scope) =>
        RULES.judgeUpdate(facts, push, { ...scope, watermark: "0" as typeof scope.watermark }),
    },
    "a deletion that was pushed before the restart is forgotten": {
      judgeDelete: () => "ignored_stale",
    },
    "what the first list lacks stays": { isGone: () => false },
  };
  for (const [what, change] of Object.entries(afterRestart)) {
    test(what, () => {
      const { violation } = exploreAll(timelines(["a"], 3), {
        rules: { ...RULES, ...change },
        scriptsOf: snapshotScripts,
      });
      expect(violation?.what).toBeTypeOf("string");
    });
  }
});
