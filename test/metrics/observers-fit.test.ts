import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { metricsReference } from "../../scripts/metrics-reference.ts";
import type { MetricSources } from "../../src/metrics/metric-sources.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import type { MemberlistObserver } from "../../src/peers/memberlist/parts.ts";
import type { PeerObserver } from "../../src/peers/peer-observer.ts";
import type { RequestObserver } from "../../src/proxy/record/request-record.ts";
import type { UpstreamObserver } from "../../src/proxy/upstream/upstream-observer.ts";
import type { TableListener } from "../../src/routes/news.ts";
import type { ReflectorObserver } from "../../src/watch/reflector-observer.ts";
import type { ReflectorStatus } from "../../src/watch/reflector-status.ts";
import { newTable } from "../support/defaults.ts";

describe("what the parts tell is what the metrics know", () => {
  it("the groups are the parts' observers as they are, and the table and reflectors are sources", async () => {
    const metrics = createMetrics({ version: "1", processMetrics: false });
    // Compiles, or the parts have moved away from the metrics.
    const requests: RequestObserver = metrics.requestFinished;
    const upstream: UpstreamObserver = metrics.upstream;
    const reflector: ReflectorObserver = metrics.watch;
    const peers: PeerObserver = metrics.peers;
    const members: MemberlistObserver = metrics.members;
    const listener: TableListener = metrics.table;
    const scopes: readonly ReflectorStatus[] = [];
    const table = newTable({ scopes: "none" });
    table.addListener(listener);
    const sources: MetricSources = { table: () => table.stats(), watch: () => scopes };
    metrics.readFrom(sources);
    table.pushDelete({ namespace: "ns", name: "one", resourceVersion: "4" }, 0);
    table.pushUpdate(
      {
        namespace: "ns",
        name: "one",
        id: "one",
        uid: "uid",
        owner: "",
        ip: "",
        state: "running",
        resourceVersion: "4",
        accessToken: "",
        requireTrafficAuth: false,
      },
      0,
    );
    const text = await metrics.text();
    expect(text).toContain('lychgate_table_facts{kind="tombstone"} 1\n');
    expect(text).toContain('lychgate_resurrection_attempts_total{source="peer",guard="tombstone"} 1\n');
    expect([requests, upstream, reflector, peers, members].every(Boolean)).toBe(true);
  });
});

describe("docs/reference/metrics.md", () => {
  it("is what scripts/metrics-reference.ts makes", async () => {
    const file = new URL("../../docs/reference/metrics.md", import.meta.url);
    expect(await readFile(file, "utf8")).toBe(metricsReference());
  });
});
