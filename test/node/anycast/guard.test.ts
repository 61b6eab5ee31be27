import fc from "fast-check";
import { expect, test } from "vitest";
import { DEAD_AFTER_MS, nextLife } from "../../../src/node/anycast/guard.ts";
import { BEAT_MS, heartbeatPath } from "../../../src/node/anycast/heartbeat.ts";

type Life = Parameters<typeof nextLife>[0];

/** What is known after looks `stepMs` apart that found these beats. */
function walk(beats: readonly (string | undefined)[], stepMs: number): string[] {
  let life: Life = { kind: "absent" };
  return beats.map((beat, index) => {
    life = nextLife(life, beat, index * stepMs);
    return life.kind;
  });
}

test("whoever beats is alive, however late now and then", () => {
  expect(walk(["1", "1", "1", "2", "2", "3"], BEAT_MS)).not.toContain("dead");
});

test("a beat that stays the same for longer than four beats is that of a dead one, and only the next beat revives it", () => {
  expect(walk(["1", "1", "1", "1", "1", "1", "1", "2"], BEAT_MS)).toEqual([
    "beating",
    "beating",
    "beating",
    "beating",
    "beating",
    "dead",
    "dead",
    "beating",
  ]);
});

test("whoever ended in order, or never ran, is left alone for ever", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 10 * DEAD_AFTER_MS })), (gaps) => {
      let life = nextLife({ kind: "beating", beat: "1", atMs: 0 }, undefined, 1);
      let nowMs = 1;
      for (const gap of gaps) {
        nowMs += gap;
        life = nextLife(life, undefined, nowMs);
        expect(life).toEqual({ kind: "absent" });
      }
    }),
  );
});

test("from the last beat to the verdict it takes less than 2.5 seconds", () => {
  expect(DEAD_AFTER_MS + BEAT_MS / 2 + BEAT_MS / 2).toBeLessThanOrEqual(2500);
});

test("the heartbeat has no name that BIRD includes", () => {
  expect(heartbeatPath("/run/lychgate/anycast.conf")).toBe("/run/lychgate/anycast.alive");
  expect(heartbeatPath("/run/lychgate/anycast")).toBe("/run/lychgate/anycast.alive");
});
