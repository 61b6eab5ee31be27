import { describe, expect, test, vi } from "vitest";
import { exploreAll, INFORMERS, timelines } from "../routes/support/histories.ts";
import { exploreVerify, type VerifyWorld } from "../routes/support/verify-explorer.ts";

// What `npm test` takes a share of (test/routes/interleavings.test.ts and verify.test.ts), whole.

/** Minutes of one core, which may be shared by ten: this only ends a run that hangs. */
vi.setConfig({ testTimeout: 1_800_000 });

describe("every interleaving of one sandbox, three moments and two pushes: no resurrection, no disagreement, full convergence", () => {
  for (const { what, scriptsOf } of INFORMERS) {
    test(`with ${what}`, () => {
      const { histories, violation } = exploreAll(timelines(["a"], 3), { scriptsOf });
      expect(violation).toBeUndefined();
      expect(histories).toBeGreaterThan(100_000);
    });
  }
});

describe("every interleaving of informer, manager, forger and reads: no forged push changes who answers, no true one is lost", () => {
  const worlds: { readonly [what: string]: VerifyWorld } = {
    "a manager who proves nothing": {},
    "a manager who proves who it is": { proven: true },
    "a sandbox that the informer's selector hides": { proven: true, hidden: "a" },
  };
  for (const [what, world] of Object.entries(worlds)) {
    test(what, () => {
      const { histories, violation } = exploreVerify(timelines(["a"], 2), world);
      expect(violation).toBeUndefined();
      expect(histories).toBeGreaterThan(50_000);
    });
  }
});
