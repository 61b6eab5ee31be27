import * as fc from "fast-check";
import { Histogram, Registry } from "prom-client";
import type { Metric } from "prom-client";
import { describe, expect, it } from "vitest";
import { PlainHistogram } from "../../src/metrics/plain-histogram.ts";

const NAME = "test_duration_seconds";

describe("a histogram on plain numbers", () => {
  it("writes what prom-client's own histogram writes", async () => {
    const seconds = fc.oneof(
      fc.constantFrom(0, 0.1, 0.25, 0.5, 1),
      fc.double({ min: 0, max: 3, noNaN: true }),
    );
    const observation = fc.record({ side: fc.constantFrom("a", "b"), seconds });
    const spec = { name: NAME, help: "Test.", buckets: [0.1, 0.25, 1] };
    await fc.assert(
      fc.asyncProperty(fc.array(observation, { maxLength: 30 }), async (observations) => {
        const ours = new Registry();
        const plain = new PlainHistogram({
          ...spec,
          type: "histogram",
          labels: { side: { kind: "closed", values: ["a", "b"] } },
        });
        ours.registerMetric(plain as unknown as Metric);
        const theirs = new Registry();
        const reference = new Histogram({ ...spec, labelNames: ["side"], registers: [theirs] });
        for (const side of ["a", "b"]) reference.zero({ side });
        for (const { side, seconds } of observations) {
          plain.observeMs(seconds * 1_000, side);
          // The same rounding on both ways.
          reference.observe({ side }, (seconds * 1_000) / 1_000);
        }
        const lines = async (registry: Registry) => (await registry.metrics()).split("\n").sort();
        const normal = (text: readonly string[]) =>
          text.map((line) => line.replace(/le="([^"]*)",(side="[ab]")/, '$2,le="$1"'));
        expect(normal(await lines(ours)).sort()).toEqual(normal(await lines(theirs)).sort());
      }),
      { numRuns: 100 },
    );
  });

  it("does not count what is no duration, nor under a label that is not listed", async () => {
    const plain = new PlainHistogram({
      name: NAME,
      help: "Test.",
      type: "histogram",
      buckets: [1],
      labels: { side: { kind: "closed", values: ["a"] } },
    });
    plain.observeMs(Number.NaN, "a");
    plain.observeMs(Infinity, "a");
    plain.observeMs(5, "z");
    plain.observeMs(-5, "a");
    const { values } = await plain.get();
    expect(values.find(({ metricName }) => metricName.endsWith("_count"))?.value).toBe(1);
    expect(values.find(({ metricName }) => metricName.endsWith("_sum"))?.value).toBe(0);
    expect(values).toHaveLength(4);
  });
});
