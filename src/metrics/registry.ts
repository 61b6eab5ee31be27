import { Registry } from "prom-client";
import { systemClock } from "../system/clock.ts";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { addCounter, addGauge, addHistogram } from "./add-to-registry.ts";
import { addFactMetrics, type FactMetrics } from "./fact-metrics.ts";
import { snapshotOf, textOf } from "./metric-snapshot.ts";
import type { MetricSnapshot } from "./metric-snapshot.ts";
import type { MetricSources } from "./metric-sources.ts";
import { METRICS } from "./names.ts";
import { createNodeMetrics } from "./node-metrics.ts";
import type { NodeMetrics } from "./node-metrics.ts";
import { addProcessMetrics } from "./process-metrics.ts";
import { addTrafficMetrics, type TrafficMetrics } from "./traffic-metrics.ts";
import { WorkerShares } from "./worker-shares.ts";
import type { WorkerShare } from "./worker-shares.ts";

/** Options of {@link createMetrics}. */
export interface MetricsOptions {
  /** Lychgate's version, for `lychgate_build_info`. */
  readonly version: string;
  /** Defaults to the machine's own clock. */
  readonly clock?: Clock;
  /** Add the process's own metrics. Defaults to true. */
  readonly processMetrics?: boolean;
}

/**
 * Everything that Lychgate counts. The groups have the shape of the observers that its parts call, so that they can be
 * handed over as they are; each method is synchronous, quick and never throws, and takes words and numbers only. A
 * word that is not on its label's list counts as `other` (see `names.ts`).
 */
export interface Metrics extends TrafficMetrics, FactMetrics {
  /** Worker processes. */
  readonly workers: {
    batchSent(): void;
    applied(lagMs: Milliseconds): void;
    lagging(worker: number): void;
    /** `end` is a word of `worker_restarts_total{end}`. */
    replaced(end: string): void;
    metricsMissed(): void;
  };
  /** Told of each reload of the configuration; `result` is a word of `config_reloads_total{result}`. */
  readonly configReloaded: (result: "success" | "failure") => void;
  /** Kernel routes of the node. */
  readonly node: NodeMetrics;
  /** Says where gauges are read from now on; adds to what earlier calls said. */
  readFrom(sources: MetricSources): void;
  /** `/metrics` in Prometheus's text format 0.0.4. At most a second old: two scrapers cost as much as one. */
  text(): Promise<string>;
  /** All metrics of this process by value: what a worker tells its primary. */
  snapshot(): Promise<MetricSnapshot[]>;
  /**
   * The named metrics of the router by value: what {@link Metrics.text} has of them, this moment's. Reads no other, so
   * that gauges of the time since the last scrape stay whole.
   */
  read(names: readonly string[]): Promise<MetricSnapshot[]>;
  /** In a primary: {@link Metrics.text} is the sum of this process and what `ask` says of all living workers. */
  addWorkers(ask: AskWorkers): void;
  /** The media type of {@link Metrics.text}. */
  readonly contentType: string;
  /** Stops measuring the process. */
  close(): void;
}

/** Asks all living workers for the named metrics, or for all. */
type AskWorkers = (names?: readonly string[]) => Promise<readonly WorkerShare[]>;

const TEXT_CACHE_MS = 1_000;

/**
 * Makes the metrics, every closed label set at zero.
 *
 * @example
 * ```ts
 * import { createMetrics } from "./registry.ts";
 *
 * const metrics = createMetrics({ version: "1.2.3", processMetrics: false });
 * metrics.clientConnectionRefused("address");
 * console.log((await metrics.text()).match(/^lychgate_client_connections_refused_total.*address.*$/m)?.[0]);
 * // lychgate_client_connections_refused_total{reason="address"} 1
 * metrics.close();
 * ```
 */
