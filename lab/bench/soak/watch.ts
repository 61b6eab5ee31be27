import { readdirSync } from "node:fs";
import type { LoadTally } from "../load-tally.ts";
import { processFigures } from "../process-figures.ts";
import type { SoakSample } from "./verdict.ts";

const SCRAPE_TIMEOUT_MS = 10_000;

/**
 * Reads one sample of the process `pid` and of the load, and forgets the latencies so far. A figure that the metrics
 * lack is NaN. Rejects when `/metrics` does not answer.
 */
export async function takeSample(
  pid: number,
  adminPort: number,
  tally: LoadTally,
  atMs: number,
): Promise<SoakSample> {
  const metrics = await scrape(adminPort);
  const [p50Ms, p99Ms, p999Ms] = [0.5, 0.99, 0.999].map((share) => tally.latencies.quantile(share) / 1000);
  const requests = tally.latencies.count();
  tally.startMeasuring();
  return {
    atMs,
    residentBytes: processFigures(pid).residentBytes,
    heapBytes: gauge(metrics, "nodejs_heap_size_used_bytes"),
    openFiles: openFiles(pid),
    lagP99Ms: gauge(metrics, "nodejs_eventloop_lag_p99_seconds") * 1000,
    lagMaxMs: gauge(metrics, "nodejs_eventloop_lag_max_seconds") * 1000,
    requests,
    p50Ms: p50Ms ?? Number.NaN,
    p99Ms: p99Ms ?? Number.NaN,
    p999Ms: p999Ms ?? Number.NaN,
  };
}

async function scrape(adminPort: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`, {
    signal: AbortSignal.timeout(SCRAPE_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`/metrics answered ${response.status}`);
  return response.text();
}

/** The value of a metric without labels in Prometheus' text format; NaN when it is not there. */
export function gauge(metrics: string, name: string): number {
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, "m").exec(metrics)?.[1] ?? Number.NaN);
}

function openFiles(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return Number.NaN;
  }
}
