import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createHistogram } from "../../../lab/bench/histogram.ts";

describe("the benchmark's latency histogram", () => {
  it("has the exact quantiles of small latencies", () => {
    const histogram = createHistogram();
    for (let us = 1; us <= 50; us += 1) histogram.record(us);
    expect(histogram.count()).toBe(50);
    expect(histogram.quantile(0.5)).toBe(25);
    expect(histogram.quantile(0.99)).toBe(50);
    expect(histogram.quantile(1)).toBe(50);
  });

  it("is never below the true quantile, and at most 1/64 above it", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 10_000_000 }), { minLength: 1, maxLength: 200 }),
        fc.constantFrom(0.01, 0.5, 0.9, 0.99, 0.999, 1),
        (latencies, share) => {
          const histogram = createHistogram();
          for (const each of latencies) histogram.record(each);
          const sorted = latencies.toSorted((a, b) => a - b);
          const truth = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1]!;
          const said = histogram.quantile(share);
          expect(said).toBeGreaterThanOrEqual(truth);
          expect(said).toBeLessThanOrEqual(truth + truth / 64);
        },
      ),
    );
  });

  it("keeps latencies beyond its range at its ends", () => {
    const histogram = createHistogram();
    histogram.record(-5);
    histogram.record(1e12);
    expect(histogram.quantile(0.5)).toBe(0);
    expect(histogram.quantile(1)).toBe(2 ** 30 - 1);
  });

  it("is empty at first and after a reset", () => {
    const histogram = createHistogram();
    expect(histogram.quantile(0.99)).toBe(0);
    histogram.record(7);
    histogram.reset();
    expect(histogram.count()).toBe(0);
    expect(histogram.quantile(0.99)).toBe(0);
  });
});
