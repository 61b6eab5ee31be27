import type { Guard, Outcome, Source } from "../../src/routes/outcome.ts";
import type { Told } from "../../src/routes/told.ts";
import { afterEach, describe, expect, it } from "vitest";
import { METRICS, PROCESS_METRICS } from "../../src/metrics/names.ts";
import type { MetricSpec } from "../../src/metrics/names.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import type { Metrics } from "../../src/metrics/registry.ts";
import { labelsKey, parseExposition } from "./exposition.ts";
import type { Family } from "./exposition.ts";

function told(writer: Source, outcome: Outcome, guard: Guard | undefined): Told {
  const nothing = {
    resourceVersion: undefined,
    state: undefined,
    ip: undefined,
    uid: undefined,
    id: undefined,
  };
  return {
    atMs: 0,
    writer,
    how: "update",
    outcome,
    guard,
    namespace: "ns",
    name: "one",
    from: "",
    ...nothing,
  };
}

const started: Metrics[] = [];
afterEach(() => {
  for (const metrics of started.splice(0)) metrics.close();
});

function startMetrics(options: Partial<Parameters<typeof createMetrics>[0]> = {}): Metrics {
  const metrics = createMetrics({ version: "1.2.3", processMetrics: false, ...options });
  started.push(metrics);
  return metrics;
}

/** The value of a series; undefined when it is absent. */
async function valueOf(metrics: Metrics, name: string, labels: Record<string, string> = {}) {
  const families = parseExposition(await metrics.text());
  const wanted = labelsKey(labels);
  return families
    .flatMap((family) => family.samples)
    .find((sample) => sample.name === name && labelsKey(sample.labels) === wanted)?.value;
}

const SPECS: readonly MetricSpec[] = [...Object.values(METRICS), ...Object.values(PROCESS_METRICS)];

