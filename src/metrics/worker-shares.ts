import type { MetricSnapshot, SeriesSnapshot } from "./metric-snapshot.ts";
import { HOST_METRICS, METRICS, PROCESS_METRICS } from "./names.ts";
import type { MetricSpec } from "./names.ts";

/** What one worker process has counted. */
export interface WorkerShare {
  /** Its number, for a label. A replacement has that of the one before. */
  readonly worker: number;
  /** Another one for each process. */
  readonly id: number;
  /** Absent when the worker did not answer in time. */
  readonly metrics: readonly MetricSnapshot[] | undefined;
}

const SPECS: ReadonlyMap<string, MetricSpec> = new Map(
  Object.values<MetricSpec>({ ...METRICS, ...HOST_METRICS, ...PROCESS_METRICS }).map((spec) => [
    spec.name,
    spec,
  ]),
);

/**
 * Adds up what the workers have counted and what the primary has. A sum of counters never falls: a worker that does not
 * answer counts with what it said last, and so does one that is gone, for good. Its gauges are left out.
 */
export class WorkerShares {
  readonly #last = new Map<number, WorkerShare>();
  /** What processes that are gone had counted. */
  #gone: readonly MetricSnapshot[] = [];

  /** The metrics of the whole router. `shares` are of all workers that live. */
  sum(own: readonly MetricSnapshot[], shares: readonly WorkerShare[]): MetricSnapshot[] {
    const living = new Set(shares.map(({ id }) => id));
    for (const [id, { metrics = [] }] of this.#last) {
      if (living.has(id)) continue;
      this.#gone = addUp([this.#gone, counted(metrics)]);
      this.#last.delete(id);
    }
    const parts: (readonly MetricSnapshot[])[] = [this.#gone];
    const ownSeries: MetricSnapshot[] = [];
    for (const share of shares) {
      if (share.metrics) this.#last.set(share.id, share);
      const known = this.#last.get(share.id)?.metrics ?? [];
      parts.push(share.metrics ? known.filter((metric) => acrossOf(metric) === "sum") : counted(known));
      ownSeries.push(...eachOf(share.metrics ?? [], String(share.worker)));
    }
    const summed = own.map((metric) => (acrossOf(metric) === "each" ? labelled(metric, "primary") : metric));
    return addUp([summed, ownSeries, ...parts], own);
  }
}

function acrossOf({ name }: MetricSnapshot): NonNullable<MetricSpec["across"]> {
  return SPECS.get(name)?.across ?? "sum";
}

/** Counters and histograms: what may not fall. */
function counted(metrics: readonly MetricSnapshot[]): MetricSnapshot[] {
  return metrics.filter((metric) => metric.type !== "gauge" && acrossOf(metric) === "sum");
}

function eachOf(metrics: readonly MetricSnapshot[], worker: string): MetricSnapshot[] {
  return metrics.filter((metric) => acrossOf(metric) === "each").map((metric) => labelled(metric, worker));
}

function labelled(metric: MetricSnapshot, worker: string): MetricSnapshot {
  return {
    ...metric,
    values: metric.values.map((series) => ({ ...series, labels: { worker, ...series.labels } })),
  };
}

/** Series of one name and the same labels become one. Metrics and series stand in the order in which they first came. */
function addUp(
  parts: readonly (readonly MetricSnapshot[])[],
  order: readonly MetricSnapshot[] = [],
): MetricSnapshot[] {
  const metrics = new Map<
    string,
    { readonly metric: MetricSnapshot; readonly series: Map<string, SeriesSnapshot> }
  >();
  for (const metric of order) metrics.set(metric.name, { metric, series: new Map() });
  for (const metric of parts.flat()) {
    const sum = metrics.get(metric.name) ?? { metric, series: new Map<string, SeriesSnapshot>() };
    metrics.set(metric.name, sum);
    for (const one of metric.values) {
      const key = JSON.stringify([one.metricName, Object.entries(one.labels)]);
      const known = sum.series.get(key);
      sum.series.set(key, known ? { ...known, value: known.value + one.value } : one);
    }
  }
  return [...metrics.values()].map(({ metric: { name, help, type }, series }) => {
    return { name, help, type, values: [...series.values()] };
  });
}
