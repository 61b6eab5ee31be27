import type { TrafficReading } from "../admin/traffic-sampler.ts";
import type { MetricSnapshot, SeriesSnapshot } from "../metrics/metric-snapshot.ts";
import { METRICS, PROCESS_METRICS } from "../metrics/names.ts";

/** The metrics that {@link trafficReadingOf} makes a reading of. */
export const READING_METRICS: readonly string[] = [
  METRICS.requests,
  METRICS.requestDuration,
  METRICS.requestBytes,
  METRICS.responseBytes,
  METRICS.requestsInFlight,
  METRICS.upgradesOpen,
  METRICS.clientConnectionsOpen,
  METRICS.upstreamConnectionsOpen,
  METRICS.upstreamWedges,
  METRICS.watchSinkFailures,
  METRICS.routeMutations,
  METRICS.resurrectionAttempts,
  METRICS.peerPushes,
  METRICS.tableFactsDropped,
  METRICS.workerRouteLag,
  PROCESS_METRICS.cpu,
  PROCESS_METRICS.residentMemory,
].map(({ name }) => name);

/** What the status page makes traffic and churn of, from the metrics' values: those of all processes together. */
export function trafficReadingOf(metrics: readonly MetricSnapshot[]): TrafficReading {
  const byName = new Map(metrics.map((metric) => [metric.name, metric.values]));
  const series = ({ name }: { readonly name: string }): readonly SeriesSnapshot[] => byName.get(name) ?? [];
  const total = (spec: { readonly name: string }): number =>
    series(spec).reduce((sum, { value }) => sum + value, 0);
  const by = (spec: { readonly name: string }, ...labels: readonly string[]): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const { labels: values, value } of series(spec)) {
      const name = labels.map((label) => values[label]).join(" ");
      counts.set(name, (counts.get(name) ?? 0) + value);
    }
    return counts;
  };
  const bucket = `${METRICS.requestDuration.name}_bucket`;
  return {
    requests: by(METRICS.requests, "reason"),
    durations: series(METRICS.requestDuration)
      .filter(({ metricName, labels }) => metricName === bucket && labels["answered_by"] === "pod")
      .map(({ labels: { le }, value }) => ({
        boundSeconds: le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le),
        count: value,
      })),
    bytesIn: total(METRICS.requestBytes),
    bytesOut: total(METRICS.responseBytes),
    inFlight: total(METRICS.requestsInFlight),
    upgrades: total(METRICS.upgradesOpen),
    clientConnections: total(METRICS.clientConnectionsOpen),
    podConnections: total(METRICS.upstreamConnectionsOpen),
    mutations: by(METRICS.routeMutations, "source", "outcome"),
    resurrections: by(METRICS.resurrectionAttempts, "source", "guard"),
    pushes: by(METRICS.peerPushes, "result"),
    dropped: by(METRICS.tableFactsDropped, "kind", "reason"),
    bugs: total(METRICS.upstreamWedges) + total(METRICS.watchSinkFailures),
    processes: processesOf(
      by(PROCESS_METRICS.cpu, "worker"),
      by(PROCESS_METRICS.residentMemory, "worker"),
      by(METRICS.workerRouteLag, "worker"),
    ),
  };
}

/** Without workers there is one process, whose series have no label. */
function processesOf(
  cpuSeconds: ReadonlyMap<string, number>,
  memoryBytes: ReadonlyMap<string, number>,
  lagSeconds: ReadonlyMap<string, number>,
): TrafficReading["processes"] {
  const workers = new Set([...memoryBytes.keys(), ...cpuSeconds.keys(), ...lagSeconds.keys()]);
  return [...workers].map((worker) => {
    const lag = lagSeconds.get(worker);
    return {
      name: worker === "" ? "router" : /^\d+$/.test(worker) ? `worker ${worker}` : worker,
      memoryBytes: memoryBytes.get(worker),
      cpuSeconds: cpuSeconds.get(worker),
      lagMs: lag === undefined ? undefined : lag * 1_000,
    };
  });
}
