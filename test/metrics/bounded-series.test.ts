import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { METRICS } from "../../src/metrics/names.ts";
import type { MetricSpec } from "../../src/metrics/names.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import type { Metrics } from "../../src/metrics/registry.ts";
import { parseExposition } from "./exposition.ts";

/** What stands on `/metrics` before anything happened, with room for a few metrics more. */
const SERIES_AT_START = 550;

/** Every label value that stands in the text must be on its label's list, and the text must be valid. */
async function checkLabels(metrics: Metrics): Promise<number> {
  const specs = new Map<string, MetricSpec>(Object.values(METRICS).map((spec) => [spec.name, spec]));
  let series = 0;
  for (const { name, samples } of parseExposition(await metrics.text())) {
    for (const { labels } of samples) {
      series += 1;
      for (const [label, value] of Object.entries(labels)) {
        const values = specs.get(name)?.labels?.[label];
        if (values?.kind === "closed") expect(values.values, `${name}{${label}}`).toContain(value);
        else expect(["le", "version", "node"], `${name}{${label}}`).toContain(label);
      }
    }
  }
  return series;
}

describe("whatever words come, the number of series has a bound", () => {
  const word = fc.oneof(
    fc.string({ unit: "binary", maxLength: 30 }),
    fc.constantFrom("__proto__", "constructor", "toString", "GET", "get", "ok", 'a"b\\c\nd', ""),
  );
  const status = fc.oneof(fc.integer({ min: 100, max: 999 }), fc.integer(), fc.double());

  it("of requests with any method, status and reason", async () => {
    const metrics = createMetrics({ version: "1", processMetrics: false });
    fc.assert(
      fc.property(word, status, word, fc.boolean(), (method, status, reason, upgraded) => {
        metrics.requestFinished({
          method,
          status,
          reason,
          durationMs: 1,
          bytesIn: 0,
          bytesOut: 0,
          upgraded,
        });
      }),
      { numRuns: 5_000 },
    );
    // GET and `_OTHER`, `ok` and `other`, each with the registered statuses and the classes.
    expect(await checkLabels(metrics)).toBeLessThan(4 * 80 + SERIES_AT_START);
  });

  it("of connections, lists, watches, objects and pushes", async () => {
    const metrics = createMetrics({ version: "1", processMetrics: false });
    fc.assert(
      fc.property(word, (any) => {
        metrics.upstream.connectFailed(any);
        metrics.watch.listed(any, 1, 1, any);
        metrics.watch.relisted(any);
        metrics.watch.watchRestarted(any);
        metrics.watch.invalidObject(any);
        metrics.peers.pushed(any);
      }),
    );
    expect(await checkLabels(metrics)).toBeLessThanOrEqual(SERIES_AT_START);
  });

  it("of routes in states that peers made up", async () => {
    const metrics = createMetrics({ version: "1", processMetrics: false });
    metrics.readFrom({
      table: () => ({
        states: new Map(Array.from({ length: 1_000 }, (_, i) => [`state-${i}`, 1])),
        hints: 0,
        reads: 0,
        doubtful: 0,
        tombstones: 0,
        idConflicts: 0,
        ipConflicts: 0,
      }),
    });
    expect(await checkLabels(metrics)).toBeLessThanOrEqual(SERIES_AT_START);
    expect(await metrics.text()).toContain('lychgate_routes{state="other"} 1000\n');
  });
});
