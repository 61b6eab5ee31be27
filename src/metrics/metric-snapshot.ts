import { Registry } from "prom-client";
import type { Metric } from "prom-client";

/** One series at one moment. `metricName` stands for a histogram's `_bucket`, `_sum` and `_count`. */
export interface SeriesSnapshot {
  readonly metricName?: string | undefined;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A metric at one moment, as a registry gives it and as it travels between processes. */
export interface MetricSnapshot {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: readonly SeriesSnapshot[];
}

/** Every metric of a registry. Use it at once: the values may be the registry's own. */
export async function snapshotOf(registry: Registry): Promise<MetricSnapshot[]> {
  // The library declares types for what it sums up itself; these are the same objects.
  return (await registry.getMetricsAsJSON()) as unknown as MetricSnapshot[];
}

/** Snapshots in Prometheus's text format 0.0.4. */
export function textOf(snapshots: readonly MetricSnapshot[]): Promise<string> {
  const registry = new Registry();
  for (const snapshot of snapshots) {
    // A registry asks of a metric its name and `get` only; its type is a union of the library's own classes.
    registry.registerMetric({ name: snapshot.name, get: () => snapshot } as unknown as Metric);
  }
  return registry.metrics();
}