describe("/metrics", () => {
  it("is valid text of exactly the metrics that names.ts names, with their types and help", async () => {
    const metrics = startMetrics({ processMetrics: true });
    const families = parseExposition(await metrics.text());
    const told = families.map(({ name, type, help }) => ({ name, type, help }));
    const named = SPECS.map(({ name, type, help }) => ({ name, type, help }));
    const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
    expect(told.sort(byName)).toEqual(named.sort(byName));
    expect(metrics.contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
  });

  it("follows Prometheus's naming rules", () => {
    expect(new Set(SPECS.map(({ name }) => name)).size).toBe(SPECS.length);
    for (const { name, type, help, labels = {}, buckets } of SPECS) {
      expect(name.endsWith("_total"), name).toBe(type === "counter");
      expect(name, name).not.toMatch(/_(ms|milliseconds|kb|mb|minutes)(_|$)/);
      expect(help, name).toMatch(/^[A-Z1].*\.$/);
      expect(Object.keys(labels), name).not.toContain("le");
      expect(buckets !== undefined, name).toBe(type === "histogram");
    }
  });

  it("starts every closed label set at zero, except requests", async () => {
    const families = parseExposition(await startMetrics().text());
    for (const spec of Object.values(METRICS) as MetricSpec[]) {
      const family = families.find(({ name }) => name === spec.name) as Family;
      const sets = Object.values(spec.labels ?? {});
      if (spec === METRICS.requests || sets.some(({ kind }) => kind === "bounded")) continue;
      const expected = sets.reduce((n, set) => n * (set.kind === "closed" ? set.values.length : 1), 1);
      const count = spec.type === "histogram" ? `${spec.name}_count` : spec.name;
      expect(family.samples.filter(({ name }) => name === count).length, spec.name).toBe(expected);
      // A configuration was read, and well, before there were metrics; so were certificates.
      if (/^lychgate_(config|tls)_last_/.test(spec.name)) continue;
      expect(
        family.samples.every(({ value }) => value === 0),
        spec.name,
      ).toBe(true);
    }
  });

  it("counts a request under its method, status and reason, and measures it", async () => {
    const metrics = startMetrics();
    metrics.requestFinished({
      method: "POST",
      status: 201,
      reason: "ok",
      durationMs: 30,
      firstByteMs: 20,
      bytesIn: 100,
      bytesOut: 7,
    });
    metrics.requestFinished({
      method: "GET",
      status: 502,
      reason: "sandbox_not_found",
      durationMs: 0.2,
      bytesIn: 0,
      bytesOut: 24,
    });
    expect(
      await valueOf(metrics, "lychgate_requests_total", { method: "POST", code: "201", reason: "ok" }),
    ).toBe(1);
    expect(
      await valueOf(metrics, "lychgate_requests_total", {
        method: "GET",
        code: "502",
        reason: "sandbox_not_found",
      }),
    ).toBe(1);
    expect(await valueOf(metrics, "lychgate_request_bytes_total")).toBe(100);
    expect(await valueOf(metrics, "lychgate_response_bytes_total")).toBe(31);
    const bucket = (answered_by: string, le: string) =>
      valueOf(metrics, "lychgate_request_duration_seconds_bucket", { answered_by, le });
    expect(await bucket("pod", "0.025")).toBe(0);
    expect(await bucket("pod", "0.05")).toBe(1);
    expect(await bucket("router", "0.0005")).toBe(1);
    expect(await valueOf(metrics, "lychgate_time_to_first_byte_seconds_sum")).toBeCloseTo(0.02);
    expect(await valueOf(metrics, "lychgate_time_to_first_byte_seconds_count")).toBe(1);
  });

  it("keeps the hours of an upgraded connection out of the request durations", async () => {
    const metrics = startMetrics();
    metrics.requestFinished({
      method: "GET",
      status: 101,
      reason: "ok",
      durationMs: 3_600_000,
      firstByteMs: 3,
      bytesIn: 0,
      bytesOut: 0,
      upgraded: true,
    });
    expect(
      await valueOf(metrics, "lychgate_requests_total", { method: "GET", code: "101", reason: "ok" }),
    ).toBe(1);
    expect(await valueOf(metrics, "lychgate_request_duration_seconds_count", { answered_by: "pod" })).toBe(0);
    expect(await valueOf(metrics, "lychgate_time_to_first_byte_seconds_count")).toBe(1);
  });

  it("counts what happens to connections, to the table, to the watch and to pushes", async () => {
    const metrics = startMetrics();
    metrics.upstream.connected(2);
    metrics.upstream.connected(2);
    metrics.upstream.closed();
    metrics.upstream.connectFailed("upstream_refused");
    metrics.upstream.reused();
    metrics.upstream.reset("ip_moved");
    metrics.upstream.retried();
    metrics.upstream.wedged();
    metrics.table.told(told("peer", "ignored_tombstone", "tombstone"));
    metrics.table.told(told("informer", "applied", undefined));
    metrics.table.incarnationEnded({ number: 1, key: "ns/one", uid: "uid", ip: "10.0.0.1" }, "dead");
    metrics.table.factDropped("tombstone", "evicted", "ns/one", "10.0.0.7");
    metrics.table.hintConfirmed(40);
    metrics.watch.listed("initial", 3, 20, "stream");
    metrics.watch.relisted("expired");
    metrics.watch.watchRestarted("stalled");
    metrics.watch.invalidObject("no_uid");
    metrics.watch.event();
    metrics.watch.connected(true);
    metrics.watch.versionChecked("behind");
    metrics.watch.sinkFailed();
    metrics.table.restored("");
    metrics.peers.pushed("id_only");
    const expected: [string, Record<string, string>, number][] = [
      ["lychgate_upstream_connects_total", { result: "connected" }, 2],
      ["lychgate_upstream_connects_total", { result: "upstream_refused" }, 1],
      ["lychgate_upstream_connect_duration_seconds_count", {}, 2],
      ["lychgate_upstream_connections_open", {}, 1],
      ["lychgate_upstream_reuse_total", {}, 1],
      ["lychgate_upstream_resets_total", { reason: "ip_moved" }, 1],
      ["lychgate_upstream_retries_total", {}, 1],
      ["lychgate_upstream_wedges_total", {}, 1],
      ["lychgate_route_mutations_total", { source: "peer", outcome: "ignored_tombstone" }, 1],
      ["lychgate_route_mutations_total", { source: "informer", outcome: "applied" }, 1],
      ["lychgate_resurrection_attempts_total", { source: "peer", guard: "tombstone" }, 1],
      ["lychgate_resurrection_attempts_total", { source: "informer", guard: "tombstone" }, 0],
      ["lychgate_incarnations_ended_total", { reason: "dead" }, 1],
      ["lychgate_table_facts_dropped_total", { kind: "tombstone", reason: "evicted" }, 1],
      ["lychgate_push_to_apply_seconds_bucket", { le: "0.05" }, 1],
      ["lychgate_push_to_apply_seconds_bucket", { le: "0.01" }, 0],
      ["lychgate_watch_lists_total", { reason: "initial", way: "stream" }, 1],
      ["lychgate_watch_lists_total", { reason: "initial", way: "paged" }, 0],
      ["lychgate_watch_list_duration_seconds_count", {}, 1],
      ["lychgate_watch_relists_total", { reason: "expired" }, 1],
      ["lychgate_watch_restarts_total", { reason: "stalled" }, 1],
      ["lychgate_watch_invalid_objects_total", { reason: "no_uid" }, 1],
      ["lychgate_watch_events_total", {}, 1],
      ["lychgate_watch_sink_failures_total", {}, 1],
      ["lychgate_cluster_restores_total", {}, 1],
      ["lychgate_peer_pushes_total", { result: "id_only" }, 1],
    ];
    for (const [name, labels, value] of expected) {
      expect(await valueOf(metrics, name, labels), name).toBe(value);
    }
  });

  it("reads gauges when it is scraped, and forgets series whose subject is gone", async () => {
    let nowMs = 0;
    const clock = {
      nowMs: () => 1_000_000 + nowMs,
      monotonicMs: () => nowMs,
      setTimeout: () => ({ clear() {} }),
    };
    const metrics = startMetrics({ clock });
    const watched = { scope: "team-a", connected: true, lastHeardAtMs: 999_500, lastEventAtMs: 998_000 };
    metrics.readFrom({
      requestsInFlight: () => 4,
      upgradesOpen: () => 3,
      clientConnectionsOpen: () => 2,
      clientConnectionsLimit: () => 20,
      upstreamPools: () => 1,
      upstreamWaiting: () => 12,
      tableLimits: () => ({ hints: 60, tombstones: 70 }),
      table: () => ({
        states: new Map([
          ["running", 5],
          ["hibernating", 1],
          ["thawing", 2],
        ]),
        hints: 6,
        reads: 0,
        doubtful: 0,
        tombstones: 7,
        idConflicts: 8,
        ipConflicts: 9,
      }),
    });
    metrics.readFrom({ watch: () => [watched], ready: () => true });
    const expected: [string, Record<string, string>, number | undefined][] = [
      ["lychgate_requests_in_flight", {}, 4],
      ["lychgate_upgrades_open", {}, 3],
      ["lychgate_client_connections_open", {}, 2],
      ["lychgate_client_connections_limit", {}, 20],
      ["lychgate_upstream_pools", {}, 1],
      ["lychgate_upstream_waiting", {}, 12],
      ["lychgate_table_facts_limit", { kind: "hint" }, 60],
      ["lychgate_table_facts_limit", { kind: "tombstone" }, 70],
      ["lychgate_routes", { state: "running" }, 5],
      ["lychgate_routes", { state: "paused" }, 0],
      ["lychgate_routes", { state: "other" }, 3],
      ["lychgate_table_facts", { kind: "hint" }, 6],
      ["lychgate_table_facts", { kind: "tombstone" }, 7],
      ["lychgate_route_conflicts", { kind: "id" }, 8],
      ["lychgate_route_conflicts", { kind: "ip" }, 9],
      ["lychgate_watermark_age_seconds", { scope: "team-a" }, 0.5],
      ["lychgate_watch_connected", { scope: "team-a" }, 1],
      ["lychgate_watch_last_event_timestamp_seconds", { scope: "team-a" }, 998],
      ["lychgate_ready", {}, 1],
      ["lychgate_build_info", { version: "1.2.3", node: process.version }, 1],
    ];
    for (const [name, labels, value] of expected) {
      expect(await valueOf(metrics, name, labels), name).toBe(value);
    }
    nowMs = 1_000;
    metrics.readFrom({ watch: () => [] });
    expect(await valueOf(metrics, "lychgate_watch_connected", { scope: "team-a" })).toBeUndefined();
  });

  it("is made at most once a second, however many ask, and again after a failure", async () => {
    let nowMs = 5_000;
    let reads = 0;
    let failing = false;
    const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, setTimeout: () => ({ clear() {} }) };
    const metrics = startMetrics({ clock });
    metrics.readFrom({
      upstreamPools() {
        reads += 1;
        if (failing) throw new Error("broken");
        return reads;
      },
    });
    const [first, second] = await Promise.all([metrics.text(), metrics.text()]);
    nowMs += 999;
    expect(await metrics.text()).toBe(first);
    expect(second).toBe(first);
    expect(reads).toBe(1);
    nowMs += 1;
    expect(await metrics.text()).not.toBe(first);
    expect(reads).toBe(2);
    nowMs += 1_000;
    failing = true;
    await expect(metrics.text()).rejects.toThrow("broken");
    failing = false;
    expect(await metrics.text()).toContain("lychgate_upstream_pools 4\n");
  });

  it("tells the same counts again when nothing happened, and more when something did", async () => {
    let nowMs = 0;
    const clock = { nowMs: () => 0, monotonicMs: () => nowMs, setTimeout: () => ({ clear() {} }) };
    const metrics = startMetrics({ clock });
    for (const expected of [1, 1, 2]) {
      if (nowMs === 0 || expected === 2) {
        metrics.peers.pushed("applied");
        metrics.upstream.reused();
        metrics.upstream.connected(1);
      }
      expect(await valueOf(metrics, "lychgate_peer_pushes_total", { result: "applied" })).toBe(expected);
      expect(await valueOf(metrics, "lychgate_upstream_reuse_total")).toBe(expected);
      expect(await valueOf(metrics, "lychgate_upstream_connect_duration_seconds_count")).toBe(expected);
      nowMs += 1_000;
    }
  });

  it.each([
    [200, "200"],
    [418, "418"],
    [499, "499"],
    [299, "2xx"],
    [520, "5xx"],
    [799, "other"],
    [0, "other"],
    [404.5, "4xx"],
  ])("counts the status %d under code %s", async (status, code) => {
    const metrics = startMetrics();
    metrics.requestFinished({
      method: "PURGE",
      status,
      reason: "ok",
      durationMs: 1,
      bytesIn: 0,
      bytesOut: 0,
    });
    expect(await valueOf(metrics, "lychgate_requests_total", { method: "_OTHER", code, reason: "ok" })).toBe(
      1,
    );
  });

  it("survives numbers that are none: no count is lost or made", async () => {
    const metrics = startMetrics();
    for (const bad of [Number.NaN, Infinity, -1]) {
      metrics.requestFinished({
        method: "GET",
        status: bad,
        reason: "ok",
        durationMs: bad,
        firstByteMs: bad,
        bytesIn: bad,
        bytesOut: bad,
      });
    }
    metrics.readFrom({ upstreamPools: () => Number.NaN });
    expect(
      await valueOf(metrics, "lychgate_requests_total", { method: "GET", code: "other", reason: "ok" }),
    ).toBe(3);
    expect(await valueOf(metrics, "lychgate_request_bytes_total")).toBe(0);
    expect(await valueOf(metrics, "lychgate_request_duration_seconds_sum", { answered_by: "pod" })).toBe(0);
  });
});
