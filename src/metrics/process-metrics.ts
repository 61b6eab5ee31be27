import { readdir } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge } from "prom-client";
import type { Registry } from "prom-client";
import { PROCESS_METRICS } from "./names.ts";

const SAMPLE_EVERY_MS = 20;

/** What is sampled is the time between two samples, so an idle loop shows the interval itself. */
function latenessSeconds(sampleNs: number): number {
  return Math.max(sampleNs / 1e9 - SAMPLE_EVERY_MS / 1e3, 0);
}

/**
 * Adds the process's own metrics to a registry. prom-client's default set is not used: it keeps a PerformanceObserver on
 * garbage collection alive and writes some sixty series. Returns what stops the measuring.
 */
export function addProcessMetrics(registry: Registry): () => void {
  const registers = [registry];
  const { cpu, residentMemory, startTime, openFiles } = PROCESS_METRICS;
  const { heapUsed, externalMemory, eventLoopLagP99, eventLoopLagMax } = PROCESS_METRICS;
  const startedAtSeconds = Math.round(Date.now() / 1_000 - process.uptime());
  const delay = monitorEventLoopDelay({ resolution: SAMPLE_EVERY_MS });
  delay.enable();

  void new Counter({
    ...metricText(cpu),
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  gauge(residentMemory, (set) => set(process.memoryUsage.rss()));
  gauge(startTime, (set) => set(startedAtSeconds));
  gauge(heapUsed, (set) => set(process.memoryUsage().heapUsed));
  gauge(externalMemory, (set) => set(process.memoryUsage().external));
  gauge(eventLoopLagP99, (set) => set(latenessSeconds(delay.percentile(99))));
  gauge(eventLoopLagMax, (set) => {
    set(latenessSeconds(delay.max));
    // Last of the two in the registry's order: both speak of the time since the last scrape.
    delay.reset();
  });
  void new Gauge({
    ...metricText(openFiles),
    registers,
    async collect() {
      const names = await readdir("/proc/self/fd").catch(() => undefined);
      if (names === undefined) this.remove();
      else this.set(names.length);
    },
  });
  return () => delay.disable();

  function gauge(spec: Parameters<typeof metricText>[0], read: (set: (value: number) => void) => void): void {
    void new Gauge({
      ...metricText(spec),
      registers,
      collect() {
        try {
          read((value) => this.set(value));
        } catch {
          // Node reads some of them from /proc, which fails while the process can't open a file more.
          this.remove();
        }
      },
    });
  }
}

/** The part of a specification that prom-client wants. */
function metricText({ name, help }: { readonly name: string; readonly help: string }) {
  return { name, help };
}
