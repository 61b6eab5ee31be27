import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { drawnSizes } from "../../../lab/bench/size-distribution.ts";

describe("sizes drawn for responses", () => {
  it("are the same for the same seed, and others for another", () => {
    expect(drawnSizes(50, 12)).toStrictEqual(drawnSizes(50, 12));
    expect(drawnSizes(50, 12)).not.toStrictEqual(drawnSizes(50, 13));
  });

  it("are many small ones and few large ones, in the shares of SPECweb99", () => {
    const sizes = drawnSizes(50_000, 1);
    const share = (from: number, to: number): number =>
      sizes.filter((size) => size >= from && size <= to).length / sizes.length;
    expect(share(100, 900)).toBeCloseTo(0.35, 1);
    expect(share(1000, 9000)).toBeCloseTo(0.5, 1);
    expect(share(10_000, 90_000)).toBeCloseTo(0.14, 1);
    expect(share(100_000, 900_000)).toBeCloseTo(0.01, 2);
    expect(share(100_000, 900_000)).toBeGreaterThan(0.005);
    expect(share(100, 900_000)).toBe(1);
  });

  it("are whole numbers within their bounds", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 100, max: 1_000_000 }), (seed, largest) => {
        for (const size of drawnSizes(20, seed, largest)) {
          expect(Number.isInteger(size)).toBe(true);
          expect(size).toBeGreaterThanOrEqual(100);
          expect(size).toBeLessThanOrEqual(largest);
        }
      }),
    );
  });
});
