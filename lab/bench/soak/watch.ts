import { readdirSync } from "node:fs";
import type { LoadTally } from "../load-tally.ts";
import { coreBusyUs, processFigures } from "../process-figures.ts";
import type { SoakSample } from "./verdict.ts";

const SCRAPE_TIMEOUT_MS = 10_000;

/** What is watched. */
export interface Subject {
  readonly pid: number;
  readonly adminPort: number;
  /** The core that it is pinned to. */
  readonly core: number;
  /** Its requests. */
  readonly tally: LoadTally;
}

/** Takes the samples of a soak, whose time began with it. */
export class Watch {
  readonly #subject: Subject;
  readonly #startedMs = performance.now();
  #lastMs = this.#startedMs;
  #lastCpuUs: number;
  #lastBusyUs: number;

  constructor(subject: Subject) {
    this.#subject = subject;
    this.#lastCpuUs = processFigures(subject.pid).cpuUs;
    this.#lastBusyUs = coreBusyUs(subject.core);
  }

  /**
   * Reads a sample, and forgets the latencies so far. A figure that the metrics lack is NaN. Rejects when
   * `/metrics` does not answer.
   */
  async sample(): Promise<SoakSample> {
    const { pid, adminPort, core, tally } = this.#subject;
    const metrics = await scrape(adminPort);
    const [p50Ms, p99Ms, p999Ms] = [0.5, 0.99, 0.999].map((share) => tally.latencies.quantile(share) / 1000);
    const requests = tally.latencies.count();
    tally.startMeasuring();
    const { cpuUs, residentBytes } = processFigures(pid);
    const busyUs = coreBusyUs(core);
    const nowMs = performance.now();
    const othersUs = busyUs - this.#lastBusyUs - (cpuUs - this.#lastCpuUs);
    const othersShare = Math.min(1, Math.max(0, othersUs / 1000 / (nowMs - this.#lastMs)));
    this.#lastMs = nowMs;
    this.#lastCpuUs = cpuUs;
    this.#lastBusyUs = busyUs;
    return {
      atMs: nowMs - this.#startedMs,
      residentBytes,
      heapBytes: gauge(metrics, "nodejs_heap_size_used_bytes"),
      openFiles: openFiles(pid),
      lagP99Ms: gauge(metrics, "nodejs_eventloop_lag_p99_seconds") * 1000,
      lagMaxMs: gauge(metrics, "nodejs_eventloop_lag_max_seconds") * 1000,
      requests,
      p50Ms: p50Ms ?? Number.NaN,
      p99Ms: p99Ms ?? Number.NaN,
      p999Ms: p999Ms ?? Number.NaN,
      othersShare,
    };
  }
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
