import { Counter, Gauge } from "prom-client";
import type { Metric, Registry } from "prom-client";
import { CounterCells } from "./counter-cells.ts";
import type { MetricSpec } from "./names.ts";
import { PlainHistogram } from "./plain-histogram.ts";

/** Sets one series of a gauge. A value that is not finite is left out. */
export type SetGauge = (value: number, labels?: Readonly<Record<string, string>>) => void;

/** Adds a counter; what is counted goes into the cells. @param zeroInitialised see {@link CounterCells}. */
export function addCounter(registry: Registry, spec: MetricSpec, zeroInitialised = true): CounterCells {
  const labels = spec.labels ?? {};
  const cells = new CounterCells(labels, zeroInitialised);
  void new Counter({
    name: spec.name,
    help: spec.help,
    labelNames: Object.keys(labels),
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels, count } of cells.cells()) this.inc({ ...labels }, count);
    },
  });
  return cells;
}

/** Adds a gauge that is read when the registry is. */
export function addGauge(registry: Registry, spec: MetricSpec, collect: (set: SetGauge) => void): void {
  void new Gauge({
    name: spec.name,
    help: spec.help,
    labelNames: Object.keys(spec.labels ?? {}),
    registers: [registry],
    collect() {
      // A series whose subject is gone must not stay; `reset` would leave a gauge without labels at 0.
      if (spec.labels === undefined) this.remove();
      else this.reset();
      collect((value, labels = {}) => {
        if (Number.isFinite(value)) this.set({ ...labels }, value);
      });
    },
  });
}

/** Adds a histogram. */
export function addHistogram(registry: Registry, spec: MetricSpec): PlainHistogram {
  const histogram = new PlainHistogram(spec);
  // A registry asks of a metric its name and `get` only; its type is a union of the library's own classes.
  registry.registerMetric(histogram as unknown as Metric);
  return histogram;
}
