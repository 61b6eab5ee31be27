import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { metricsReference } from "../../scripts/metrics-reference.ts";
import * as label from "../../src/metrics/label-values.ts";
import type { LabelValues } from "../../src/metrics/label-values.ts";
import type { MetricSources } from "../../src/metrics/metric-sources.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import type { MemberlistObserver } from "../../src/peers/memberlist/memberlist.ts";
import { PROBE_RESULTS } from "../../src/peers/memberlist/probe.ts";
import { REFUSAL_REASONS } from "../../src/peers/memberlist/refused.ts";
import { PUSH_RESULTS } from "../../src/peers/peer-observer.ts";
import type { PeerObserver } from "../../src/peers/peer-observer.ts";
import { REASONS } from "../../src/proxy/reply/reasons.ts";
import type { RequestObserver } from "../../src/proxy/record/request-record.ts";
import type { UpstreamObserver } from "../../src/proxy/upstream/upstream-observer.ts";
import type { EndReason } from "../../src/routes/lookup.ts";
import type { TableListener } from "../../src/routes/news.ts";
import { FAULT_KINDS } from "../../src/watch/fault.ts";
import { LIST_REASONS } from "../../src/watch/list-watch-state.ts";
import type { ReflectorObserver } from "../../src/watch/reflector-observer.ts";
import type { ReflectorStatus } from "../../src/watch/reflector.ts";
import { INVALID_REASONS } from "../../src/watch/watched-resource.ts";
import { newTable } from "../support/defaults.ts";

/** The listed words, without the one for others. */
function words(values: LabelValues): readonly string[] {
  if (values.kind === "bounded") throw new Error("not a list");
  return values.values.filter((value) => value !== values.other);
}

describe("what the parts tell is what the metrics know", () => {
  // The metrics import no other part, so their lists are copies. A word that is missing here counts as `other`.
  it.each<[string, LabelValues, readonly string[]]>([
    ["request reasons", label.REQUEST_REASONS, Object.keys(REASONS)],
    ["push results", label.PUSH_RESULTS, PUSH_RESULTS],
    ["member refusals", label.MEMBER_REFUSALS, REFUSAL_REASONS],
    ["member probes", label.MEMBER_PROBES, PROBE_RESULTS],
    ["list reasons", label.LIST_REASONS, LIST_REASONS],
    ["relist reasons", label.RELIST_REASONS, LIST_REASONS.filter((reason) => reason !== "initial")],
    ["watch faults", label.WATCH_FAULTS, FAULT_KINDS],
    [
      "invalid object reasons",
      label.INVALID_OBJECT_REASONS,
      [...INVALID_REASONS, "out_of_scope", "unknown_event_type"],
    ],
    [
      "end reasons",
      label.END_REASONS,
      Object.keys({
        paused: 0,
        not_running: 0,
        dead: 0,
        replaced: 0,
        ip_moved: 0,
        ip_reassigned: 0,
      } satisfies Record<EndReason, number>),
    ],
  ])("%s", (_, listed, told) => {
    expect([...words(listed)].sort()).toEqual([...told].sort());
  });

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
