import type { Registry } from "prom-client";
import type { TableListener } from "../routes/news.ts";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { addCounter, addGauge, addHistogram } from "./add-to-registry.ts";
import { labelValue, MEMBER_STATUSES, ROUTE_STATES } from "./label-values.ts";
import type { MetricSources } from "./metric-sources.ts";
import { METRICS } from "./names.ts";

/** What the way of a fact counts: the route table, and what it hears from the API server and from peers. */
export type FactMetrics = ReturnType<typeof addFactMetrics>;

type TableMetrics = Required<Omit<TableListener, "routeChanged" | "pauseEnded" | "doubted" | "doubtChanged">>;

/** Adds what is counted of facts. `sources` is asked when the registry is read. */
export function addFactMetrics(registry: Registry, sources: () => MetricSources, clock: Clock) {
  addGauge(registry, METRICS.routes, (set) => {
    for (const [state, routes] of routesByState(sources())) set(routes, { state });
  });
  addGauge(registry, METRICS.routeConflicts, (set) => {
    const table = sources().table?.();
    set(table?.idConflicts ?? 0, { kind: "id" });
    set(table?.ipConflicts ?? 0, { kind: "ip" });
  });
  const routeMutations = addCounter(registry, METRICS.routeMutations);
  const resurrectionAttempts = addCounter(registry, METRICS.resurrectionAttempts);
  addGauge(registry, METRICS.tableFacts, (set) => {
    const table = sources().table?.();
    set(table?.hints ?? 0, { kind: "hint" });
    set(table?.tombstones ?? 0, { kind: "tombstone" });
    set(table?.reads ?? 0, { kind: "read" });
  });
  addGauge(registry, METRICS.requestsHeld, (set) => set(sources().requestsHeld?.() ?? 0));
  const requestsHeldTotal = addCounter(registry, METRICS.requestsHeldTotal);
  addGauge(registry, METRICS.wakeRequestsHeld, (set) => set(sources().wakeRequestsHeld?.() ?? 0));
  const wakeRequestsHeldTotal = addCounter(registry, METRICS.wakeRequestsHeldTotal);
  const wakeAttempts = addCounter(registry, METRICS.wakeAttempts);
  const wakes = addCounter(registry, METRICS.wakes);
  const wakeDuration = addHistogram(registry, METRICS.wakeDuration);
  addGauge(registry, METRICS.tableDoubts, (set) => set(sources().table?.().doubtful ?? 0));
  addGauge(registry, METRICS.tableFactsLimit, (set) => {
    const limits = sources().tableLimits?.();
    set(limits?.hints ?? 0, { kind: "hint" });
    set(limits?.tombstones ?? 0, { kind: "tombstone" });
    set(limits?.tombstones ?? 0, { kind: "read" });
  });
  const tableFactsDropped = addCounter(registry, METRICS.tableFactsDropped);
  const incarnationsEnded = addCounter(registry, METRICS.incarnationsEnded);

  const snapshotSaves = addCounter(registry, METRICS.snapshotSaves);
  const snapshotSaveDuration = addHistogram(registry, METRICS.snapshotSaveDuration);
  let snapshotBytes = 0;
  addGauge(registry, METRICS.snapshotBytes, (set) => set(snapshotBytes));
  addGauge(registry, METRICS.snapshotSaved, (set) => set((sources().snapshotSavedAtMs?.() ?? 0) / 1_000));
  const snapshotLoads = addCounter(registry, METRICS.snapshotLoads);
  addGauge(registry, METRICS.snapshotServedAge, (set) => {
    const atMs = sources().snapshotServedAtMs?.();
    set(atMs === undefined ? 0 : Math.max(clock.nowMs() - atMs, 0) / 1_000);
  });

  addGauge(registry, METRICS.watermarkAge, (set) => {
    for (const { scope, lastHeardAtMs } of sources().watch?.() ?? []) {
      if (lastHeardAtMs !== undefined) set(Math.max(clock.nowMs() - lastHeardAtMs, 0) / 1_000, { scope });
    }
  });
  addGauge(registry, METRICS.watchConnected, (set) => {
    for (const { scope, connected } of sources().watch?.() ?? []) set(connected ? 1 : 0, { scope });
  });
  addGauge(registry, METRICS.watchLastEvent, (set) => {
    for (const { scope, lastEventAtMs } of sources().watch?.() ?? []) {
      if (lastEventAtMs !== undefined) set(lastEventAtMs / 1_000, { scope });
    }
  });
  const watchLists = addCounter(registry, METRICS.watchLists);
  const watchListDuration = addHistogram(registry, METRICS.watchListDuration);
  const watchRelists = addCounter(registry, METRICS.watchRelists);
  const watchRestarts = addCounter(registry, METRICS.watchRestarts);
  const watchEvents = addCounter(registry, METRICS.watchEvents);
  const watchVersionChecks = addCounter(registry, METRICS.watchVersionChecks);
  const watchInvalidObjects = addCounter(registry, METRICS.watchInvalidObjects);
  const watchSinkFailures = addCounter(registry, METRICS.watchSinkFailures);
  const clusterRestores = addCounter(registry, METRICS.clusterRestores);

  const pushReads = addCounter(registry, METRICS.pushReads);
  const pushReadDuration = addHistogram(registry, METRICS.pushReadDuration);
  const podIpsRefused = addCounter(registry, METRICS.podIpsRefused);
  const peerPushes = addCounter(registry, METRICS.peerPushes);
  const peerProofs = addCounter(registry, METRICS.peerProofs);
  const pushToApply = addHistogram(registry, METRICS.pushToApply);

  const antiEntropyLooks = addCounter(registry, METRICS.antiEntropyLooks);
  const antiEntropyDifferences = addCounter(registry, METRICS.antiEntropyDifferences);
  const antiEntropyRepairs = addCounter(registry, METRICS.antiEntropyRepairs);
  addGauge(registry, METRICS.antiEntropyDrift, (set) => set(sources().antiEntropyDrift?.() ?? 0));

  addGauge(registry, METRICS.members, (set) => {
    const statuses = sources().members?.()?.statuses ?? [];
    if (MEMBER_STATUSES.kind !== "closed") return;
    for (const status of MEMBER_STATUSES.values)
      set(statuses.filter((one) => one === status).length, { status });
  });
  addGauge(registry, METRICS.memberHealthScore, (set) => set(sources().members?.()?.healthScore ?? 0));
  const memberProbes = addCounter(registry, METRICS.memberProbes);
  const memberRefusals = addCounter(registry, METRICS.memberRefusals);

  // Keys and incarnations are ignored: they would name a tenant.
  const table: TableMetrics = {
    told({ writer, outcome, guard }) {
      routeMutations.add(1, writer, outcome);
      if (guard !== undefined) resurrectionAttempts.add(1, writer, guard);
    },
    restored: () => clusterRestores.add(1),
    podIpRefused: (source) => podIpsRefused.add(1, source),
    incarnationEnded: (_incarnation, reason) => incarnationsEnded.add(1, reason),
    factDropped: (kind, reason) => tableFactsDropped.add(1, kind, reason),
    hintConfirmed: (lagMs) => pushToApply.observeMs(lagMs),
  };

  return {
    /** Requests that waited for pushes of their sandbox to be settled. */
    held: { released: (how: string) => requestsHeldTotal.add(1, how) },
    table,
    /** Sandboxes that are woken, and the requests that wait for them. */
    wake: {
      released: (how: string) => wakeRequestsHeldTotal.add(1, how),
      attempted: (result: string) => wakeAttempts.add(1, result),
      ended(how: string, tookMs: Milliseconds) {
        wakes.add(1, how);
        if (how === "woken") wakeDuration.observeMs(tookMs);
      },
    },
    /** Comparisons with other replicas. */
    antiEntropy: {
      looked: (result: string) => antiEntropyLooks.add(1, result),
      differed: (kind: string) => antiEntropyDifferences.add(1, kind),
      repaired: (outcome: string) => antiEntropyRepairs.add(1, outcome),
    },
    /** Snapshots on the disk. */
    snapshots: {
      saved(tookMs: Milliseconds, bytes: number) {
        snapshotSaves.add(1, "ok");
        snapshotSaveDuration.observeMs(tookMs);
        snapshotBytes = bytes;
      },
      saveFailed: () => snapshotSaves.add(1, "failed"),
      /** `result` is a word of `snapshot_loads_total{result}`. */
      loaded: (result: string) => snapshotLoads.add(1, result),
    },
    /** The informer. */
    watch: {
      listed(reason: string, _count: number, tookMs: Milliseconds, way: string) {
        watchLists.add(1, reason, way);
        watchListDuration.observeMs(tookMs);
      },
      relisted: (reason: string) => watchRelists.add(1, reason),
      watchRestarted: (reason: string) => watchRestarts.add(1, reason),
      invalidObject: (reason: string) => watchInvalidObjects.add(1, reason),
      event: () => watchEvents.add(1),
      /** Nothing: `lychgate_watch_connected` is read from the sources. */
      connected(_connected: boolean) {},
      /** The API server was asked for its present version; `result` is a word of `watch_version_checks_total{result}`. */
      versionChecked: (result: string) => watchVersionChecks.add(1, result),
      sinkFailed: () => watchSinkFailures.add(1),
    },
    /** Pushes from peers. */
    peers: {
      pushed: (result: string) => peerPushes.add(1, result),
      /** A proof that came with a push, or was required and missing; words of `peer_proofs_total`. */
      proof: (method: string, result: string) => peerProofs.add(1, method, result),
      /** A read of the API server that settles pushes; `result` is a word of `push_reads_total{result}`. */
      read(of: string, result: string, tookMs: Milliseconds) {
        pushReads.add(1, of, result);
        pushReadDuration.observeMs(tookMs);
      },
    },
    /** The memberlist. */
    members: {
      refused: (reason: string) => memberRefusals.add(1, reason),
      probed: (result: string) => memberProbes.add(1, result),
    },
  };
}

/** Known states at zero, then what the table says; words of newer peers are added up. */
function routesByState(sources: MetricSources): ReadonlyMap<string, number> {
  const byState = new Map<string, number>();
  if (ROUTE_STATES.kind === "closed") for (const state of ROUTE_STATES.values) byState.set(state, 0);
  for (const [state, routes] of sources.table?.().states ?? []) {
    const known = labelValue(ROUTE_STATES, state);
    byState.set(known, (byState.get(known) ?? 0) + routes);
  }
  return byState;
}
