import { afterEach, expect, test } from "vitest";
import { createMetrics } from "../../src/metrics/registry.ts";
import type { Metrics } from "../../src/metrics/registry.ts";
import type { WorkerShare } from "../../src/metrics/worker-shares.ts";
import { labelsKey, parseExposition } from "./exposition.ts";

// One scrape of the primary shows what all processes have counted.

const started: Metrics[] = [];
afterEach(() => {
  for (const metrics of started.splice(0)) metrics.close();
});

function start(): Metrics {
  // No time stands between two scrapes here: the text must be made anew.
  let ms = 0;
  const clock = {
    nowMs: () => 0,
    monotonicMs: () => (ms += 10_000),
    setTimeout: () => ({ clear() {} }),
  };
  const metrics = createMetrics({ version: "1.2.3", clock });
  started.push(metrics);
  return metrics;
}

const request = {
  method: "GET",
  status: 200,
  reason: "ok",
  durationMs: 2,
  firstByteMs: 1,
  bytesIn: 3,
  bytesOut: 1_000,
};

/** A primary with two workers, and what a scrape says. */
function setUp() {
  const primary = start();
  const workers = [start(), start()];
  for (const [index, worker] of workers.entries()) {
    worker.readFrom({ requestsInFlight: () => index + 1 });
  }
  primary.readFrom({
    table: () => ({
      states: new Map([["running", 7]]),
      hints: 1,
      reads: 0,
      doubtful: 0,
      tombstones: 2,
      idConflicts: 0,
      ipConflicts: 0,
    }),
    ready: () => true,
    workers: () => ({ wanted: 2, ready: 2, lags: [{ worker: 0, lagMs: 1_500 }] }),
  });
  let ask: () => Promise<WorkerShare[]> = () =>
    Promise.all(
      workers.map(async (worker, index) => {
        // As through the channel: by value.
        const metrics = structuredClone(await worker.snapshot());
        return { worker: index, id: 100 + index, metrics };
      }),
    );
  const askAll = ask;
  primary.addWorkers(() => ask());
  const valueOf = async (name: string, labels: Record<string, string> = {}) => {
    const samples = parseExposition(await primary.text()).flatMap((family) => family.samples);
    return samples.find((each) => each.name === name && labelsKey(each.labels) === labelsKey(labels))?.value;
  };
  return { primary, workers, valueOf, askAll, askBy: (other: typeof ask) => void (ask = other) };
}

const OK = { method: "GET", code: "200", reason: "ok" };

test("counters, histograms and gauges of traffic are sums over all processes", async () => {
  const { workers, valueOf } = setUp();
  workers[0]?.requestFinished(request);
  workers[1]?.requestFinished(request);
  workers[1]?.requestFinished({ ...request, status: 502, reason: "sandbox_not_found" });
  expect(await valueOf("lychgate_requests_total", OK)).toBe(2);
  expect(
    await valueOf("lychgate_requests_total", { method: "GET", code: "502", reason: "sandbox_not_found" }),
  ).toBe(1);
  expect(await valueOf("lychgate_request_duration_seconds_count", { answered_by: "pod" })).toBe(2);
  expect(
    await valueOf("lychgate_request_duration_seconds_bucket", { answered_by: "pod", le: "0.0025" }),
  ).toBe(2);
  expect(await valueOf("lychgate_requests_in_flight")).toBe(3);
});

test("the table is the primary's, a build is one build, and each process has a series of its own", async () => {
  const { valueOf } = setUp();
  expect(await valueOf("lychgate_routes", { state: "running" })).toBe(7);
  expect(await valueOf("lychgate_ready")).toBe(1);
  expect(await valueOf("lychgate_build_info", { version: "1.2.3", node: process.version })).toBe(1);
  expect(await valueOf("lychgate_workers_wanted")).toBe(2);
  expect(await valueOf("lychgate_worker_route_lag_seconds", { worker: "0" })).toBe(1.5);
  for (const worker of ["primary", "0", "1"]) {
    expect(await valueOf("process_resident_memory_bytes", { worker })).toBeGreaterThan(1e6);
  }
  expect(await valueOf("process_resident_memory_bytes")).toBeUndefined();
});

test("a worker that does not answer, or that is gone, does not make a counter fall", async () => {
  const { workers, valueOf, askAll, askBy } = setUp();
  const seconds = () => valueOf("lychgate_request_duration_seconds_sum", { answered_by: "pod" });
  workers[0]?.requestFinished(request);
  workers[1]?.requestFinished(request);
  expect(await valueOf("lychgate_requests_total", OK)).toBe(2);
  askBy(async () => {
    const silent = { worker: 1, id: 101, metrics: undefined };
    return [...(await askAll()).slice(0, 1), silent];
  });
  expect(await valueOf("lychgate_requests_total", OK)).toBe(2);
  // How many requests it has under way nobody knows.
  expect(await valueOf("lychgate_requests_in_flight")).toBe(1);
  askBy(async () => (await askAll()).filter(({ worker }) => worker === 0));
  expect(await valueOf("lychgate_requests_total", OK)).toBe(2);
  expect(await seconds()).toBeCloseTo(0.004);
  // Another process takes its place and begins at 0.
  const replacement = start();
  replacement.requestFinished(request);
  const share = { worker: 1, id: 200, metrics: await replacement.snapshot() };
  askBy(async () => [...(await askAll()).filter(({ worker }) => worker === 0), share]);
  expect(await valueOf("lychgate_requests_total", OK)).toBe(3);
  expect(await valueOf("lychgate_requests_total", OK)).toBe(3);
  askBy(async () => []);
  expect(await valueOf("lychgate_requests_total", OK)).toBe(3);
  expect(await seconds()).toBeCloseTo(0.006);
});
