import { expect, test } from "vitest";
import { Distrust } from "../../src/peers/distrust.ts";
import type { Clock } from "../../src/system/clock.ts";

function stopped(): { readonly clock: Clock; pass(ms: number): void } {
  let nowMs = 1_800_000_000_000;
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimeout: () => ({ clear() {} }),
  };
  return { clock, pass: (ms) => void (nowMs += ms) };
}

function refutedTimes(distrust: Distrust, times: number, key: (index: number) => string): void {
  for (let index = 0; index < times; index++) distrust.refuted("10.0.0.9", key(index));
}

test("the third refutation on one key: the sender's pushes of that key are ignored, for a time that doubles", () => {
  const { clock, pass } = stopped();
  const distrust = new Distrust(clock);
  refutedTimes(distrust, 2, () => "ns/one");
  expect(distrust.ignores("10.0.0.9", "ns/one")).toBe(false);
  for (const forMs of [1_000, 2_000, 4_000, 8_000]) {
    distrust.refuted("10.0.0.9", "ns/one");
    pass(forMs - 1);
    expect(distrust.ignores("10.0.0.9", "ns/one")).toBe(true);
    pass(1);
    expect(distrust.ignores("10.0.0.9", "ns/one")).toBe(false);
  }
});

test("nobody else is ignored, and none of its other keys", () => {
  const distrust = new Distrust(stopped().clock);
  refutedTimes(distrust, 5, () => "ns/one");
  expect(distrust.ignores("10.0.0.9", "ns/one")).toBe(true);
  expect(distrust.ignores("10.0.0.9", "ns/two")).toBe(false);
  expect(distrust.ignores("10.0.0.8", "ns/one")).toBe(false);
});

test("thirty refutations over any keys: all its pushes are ignored", () => {
  const distrust = new Distrust(stopped().clock);
  refutedTimes(distrust, 29, (index) => `ns/${index}`);
  expect(distrust.ignores("10.0.0.9", "ns/other")).toBe(false);
  distrust.refuted("10.0.0.9", "ns/29");
  expect(distrust.ignores("10.0.0.9", "ns/other")).toBe(true);
  expect(distrust.ignores("10.0.0.8", "ns/other")).toBe(false);
});

test("at most ten minutes, and ten minutes without a refutation make all forgotten", () => {
  const { clock, pass } = stopped();
  const distrust = new Distrust(clock);
  refutedTimes(distrust, 40, () => "ns/one");
  pass(599_999);
  expect(distrust.ignores("10.0.0.9", "ns/one")).toBe(true);
  pass(2);
  expect(distrust.ignores("10.0.0.9", "ns/one")).toBe(false);
  refutedTimes(distrust, 2, () => "ns/one");
  expect(distrust.ignores("10.0.0.9", "ns/one")).toBe(false);
});

test("a crowd of senders takes no more memory than ten thousand records", () => {
  const { clock } = stopped();
  const distrust = new Distrust(clock);
  for (let index = 0; index < 3; index++) distrust.refuted("10.0.0.9", "ns/first");
  for (let index = 0; index < 20_000; index++)
    distrust.refuted(`10.1.${index >> 8}.${index & 255}`, "ns/one");
  // The oldest was forgotten for the sake of the bound.
  expect(distrust.ignores("10.0.0.9", "ns/first")).toBe(false);
});

test("whoever was never refuted is never ignored", () => {
  expect(new Distrust(stopped().clock).ignores("10.0.0.9", "ns/one")).toBe(false);
});

test("two keys count each for itself: two refutations on each ignore neither", () => {
  const distrust = new Distrust(stopped().clock);
  for (const key of ["ns/one", "ns/two"]) refutedTimes(distrust, 2, () => key);
  expect(["ns/one", "ns/two"].map((key) => distrust.ignores("10.0.0.9", key))).toEqual([false, false]);
});

test("what is ignored of all keys ends too: after a second, then two", () => {
  const { clock, pass } = stopped();
  const distrust = new Distrust(clock);
  refutedTimes(distrust, 30, (index) => `ns/${index}`);
  pass(999);
  expect(distrust.ignores("10.0.0.9", "ns/other")).toBe(true);
  pass(1);
  expect(distrust.ignores("10.0.0.9", "ns/other")).toBe(false);
  distrust.refuted("10.0.0.9", "ns/30");
  pass(1_999);
  expect(distrust.ignores("10.0.0.9", "ns/other")).toBe(true);
  pass(1);
  expect(distrust.ignores("10.0.0.9", "ns/other")).toBe(false);
});

test("two refutations are forgotten ten minutes after the last, and count until then", () => {
  for (const [ms, isIgnored] of [
    [599_000, true],
    [600_001, false],
  ] as const) {
    const { clock, pass } = stopped();
    const distrust = new Distrust(clock);
    refutedTimes(distrust, 2, () => "ns/one");
    pass(ms);
    distrust.refuted("10.0.0.9", "ns/one");
    expect(distrust.ignores("10.0.0.9", "ns/one")).toBe(isIgnored);
  }
});
