import { Registry } from "prom-client";
import { systemClock } from "../system/clock.ts";
import type { Clock, Milliseconds } from "../system/clock.ts";
import type { EndReason } from "../routes/lookup.ts";
import type { TableListener } from "../routes/news.ts";
import { addCounter, addGauge, addHistogram } from "./add-to-registry.ts";
import type { SetGauge } from "./add-to-registry.ts";
import type { Cell } from "./counter-cells.ts";
import { createNodeMetrics } from "./node-metrics.ts";
import type { NodeMetrics } from "./node-metrics.ts";
import { labelValue, MEMBER_STATUSES, ROUTE_STATES, statusLabel } from "./label-values.ts";
import { snapshotOf, textOf } from "./metric-snapshot.ts";
import type { MetricSnapshot } from "./metric-snapshot.ts";
import type { MetricSources } from "./metric-sources.ts";
import { METRICS } from "./names.ts";
import type { MetricSpec } from "./names.ts";
import { addProcessMetrics } from "./process-metrics.ts";
import { WorkerShares } from "./worker-shares.ts";
import type { WorkerShare } from "./worker-shares.ts";

/** Options of {@link createMetrics}. */
export interface MetricsOptions {
  /** Lychgate's version, for `lychgate_build_info`. */
  readonly version: string;
  /** Defaults to the machine's own clock. */
  readonly clock?: Clock;
  /** Add the process's own metrics. Defaults to true. */
  readonly processMetrics?: boolean;
}

/** A request that is over. */
export interface CountedRequest {
  readonly method: string;
  /** What the client got; 499 when it left first. */
  readonly status: number;
  /** A word of `x-lychgate-reason`, `ok` when the pod answered. */
  readonly reason: string;
  readonly durationMs: Milliseconds;
  /** Until the pod's first byte; absent when none came. */
  readonly firstByteMs?: Milliseconds | undefined;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly upgraded?: boolean | undefined;
}

/**
 * Everything that Lychgate counts. The groups have the shape of the observers that its parts call, so that they can be
 * handed over as they are; each method is synchronous, quick and never throws, and takes words and numbers only. A
 * word that is not on its label's list counts as `other` (see `names.ts`).
 */
export interface Metrics {
  /** Told of a request once it is over. */
  readonly requestFinished: (request: CountedRequest) => void;
  /** Told of each refused connection from a client. `reason` is a word of `client_connections_refused_total{reason}`. */
  readonly clientConnectionRefused: (reason: string) => void;
  /** Told of each connection that was closed for a newer one. `listener` is a word of `listener_evictions_total{listener}`. */
  readonly connectionEvicted: (listener: string) => void;
  /** Connections to pods. */
  readonly upstream: {
    connected(tookMs: Milliseconds): void;
    /** `code` is a word of `upstream_connects_total{result}`. */
    connectFailed(code: string): void;
    reused(): void;
    closed(): void;
    reset(reason: EndReason): void;
    retried(): void;
    wedged(): void;
  };
  /** Requests that waited for pushes of their sandbox to be settled. */
  readonly held: { released(how: string): void };
  /** The route table. Keys and incarnations are ignored: they would name a tenant. */
  readonly table: Required<Omit<TableListener, "routeChanged" | "pauseEnded" | "doubted" | "doubtChanged">>;
  /** The informer. */
  readonly watch: {
    listed(reason: string, count: number, tookMs: Milliseconds): void;
    relisted(reason: string): void;
    watchRestarted(reason: string): void;
    invalidObject(reason: string): void;
    event(): void;
    /** Nothing: `lychgate_watch_connected` is read from the sources. */
    connected(connected: boolean): void;
    sinkFailed(): void;
  };
  /** Pushes from peers. */
  readonly peers: {
    pushed(result: string): void;
    /** A proof that came with a push, or was required and missing; words of `peer_proofs_total`. */
    proof(method: string, result: string): void;
    /** A read of the API server that settles pushes; `result` is a word of `push_reads_total{result}`. */
    read(of: string, result: string, tookMs: Milliseconds): void;
  };
  /** The memberlist. */
  readonly members: {
    refused(reason: string): void;
    probed(result: string): void;
  };
  /** Worker processes. */
  readonly workers: {
    batchSent(): void;
    applied(lagMs: Milliseconds): void;
    lagging(worker: number): void;
    /** `end` is a word of `worker_restarts_total{end}`. */
    replaced(end: string): void;
    metricsMissed(): void;
  };
  /** Told of each reload of the configuration; `result` is a word of `config_reloads_total{result}`. */
  readonly configReloaded: (result: "success" | "failure") => void;
  /** Kernel routes of the node. */
  readonly node: NodeMetrics;
  /** Says where gauges are read from now on; adds to what earlier calls said. */
  readFrom(sources: MetricSources): void;
  /** `/metrics` in Prometheus's text format 0.0.4. At most a second old: two scrapers cost as much as one. */
  text(): Promise<string>;
  /** All metrics of this process by value: what a worker tells its primary. */
  snapshot(): Promise<MetricSnapshot[]>;
  /**
   * The named metrics of the router by value: what {@link Metrics.text} has of them, this moment's. Reads no other, so
   * that gauges of the time since the last scrape stay whole.
   */
  read(names: readonly string[]): Promise<MetricSnapshot[]>;
  /** In a primary: {@link Metrics.text} is the sum of this process and what `ask` says of all living workers. */
  addWorkers(ask: AskWorkers): void;
  /** The media type of {@link Metrics.text}. */
  readonly contentType: string;
  /** Stops measuring the process. */
  close(): void;
}

