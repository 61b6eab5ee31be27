import { expect, test } from "vitest";
import { type TrafficReading, TrafficSampler } from "../../src/admin/traffic-sampler.ts";
import type { Clock } from "../../src/system/clock.ts";

/** Counters that a test moves, and a clock that it turns. */
function scene() {
  let nowMs = 0;
  const timers = new Set<{ atMs: number; run: () => void }>();
  const clock: Clock = {
    nowMs: () => 1_000_000 + nowMs,
    monotonicMs: () => nowMs,
    setTimeout(run, delayMs) {
      const timer = { atMs: nowMs + delayMs, run };
      timers.add(timer);
      return { clear: () => void timers.delete(timer) };
    },
  };
  let reads = 0;
  const counts = { ok: 0, notFound: 0, refused: 0, fast: 0, slow: 0, applied: 0, stale: 0, cpu: 0 };
  const read = async (): Promise<TrafficReading> => {
    reads++;
    const { ok, notFound, refused, fast, slow, applied, stale, cpu } = counts;
    return {
      requests: new Map([
        ["ok", ok],
        ["sandbox_not_found", notFound],
        ["upstream_refused", refused],
      ]),
      durations: [
        { boundSeconds: 0.01, count: fast },
        { boundSeconds: 0.1, count: fast + slow },
        { boundSeconds: Number.POSITIVE_INFINITY, count: fast + slow },
      ],
      bytesIn: 0,
      bytesOut: ok * 100,
      inFlight: 3,
      upgrades: 1,
      clientConnections: 5,
      podConnections: 4,
      mutations: new Map([
        ["informer applied", applied],
        ["peer ignored_stale", stale],
      ]),
      resurrections: new Map([["peer watermark", stale]]),
      pushes: new Map(),
      dropped: new Map(),
      bugs: 0,
      processes: [{ name: "router", memoryBytes: 1, cpuSeconds: cpu }],
    };
  };
  const sampler = new TrafficSampler({ read, clock });
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  };
  return {
    sampler,
    counts,
    reads: () => reads,
    settle,
    async pass(ms: number): Promise<void> {
      const untilMs = nowMs + ms;
      for (;;) {
        const [next] = [...timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
        if (!next) break;
        timers.delete(next);
        nowMs = next.atMs;
        next.run();
        await settle();
      }
      nowMs = untilMs;
    },
  };
}

test("rates, failures, latencies and CPU of what grew between two samples", async () => {
  const { sampler, counts, pass, settle } = scene();
  sampler.start();
  await settle();
  for (let second = 0; second < 10; second++) {
    counts.ok += 100;
    counts.fast += 98;
    counts.slow += 2;
    counts.notFound += 5;
    counts.refused += 1;
    counts.applied += 20;
    counts.stale += 4;
    counts.cpu += 0.25;
    await pass(1_000);
  }
  const { now, points, reasons, churn, stopped } = sampler.view();
  expect(now).toMatchObject({
    requestsPerSecond: 106,
    failuresPerSecond: 1,
    bytesOutPerSecond: 10_000,
    inFlight: 3,
    upgrades: 1,
    requests: 1_060,
    stopped: 40,
  });
  // Half of 1,000 answers lie in the first bucket of 980, evenly by assumption; the 990th halfway into the second.
  expect(now.p50Ms).toBeCloseTo(10 * (500 / 980), 2);
  expect(now.p99Ms).toBeCloseTo(10 + 90 * (10 / 20), 2);
  expect(points).toHaveLength(10);
  expect(points.at(-1)).toMatchObject({
    answered: 100,
    refused: 5,
    failed: 1,
    informer: 20,
    peer: 4,
    ignored: 4,
  });
  expect(points.at(-1)?.atMs).toBe(1_010_000);
  expect(sampler.view(1_008_000).points.map(({ atMs }) => atMs)).toEqual([1_009_000, 1_010_000]);
  expect(reasons.map(({ name, total }) => [name, total])).toEqual([
    ["ok", 1_000],
    ["sandbox_not_found", 50],
    ["upstream_refused", 10],
  ]);
  expect(churn[0]).toMatchObject({ name: "informer applied", total: 200, perSecond: 20 });
  expect(stopped).toMatchObject([{ name: "peer watermark", total: 40 }]);
  expect(sampler.processes()).toMatchObject([{ name: "router", cpu: 0.25 }]);
  expect(sampler.failuresInLastMinute()).toBe(10);
  sampler.stop();
});

test("points are a second apart whether anybody looks or not, so that a chart does not change by being looked at", async () => {
  const { sampler, counts, reads, pass, settle } = scene();
  sampler.start();
  await settle();
  // Churn that comes in bursts: five facts every fifth second.
  const seconds = async (count: number): Promise<void> => {
    for (let second = 0; second < count; second++) {
      if (second % 5 === 0) counts.applied += 5;
      await pass(1_000);
    }
  };
  await seconds(60);
  for (let look = 0; look < 20; look++) {
    await sampler.fresh();
    await seconds(1);
  }
  const { points } = sampler.view();
  const apart = points.slice(1).map(({ atMs }, index) => atMs - (points[index]?.atMs ?? 0));
  expect(new Set(apart)).toEqual(new Set([1_000]));
  expect(points.slice(0, 60).map(({ informer }) => informer)).toEqual(
    Array.from({ length: 60 }, (_, second) => (second % 5 === 0 ? 5 : 0)),
  );
  // Who looks reads no counters a second time.
  expect(reads()).toBe(81);
  sampler.stop();
  await pass(60_000);
  expect(reads()).toBe(81);
});

test("who asks before the first sample, or after a pause of the process, gets a sample of that moment", async () => {
  const { sampler, reads } = scene();
  await sampler.fresh();
  expect(reads()).toBe(1);
  expect(sampler.reading).toBeDefined();
  await sampler.fresh();
  expect(reads()).toBe(1);
  sampler.stop();
});

test("keeps five minutes and no more", async () => {
  const { sampler, pass, settle } = scene();
  sampler.start();
  await settle();
  await pass(20 * 60_000);
  const { points } = sampler.view();
  expect(points.length).toBeLessThanOrEqual(320);
  expect(points.at(-1)!.atMs - points[0]!.atMs).toBeGreaterThan(290_000);
  sampler.stop();
});

test("before the first sample, and with counters that never move, everything is zero and nothing is a number that is none", async () => {
  const { sampler, pass, settle } = scene();
  expect(sampler.view().now.requestsPerSecond).toBe(0);
  sampler.start();
  await settle();
  await pass(30_000);
  const text = JSON.stringify(sampler.view());
  expect(text).not.toMatch(/null|NaN/);
  expect(sampler.view().now.p99Ms).toBeUndefined();
  sampler.stop();
});
