import type { MetricSpec } from "./names.ts";

/** The counts of one series of a histogram. */
interface Buckets {
  readonly labels: Readonly<Record<string, string>>;
  /** Not cumulative; the last is for values above every bound. */
  readonly counts: number[];
  sum: number;
}

/** What a registry asks of a histogram. */
interface HistogramSnapshot {
  readonly name: string;
  readonly help: string;
  readonly type: "histogram";
  readonly aggregator: "sum";
  readonly values: readonly {
    readonly metricName: string;
    readonly labels: Readonly<Record<string, string | number>>;
    readonly value: number;
  }[];
}

/**
 * A histogram on plain numbers. An observation costs a short search and two additions; prom-client's own costs ten
 * times as much, which the request path would feel. A registry sees it through `get`, as it does any metric.
 */
export class PlainHistogram {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly aggregator = "sum";
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, Buckets>();

  /** Makes every series at once. @param spec at most one label, of a closed list. */
  constructor(spec: MetricSpec) {
    this.name = spec.name;
    this.help = spec.help;
    this.#bounds = spec.buckets ?? [];
    const [label] = Object.entries(spec.labels ?? {});
    if (label === undefined) this.#addSeries("", {});
    else if (label[1].kind === "closed") {
      for (const value of label[1].values) this.#addSeries(value, { [label[0]]: value });
    }
  }

  /**
   * Counts one duration. `labelValue` is one of the label's list, `""` when there is no label; another is not counted,
   * nor is a duration that is not a number. A negative one counts as 0.
   */
  observeMs(durationMs: number, labelValue = ""): void {
    const series = this.#series.get(labelValue);
    if (series === undefined || !Number.isFinite(durationMs)) return;
    const seconds = Math.max(durationMs, 0) / 1_000;
    let index = 0;
    while (index < this.#bounds.length && seconds > (this.#bounds[index] ?? 0)) index += 1;
    series.counts[index] = (series.counts[index] ?? 0) + 1;
    series.sum += seconds;
  }

  /** What a registry writes: cumulative buckets, sum and count. */
  get(): Promise<HistogramSnapshot> {
    const values: HistogramSnapshot["values"][number][] = [];
    for (const { labels, counts, sum } of this.#series.values()) {
      let total = 0;
      counts.forEach((count, index) => {
        total += count;
        const le = this.#bounds[index] ?? "+Inf";
        values.push({ metricName: `${this.name}_bucket`, labels: { ...labels, le }, value: total });
      });
      values.push({ metricName: `${this.name}_sum`, labels, value: sum });
      values.push({ metricName: `${this.name}_count`, labels, value: total });
    }
    const { name, help, type, aggregator } = this;
    return Promise.resolve({ name, help, type, aggregator, values });
  }

  /** Forgets everything that was counted; registries call it. */
  reset(): void {
    for (const series of this.#series.values()) {
      series.counts.fill(0);
      series.sum = 0;
    }
  }

  #addSeries(key: string, labels: Readonly<Record<string, string>>): void {
    this.#series.set(key, {
      labels,
      counts: Array.from({ length: this.#bounds.length + 1 }, () => 0),
      sum: 0,
    });
  }
}