export function createMetrics(options: MetricsOptions): Metrics {
  const { version, clock = systemClock, processMetrics = true } = options;
  const registry = new Registry();
  let sources: MetricSources = {};
  const traffic = addTrafficMetrics(registry, () => sources);
  const facts = addFactMetrics(registry, () => sources, clock);

  addGauge(registry, METRICS.workersWanted, (set) => set(sources.workers?.().wanted ?? 0));
  addGauge(registry, METRICS.workersReady, (set) => set(sources.workers?.().ready ?? 0));
  const workerRestarts = addCounter(registry, METRICS.workerRestarts);
  addGauge(registry, METRICS.workerRouteLag, (set) => {
    for (const { worker, lagMs } of sources.workers?.().lags ?? []) {
      set(lagMs / 1_000, { worker: String(worker) });
    }
  });
  const workerLags = addCounter(registry, METRICS.workerLags);
  const workerApplyDuration = addHistogram(registry, METRICS.workerApplyDuration);
  const workerBatches = addCounter(registry, METRICS.workerBatches);
  const workerMetricsMissed = addCounter(registry, METRICS.workerMetricsMissed);

  addGauge(registry, METRICS.ready, (set) => set((sources.ready?.() ?? false) ? 1 : 0));
  const configReloads = addCounter(registry, METRICS.configReloads);
  let configReadAtMs = clock.nowMs();
  let lastReloadSucceeded = true;
  addGauge(registry, METRICS.configLastReloadSuccessful, (set) => set(lastReloadSucceeded ? 1 : 0));
  addGauge(registry, METRICS.configLastReloadSuccess, (set) => set(configReadAtMs / 1_000));
  addGauge(registry, METRICS.buildInfo, (set) => set(1, { version, node: process.version }));
  const stopProcessMetrics = processMetrics ? addProcessMetrics(registry) : () => {};

  let askWorkers: AskWorkers | undefined;
  /** Of what is read by name: beside those of the scrapes, which must know all that a worker had counted when it ends. */
  const sharesRead = new WorkerShares();
  const shares = new WorkerShares();
  const makeText = async (): Promise<string> => {
    if (!askWorkers) return registry.metrics();
    const told = await askWorkers();
    return textOf(shares.sum(await snapshotOf(registry), told));
  };

  return {
    ...traffic,
    ...facts,
    workers: {
      batchSent: () => workerBatches.add(1),
      applied: (lagMs) => workerApplyDuration.observeMs(lagMs),
      lagging: (worker) => workerLags.add(1, String(worker)),
      replaced: (end) => workerRestarts.add(1, end),
      metricsMissed: () => workerMetricsMissed.add(1),
    },
    configReloaded(result) {
      configReloads.add(1, result);
      lastReloadSucceeded = result === "success";
      if (lastReloadSucceeded) configReadAtMs = clock.nowMs();
    },
    node: createNodeMetrics(registry),
    readFrom: (more) => void (sources = { ...sources, ...more }),
    text: cached(makeText, clock),
    snapshot: () => snapshotOf(registry),
    async read(names) {
      const own = await Promise.all(
        names.flatMap((name) => {
          const metric = registry.getSingleMetric(name);
          return metric ? [metric.get() as unknown as Promise<MetricSnapshot>] : [];
        }),
      );
      if (!askWorkers) return own;
      return sharesRead.sum(own, await askWorkers(names));
    },
    addWorkers: (ask) => void (askWorkers = ask),
    contentType: registry.contentType,
    close: stopProcessMetrics,
  };
}

/** Makes the text at most once a second; all who ask meanwhile get the same. A failure is not kept. */
function cached(make: () => Promise<string>, clock: Clock): () => Promise<string> {
  let text: Promise<string> | undefined;
  let madeAtMs = 0;
  return () => {
    const nowMs = clock.monotonicMs();
    if (text === undefined || nowMs - madeAtMs >= TEXT_CACHE_MS) {
      madeAtMs = nowMs;
      const made = make();
      text = made;
      made.catch(() => {
        if (text === made) text = undefined;
      });
    }
    return text;
  };
}
