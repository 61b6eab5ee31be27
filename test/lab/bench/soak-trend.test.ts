import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeTrend, MIN_READINGS, secondHalf, trendOf } from "../../../lab/bench/soak/trend.ts";
import type { Reading } from "../../../lab/bench/soak/trend.ts";
import { seededRandom } from "../../../lab/devcluster/random.ts";

const HOUR_MS = 3_600_000;
/** `count` readings over an hour. */
function readings(count: number, value: (hours: number, index: number) => number): Reading[] {
  return Array.from({ length: count }, (_, index) => {
    const hours = index / (count - 1);
    return { atMs: hours * HOUR_MS, value: value(hours, index) };
  });
}
const allowance = { absolute: 5, relative: 0.05 };

describe("the trend of a soak's figures", () => {
  it("is the slope of a line, per hour, and its growth over the time", () => {
    const trend = trendOf(readings(60, (hours) => 100 + 12 * hours));
    expect(trend?.perHour).toBeCloseTo(12);
    expect(trend?.atLeastPerHour).toBeCloseTo(12);
    expect(trend?.growth).toBeCloseTo(12);
    expect(trend?.level).toBeCloseTo(106);
    expect(judgeTrend(trend, allowance)).toBe("grows");
  });

  it("finds a leak under a garbage collector's saw and noise", () => {
    const random = seededRandom(1);
    const trend = trendOf(
      readings(120, (hours, index) => 100 + 20 * hours + (index % 9) * 2 + random.next() * 10),
    );
    expect(trend?.growth).toBeGreaterThan(15);
    expect(judgeTrend(trend, allowance)).toBe("grows");
  });

  it("finds none in the same saw and noise without a leak", () => {
    const random = seededRandom(2);
    expect(
      judgeTrend(trendOf(readings(120, (_, index) => 100 + (index % 9) * 2 + random.next() * 10)), allowance),
    ).toBe("steady");
  });

  it("is not moved by a few outliers, at the end either", () => {
    const trend = trendOf(readings(60, (_, index) => (index >= 54 ? 10_000 : 100)));
    expect(trend?.growth).toBe(0);
    expect(judgeTrend(trend, allowance)).toBe("steady");
  });

  it("allows the larger of an absolute growth and a share of the level", () => {
    expect(judgeTrend(trendOf(readings(60, (hours) => 10 + 4.9 * hours)), allowance)).toBe("steady");
    expect(judgeTrend(trendOf(readings(60, (hours) => 10 + 5.1 * hours)), allowance)).toBe("grows");
    expect(judgeTrend(trendOf(readings(60, (hours) => 1000 + 40 * hours)), allowance)).toBe("steady");
    expect(judgeTrend(trendOf(readings(60, (hours) => 1000 + 60 * hours)), allowance)).toBe("grows");
  });

  it("takes a rise for no growth that may be chance: the confidence interval holds 0", () => {
    const noise = [0, 100, 10, 90, 20, 110, 5, 95, 30, 115, 15, 105];
    const trend = trendOf(readings(noise.length, (_, index) => 100 + (noise[index] ?? 0)));
    expect(trend?.growth).toBeGreaterThan(2 * allowance.absolute);
    expect(trend?.atLeastPerHour).toBeLessThan(0);
    expect(judgeTrend(trend, allowance)).toBe("steady");
    // The same rise without the noise is one.
    const growth = trend?.growth ?? 0;
    expect(judgeTrend(trendOf(readings(noise.length, (hours) => 100 + growth * hours)), allowance)).toBe(
      "grows",
    );
  });

  it("takes a fall for no growth", () => {
    expect(judgeTrend(trendOf(readings(60, (hours) => 1000 - 500 * hours)), allowance)).toBe("steady");
  });

  it("is not judged by too few readings", () => {
    expect(trendOf(readings(MIN_READINGS - 1, (hours) => hours))).toBeUndefined();
    expect(judgeTrend(undefined, allowance)).toBe("too few readings");
    expect(trendOf(readings(MIN_READINGS, (hours) => hours))).toBeDefined();
  });

  it("does not depend on where the figure starts, and has no slope without a change", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: MIN_READINGS, maxLength: 40 }),
        fc.integer({ min: 0, max: 1_000_000 }),
        (values, offset) => {
          const at = (shift: number): number =>
            trendOf(values.map((value, index) => ({ atMs: index * 1000, value: value + shift })))?.perHour ??
            Number.NaN;
          expect(at(offset)).toBeCloseTo(at(0));
        },
      ),
    );
    expect(trendOf(readings(20, () => 7))).toMatchObject({ perHour: 0, growth: 0, level: 7 });
  });

  it("is that of the second half of the time, not of the readings", () => {
    const some = [0, 1, 2, 3, 4, 5, 6, 50, 100].map((atMs) => ({ atMs, value: 0 }));
    expect(secondHalf(some).map(({ atMs }) => atMs)).toStrictEqual([50, 100]);
    expect(secondHalf([])).toStrictEqual([]);
  });
});