/** Asks all living workers for the named metrics, or for all. */
type AskWorkers = (names?: readonly string[]) => Promise<readonly WorkerShare[]>;

const TEXT_CACHE_MS = 1_000;

/**
 * Makes the metrics, every closed label set at zero.
 *
 * @example
 * ```ts
 * import { createMetrics } from "./registry.ts";
 *
 * const metrics = createMetrics({ version: "1.2.3", processMetrics: false });
 * metrics.clientConnectionRefused("address");
 * console.log((await metrics.text()).match(/^lychgate_client_connections_refused_total.*address.*$/m)?.[0]);
 * // lychgate_client_connections_refused_total{reason="address"} 1
 * metrics.close();
 * ```
 */
export function createMetrics(options: MetricsOptions): Metrics {
  const { version, clock = systemClock, processMetrics = true } = options;
  const registry = new Registry();
  let sources: MetricSources = {};
  const count = (spec: MetricSpec, zeroInitialised = true) => addCounter(registry, spec, zeroInitialised);
  const measure = (spec: MetricSpec) => addHistogram(registry, spec);
  const read = (spec: MetricSpec, collect: (set: SetGauge) => void) => addGauge(registry, spec, collect);

  // Ten methods by seventy codes by thirty reasons: these series come when they are first needed.
  const requests = count(METRICS.requests, false);
  const requestDuration = measure(METRICS.requestDuration);
  const timeToFirstByte = measure(METRICS.timeToFirstByte);
  read(METRICS.requestsInFlight, (set) => set(sources.requestsInFlight?.() ?? 0));
  read(METRICS.upgradesOpen, (set) => set(sources.upgradesOpen?.() ?? 0));
  const requestBytes = count(METRICS.requestBytes);
  const responseBytes = count(METRICS.responseBytes);
  read(METRICS.clientConnectionsOpen, (set) => set(sources.clientConnectionsOpen?.() ?? 0));
  read(METRICS.clientConnectionsLimit, (set) => set(sources.clientConnectionsLimit?.() ?? 0));
  const clientConnectionsRefused = count(METRICS.clientConnectionsRefused);
  const listenerEvictions = count(METRICS.listenerEvictions);

  const upstreamConnects = count(METRICS.upstreamConnects);
  const upstreamConnectDuration = measure(METRICS.upstreamConnectDuration);
  const upstreamReuse = count(METRICS.upstreamReuse);
  let upstreamConnectionsOpen = 0;
  read(METRICS.upstreamConnectionsOpen, (set) => set(upstreamConnectionsOpen));
  const upstreamResets = count(METRICS.upstreamResets);
  const upstreamRetries = count(METRICS.upstreamRetries);
  const upstreamWedges = count(METRICS.upstreamWedges);
  read(METRICS.upstreamPools, (set) => set(sources.upstreamPools?.() ?? 0));

  read(METRICS.upstreamWaiting, (set) => set(sources.upstreamWaiting?.() ?? 0));

  read(METRICS.routes, (set) => {
    for (const [state, routes] of routesByState(sources)) set(routes, { state });
  });
  read(METRICS.routeConflicts, (set) => {
    const table = sources.table?.();
    set(table?.idConflicts ?? 0, { kind: "id" });
    set(table?.ipConflicts ?? 0, { kind: "ip" });
  });
  const routeMutations = count(METRICS.routeMutations);
  const resurrectionAttempts = count(METRICS.resurrectionAttempts);
  read(METRICS.tableFacts, (set) => {
    const table = sources.table?.();
    set(table?.hints ?? 0, { kind: "hint" });
    set(table?.tombstones ?? 0, { kind: "tombstone" });
    set(table?.reads ?? 0, { kind: "read" });
  });
  read(METRICS.requestsHeld, (set) => set(sources.requestsHeld?.() ?? 0));
  const requestsHeldTotal = count(METRICS.requestsHeldTotal);
  read(METRICS.tableDoubts, (set) => set(sources.table?.().doubtful ?? 0));
  read(METRICS.tableFactsLimit, (set) => {
    const limits = sources.tableLimits?.();
    set(limits?.hints ?? 0, { kind: "hint" });
    set(limits?.tombstones ?? 0, { kind: "tombstone" });
    set(limits?.tombstones ?? 0, { kind: "read" });
  });
  const tableFactsDropped = count(METRICS.tableFactsDropped);
  const incarnationsEnded = count(METRICS.incarnationsEnded);

  read(METRICS.watermarkAge, (set) => {
    for (const { scope, lastHeardAtMs } of sources.watch?.() ?? []) {
      if (lastHeardAtMs !== undefined) set(Math.max(clock.nowMs() - lastHeardAtMs, 0) / 1_000, { scope });
    }
  });
  read(METRICS.watchConnected, (set) => {
    for (const { scope, connected } of sources.watch?.() ?? []) set(connected ? 1 : 0, { scope });
  });
  read(METRICS.watchLastEvent, (set) => {
    for (const { scope, lastEventAtMs } of sources.watch?.() ?? []) {
      if (lastEventAtMs !== undefined) set(lastEventAtMs / 1_000, { scope });
    }
  });
  const watchLists = count(METRICS.watchLists);
  const watchListDuration = measure(METRICS.watchListDuration);
  const watchRelists = count(METRICS.watchRelists);
  const watchRestarts = count(METRICS.watchRestarts);
  const watchEvents = count(METRICS.watchEvents);
  const watchInvalidObjects = count(METRICS.watchInvalidObjects);
  const watchSinkFailures = count(METRICS.watchSinkFailures);
  const clusterRestores = count(METRICS.clusterRestores);

  const pushReads = count(METRICS.pushReads);
  const pushReadDuration = measure(METRICS.pushReadDuration);
  const podIpsRefused = count(METRICS.podIpsRefused);
  const peerPushes = count(METRICS.peerPushes);
  const peerProofs = count(METRICS.peerProofs);
  const pushToApply = measure(METRICS.pushToApply);

  read(METRICS.members, (set) => {
    const statuses = sources.members?.()?.statuses ?? [];
    if (MEMBER_STATUSES.kind !== "closed") return;
    for (const status of MEMBER_STATUSES.values)
      set(statuses.filter((one) => one === status).length, { status });
  });
  read(METRICS.memberHealthScore, (set) => set(sources.members?.()?.healthScore ?? 0));
  const memberProbes = count(METRICS.memberProbes);
  const memberRefusals = count(METRICS.memberRefusals);

  read(METRICS.workersWanted, (set) => set(sources.workers?.().wanted ?? 0));
  read(METRICS.workersReady, (set) => set(sources.workers?.().ready ?? 0));
  const workerRestarts = count(METRICS.workerRestarts);
  read(METRICS.workerRouteLag, (set) => {
    for (const { worker, lagMs } of sources.workers?.().lags ?? []) {
      set(lagMs / 1_000, { worker: String(worker) });
    }
  });
  const workerLags = count(METRICS.workerLags);
  const workerApplyDuration = measure(METRICS.workerApplyDuration);
  const workerBatches = count(METRICS.workerBatches);
  const workerMetricsMissed = count(METRICS.workerMetricsMissed);

  read(METRICS.ready, (set) => set((sources.ready?.() ?? false) ? 1 : 0));
  const configReloads = count(METRICS.configReloads);
  let configReadAtMs = clock.nowMs();
  let lastReloadSucceeded = true;
  read(METRICS.configLastReloadSuccessful, (set) => set(lastReloadSucceeded ? 1 : 0));
  read(METRICS.configLastReloadSuccess, (set) => set(configReadAtMs / 1_000));
  read(METRICS.buildInfo, (set) => set(1, { version, node: process.version }));
  const stopProcessMetrics = processMetrics ? addProcessMetrics(registry) : () => {};

  let askWorkers: AskWorkers | undefined;
  /** Of what is read by name: beside those of the scrapes, which must know all that a worker had counted when it ends. */
  const sharesRead = new WorkerShares();
  const shares = new WorkerShares();
  const makeText = async (): Promise<string> => {
    if (!askWorkers) return registry.metrics();
    const told = await askWorkers();
    return textOf(shares.sum(await snapshotOf(registry), told));
  };

  let last = { method: "", status: 0, reason: "", cell: { labels: {}, count: 0 } as Cell };
  const requestBytesCell = requestBytes.cell();
  const responseBytesCell = responseBytes.cell();
  const upstreamReuseCell = upstreamReuse.cell();
  return {
    requestFinished(request) {
      const { method, status, reason, durationMs, firstByteMs, bytesIn, bytesOut, upgraded } = request;
      // Most requests are like the one before: looking the series up costs more than all else here.
      if (method !== last.method || status !== last.status || reason !== last.reason) {
        last = { method, status, reason, cell: requests.cell(method, statusLabel(status), reason) };
      }
      last.cell.count += 1;
      if (upgraded !== true) requestDuration.observeMs(durationMs, reason === "ok" ? "pod" : "router");
      if (firstByteMs !== undefined) timeToFirstByte.observeMs(firstByteMs);
      if (bytesIn > 0 && bytesIn < Infinity) requestBytesCell.count += bytesIn;
      if (bytesOut > 0 && bytesOut < Infinity) responseBytesCell.count += bytesOut;
    },
    clientConnectionRefused: (reason) => clientConnectionsRefused.add(1, reason),
    connectionEvicted: (listener) => listenerEvictions.add(1, listener),
    upstream: {
      connected(tookMs) {
        upstreamConnectionsOpen += 1;
        upstreamConnects.add(1, "connected");
        upstreamConnectDuration.observeMs(tookMs);
      },
      connectFailed: (code) => upstreamConnects.add(1, code),
      reused: () => void (upstreamReuseCell.count += 1),
      closed: () => void (upstreamConnectionsOpen -= 1),
      reset: (reason) => upstreamResets.add(1, reason),
      retried: () => upstreamRetries.add(1),
      wedged: () => upstreamWedges.add(1),
    },
    held: { released: (how) => requestsHeldTotal.add(1, how) },
    table: {
      told({ writer, outcome, guard }) {
        routeMutations.add(1, writer, outcome);
        if (guard !== undefined) resurrectionAttempts.add(1, writer, guard);
      },
      restored: () => clusterRestores.add(1),
      podIpRefused: (source) => podIpsRefused.add(1, source),
      incarnationEnded: (_incarnation, reason) => incarnationsEnded.add(1, reason),
      factDropped: (kind, reason) => tableFactsDropped.add(1, kind, reason),
      hintConfirmed: (lagMs) => pushToApply.observeMs(lagMs),
    },
    watch: {
      listed(reason, _count, tookMs) {
        watchLists.add(1, reason);
        watchListDuration.observeMs(tookMs);
      },
      relisted: (reason) => watchRelists.add(1, reason),
      watchRestarted: (reason) => watchRestarts.add(1, reason),
      invalidObject: (reason) => watchInvalidObjects.add(1, reason),
      event: () => watchEvents.add(1),
      connected: () => {},
      sinkFailed: () => watchSinkFailures.add(1),
    },
    peers: {
      pushed: (result) => peerPushes.add(1, result),
      proof: (method, result) => peerProofs.add(1, method, result),
      read(of, result, tookMs) {
        pushReads.add(1, of, result);
        pushReadDuration.observeMs(tookMs);
      },
    },
    members: {
      refused: (reason) => memberRefusals.add(1, reason),
      probed: (result) => memberProbes.add(1, result),
    },
    workers: {
      batchSent: () => workerBatches.add(1),
      applied: (lagMs) => workerApplyDuration.observeMs(lagMs),
      lagging: (worker) => workerLags.add(1, String(worker)),
      replaced: (end) => workerRestarts.add(1, end),
      metricsMissed: () => workerMetricsMissed.add(1),
    },
    configReloaded(result) {
      configReloads.add(1, result);
      lastReloadSucceeded = result === "success";
      if (lastReloadSucceeded) configReadAtMs = clock.nowMs();
    },
    node: createNodeMetrics(registry),
    readFrom: (more) => void (sources = { ...sources, ...more }),
    text: cached(makeText, clock),
    snapshot: () => snapshotOf(registry),
    async read(names) {
      const own = await Promise.all(
        names.flatMap((name) => {
          const metric = registry.getSingleMetric(name);
          return metric ? [metric.get() as unknown as Promise<MetricSnapshot>] : [];
        }),
      );
      if (!askWorkers) return own;
      return sharesRead.sum(own, await askWorkers(names));
    },
    addWorkers: (ask) => void (askWorkers = ask),
    contentType: registry.contentType,
    close: stopProcessMetrics,
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

/** Makes the text at most once a second; all who ask meanwhile get the same. A failure is not kept. */
function cached(make: () => Promise<string>, clock: Clock): () => Promise<string> {
  let text: Promise<string> | undefined;
  let madeAtMs = 0;
  return () => {
    const nowMs = clock.monotonicMs();
    if (text === undefined || nowMs - madeAtMs >= TEXT_CACHE_MS) {
      madeAtMs = nowMs;
      const made = make();
      text = made;
      made.catch(() => {
        if (text === made) text = undefined;
      });
    }
    return text;
  };
}
