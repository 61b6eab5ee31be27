import { expect, test } from "vitest";
import { TokenBucket } from "../../src/system/token-bucket.ts";

test("lets through its burst, and then its rate", () => {
  const bucket = new TokenBucket(100, 10, 0);
  const passed = (nowMs: number, tries: number) =>
    Array.from({ length: tries }, () => bucket.take(nowMs)).filter(Boolean).length;
  expect(passed(1_000, 50)).toBe(10);
  expect(passed(1_000, 50)).toBe(0);
  expect(passed(1_050, 50)).toBe(5);
  expect(passed(100_000, 50)).toBe(10);
});

test("a debt is paid by time before the next token is there", () => {
  const bucket = new TokenBucket(10, 10, 0);
  bucket.charge(30, 0);
  expect([bucket.take(1_000), bucket.take(2_000), bucket.take(2_099), bucket.take(2_100)]).toEqual([
    false,
    false,
    false,
    true,
  ]);
});

test("a clock that stands or goes back gives nothing, and takes nothing", () => {
  const bucket = new TokenBucket(2, 2, 1_000);
  bucket.charge(2, 1_000);
  expect([bucket.hasAny(1_000), bucket.hasAny(0), bucket.hasAny(1_499), bucket.hasAny(1_500)]).toEqual([
    false,
    false,
    false,
    true,
  ]);
});

test("without a limit there is always one more", () => {
  const bucket = new TokenBucket(Infinity, Infinity, 0);
  bucket.charge(1e9, 0);
  expect(bucket.take(0)).toBe(true);
});
