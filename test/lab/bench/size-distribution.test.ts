import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawnSizes, paretoBytes } from "../../../lab/bench/size-distribution.ts";

const MIB = 1024 * 1024;

describe("sizes drawn for responses", () => {
  it("are the same for the same seed, and others for another", () => {
    expect(drawnSizes(50, 12, MIB)).toStrictEqual(drawnSizes(50, 12, MIB));
    expect(drawnSizes(50, 12, MIB)).not.toStrictEqual(drawnSizes(50, 13, MIB));
  });

  it("are many small ones and few large ones, as Pareto's distribution with k = 1,000 and α = 1 says", () => {
    expect([0, 0.5, 0.9, 0.99].map((quantile) => paretoBytes(quantile, MIB))).toStrictEqual([
      1000, 2000, 10_000, 100_000,
    ]);
    const sizes = drawnSizes(20_000, 1, MIB);
    const shareBelow = (bytes: number): number => sizes.filter((size) => size < bytes).length / sizes.length;
    expect(shareBelow(2000)).toBeCloseTo(0.5, 1);
    expect(shareBelow(10_000)).toBeCloseTo(0.9, 1);
    expect(sizes.filter((size) => size > 100_000).length).toBeGreaterThan(0);
  });

  it("are whole numbers within their bounds", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1000, max: MIB }), (seed, largest) => {
        for (const size of drawnSizes(20, seed, largest)) {
          expect(Number.isInteger(size)).toBe(true);
          expect(size).toBeGreaterThanOrEqual(1000);
          expect(size).toBeLessThanOrEqual(largest);
        }
      }),
    );
  });
});
