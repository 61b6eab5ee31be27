import fc from "fast-check";
import { expect, test } from "vitest";
import { isOver, type MoveEvent, type MoveStep, nextStep } from "../../../src/node/link/move-step.ts";

const done: MoveEvent = { kind: "done" };

function walk(step: MoveStep, ...events: readonly MoveEvent[]): string[] {
  const trail = [step.at as string];
  let now = step;
  for (const event of events) {
    now = nextStep(now, event);
    trail.push(now.at);
  }
  return trail;
}

test("all goes well", () => {
  expect(walk({ at: "rehearsing" }, done, done, done, done, done)).toEqual([
    "rehearsing",
    "moving",
    "restoring",
    "pinning",
    "verifying",
    "restored",
  ]);
});

test("a failed rehearsal moves nothing", () => {
  expect(nextStep({ at: "rehearsing" }, { kind: "failed", cause: "no" })).toEqual({
    at: "refused",
    cause: "no",
  });
});

test.each(["moving", "restoring", "pinning", "verifying"] as const)(
  "a failure while %s takes the link back, and its cause stays the first",
  (at) => {
    const back = nextStep({ at }, { kind: "failed", cause: "the first" });
    expect(back).toEqual({ at: "moving_back", cause: "the first" });
    const again = nextStep(back, { kind: "failed", cause: "the second" });
    expect(again).toBe(back);
    expect(nextStep(nextStep(again, done), done)).toEqual({ at: "rolled_back", cause: "the first" });
  },
);

test("a finished move can be taken back; a taken back one stays", () => {
  expect(nextStep({ at: "restored" }, { kind: "rollback_asked" }).at).toBe("moving_back");
  const over: MoveStep = { at: "rolled_back", cause: "" };
  expect(nextStep(over, { kind: "rollback_asked" })).toBe(over);
});

test("whatever happens, doing on ends in a few steps", () => {
  const event = fc.oneof(
    fc.constant(done),
    fc.constant<MoveEvent>({ kind: "failed", cause: "x" }),
    fc.constant<MoveEvent>({ kind: "rollback_asked" }),
  );
  fc.assert(
    fc.property(fc.array(event), (events) => {
      let step: MoveStep = { at: "rehearsing" };
      for (const one of events) step = nextStep(step, one);
      for (let steps = 0; !isOver(step); steps += 1) {
        expect(steps).toBeLessThan(6);
        step = nextStep(step, done);
      }
    }),
  );
});
