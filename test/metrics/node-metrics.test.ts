import { describe, expect, it } from "vitest";
import { hostMetricsText } from "../../src/metrics/node-metrics.ts";
import { HOST_METRICS } from "../../src/metrics/names.ts";
import type { MetricSpec } from "../../src/metrics/names.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import { parseExposition } from "./exposition.ts";

const SPECS: readonly MetricSpec[] = Object.values(HOST_METRICS);

describe("metrics of the node's kernel routes", () => {
  it("a router that looks after none of them shows none", async () => {
    const text = await createMetrics({ version: "1", processMetrics: false }).text();
    for (const { name } of SPECS) expect(text).not.toContain(name);
  });

  it("a group's series are there, whole, from its first use on", async () => {
    const metrics = createMetrics({ version: "1", processMetrics: false });
    metrics.node.overlap.checked({ verdictCounts: { ok: 3, overlap: 1 }, strict: true, atMs: 1_500 });
    const text = await metrics.text();
    expect(text).toContain('lychgate_node_overlap_cidrs{verdict="ok"} 3\n');
    expect(text).toContain('lychgate_node_overlap_cidrs{verdict="overlap"} 1\n');
    expect(text).toContain('lychgate_node_overlap_cidrs{verdict="no_default"} 0\n');
    expect(text).toContain("lychgate_node_overlap_strict 1\n");
    expect(text).toContain("lychgate_node_overlap_last_check_timestamp_seconds 1.5\n");
    expect(text).toContain('lychgate_node_overlap_checks_total{result="ok"} 1\n');
    expect(text).toContain('lychgate_node_overlap_checks_total{result="failed"} 0\n');
    expect(text).not.toMatch(/lychgate_anycast|lychgate_node_static/);
    parseExposition(text);
  });

  it("a check that fails leaves what the last one found, and nothing before the first", async () => {
    const { metrics, text } = hostMetricsText();
    metrics.overlap.failed();
    expect(await text()).toContain('lychgate_node_overlap_checks_total{result="failed"} 1\n');
    expect(await text()).not.toContain("lychgate_node_overlap_strict 0");
    metrics.overlap.checked({ verdictCounts: { unreachable: 2 }, strict: false, atMs: 1 });
    metrics.overlap.failed();
    expect(await text()).toContain('lychgate_node_overlap_cidrs{verdict="unreachable"} 2\n');
    expect(await text()).toContain("lychgate_node_overlap_strict 0\n");
  });

  it("a command's text is valid and holds every metric, each with the values that its label lists", async () => {
    const { metrics, text, contentType } = hostMetricsText();
    metrics.overlap.checked({ verdictCounts: {}, strict: false, atMs: 1 });
    metrics.staticRoutes.counted({ present: 2, missing: 1 });
    metrics.staticRoutes.changed("added");
    metrics.anycast.addresses({ announced: 1 });
    metrics.anycast.backends({ eligible: 2, terminating: 1 });
    metrics.anycast.reconciled(true, 20);
    metrics.anycast.reconciled(false, 20);
    metrics.anycast.changed("announce");
    metrics.anycast.drifted();
    metrics.anycast.birdConfigured("ok");
    metrics.anycast.withdrawn(7);
    const families = parseExposition(await text());
    const told = families.map(({ name, type, help }) => ({ name, type, help }));
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
    expect(told.sort(byName)).toEqual(
      SPECS.map(({ name, type, help }) => ({ name, type, help })).sort(byName),
    );
    for (const { name, type, labels = {} } of SPECS) {
      const count = type === "histogram" ? `${name}_count` : name;
      const samples = families.flatMap((family) => family.samples).filter((sample) => sample.name === count);
      const sets = Object.values(labels).map((values) =>
        values.kind === "closed" ? values.values.length : 0,
      );
      expect(samples.length, name).toBe(sets.reduce((all, one) => all * one, 1));
    }
    expect(await text()).toContain('lychgate_anycast_withdraw_duration_seconds_bucket{le="0.01"} 1\n');
    expect(await text()).toContain('lychgate_anycast_reconciles_total{result="failed"} 1\n');
    expect(await text()).toContain('lychgate_node_static_routes{state="wrong"} 0\n');
    expect(contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
  });
});
