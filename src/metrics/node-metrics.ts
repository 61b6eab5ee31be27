import { Registry } from "prom-client";
import { addCounter, addGauge, addHistogram } from "./add-to-registry.ts";
import type {
  AnycastAddressState,
  AnycastBackendState,
  AnycastChange,
  BirdResult,
  OverlapVerdict,
  StaticRouteChange,
  StaticRouteState,
} from "./label-values.ts";
import { HOST_METRICS } from "./names.ts";
import type { MetricSpec } from "./names.ts";

/** How many there are of each word; a word that is absent counts 0. */
export type CountsOf<Word extends string> = Readonly<Partial<Record<Word, number>>>;

/** A finished overlap check. */
export interface CountedOverlapCheck {
  readonly verdictCounts: CountsOf<OverlapVerdict>;
  /** STRICT rather than WARN. */
  readonly strict: boolean;
  /** When it ended, in milliseconds since the epoch. */
  readonly atMs: number;
}

/**
 * What the node's tools count (docs/architecture.md#node). Each group has the shape of what its tool tells; methods are
 * synchronous and never throw. A group's series exist from its first use on, so that a router on a node without anycast
 * shows none of it.
 */
export interface NodeMetrics {
  readonly overlap: ReturnType<typeof overlapMetrics>;
  readonly staticRoutes: ReturnType<typeof staticRouteMetrics>;
  readonly anycast: ReturnType<typeof anycastMetrics>;
}

/** Makes them in `registry`; nothing is registered before a group's first use. */
export function createNodeMetrics(registry: Registry): NodeMetrics {
  const overlap = once(() => overlapMetrics(registry));
  const staticRoutes = once(() => staticRouteMetrics(registry));
  const anycast = once(() => anycastMetrics(registry));
  return {
    overlap: {
      checked: (check) => overlap().checked(check),
      failed: () => overlap().failed(),
    },
    staticRoutes: {
      counted: (counts) => staticRoutes().counted(counts),
      changed: (change) => staticRoutes().changed(change),
    },
    anycast: {
      addresses: (counts) => anycast().addresses(counts),
      backends: (counts) => anycast().backends(counts),
      reconciled: (ok, tookMs) => anycast().reconciled(ok, tookMs),
      changed: (change) => anycast().changed(change),
      drifted: () => anycast().drifted(),
      birdConfigured: (result) => anycast().birdConfigured(result),
      withdrawn: (tookMs) => anycast().withdrawn(tookMs),
    },
  };
}

/** A registry of its own for a command that is no router: for a listener, or node_exporter's textfile collector. */
export function hostMetricsText(): {
  readonly metrics: NodeMetrics;
  /** Prometheus's text format 0.0.4. */
  text(): Promise<string>;
  /** The media type of `text`. */
  readonly contentType: string;
} {
  const registry = new Registry();
  return {
    metrics: createNodeMetrics(registry),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

function overlapMetrics(registry: Registry) {
  let last: CountedOverlapCheck | undefined;
  addCounts(registry, HOST_METRICS.overlapCidrs, "verdict", () => last?.verdictCounts);
  addGauge(registry, HOST_METRICS.overlapStrict, (set) => last && set(last.strict ? 1 : 0));
  addGauge(registry, HOST_METRICS.overlapLastCheck, (set) => last && set(last.atMs / 1_000));
  const checks = addCounter(registry, HOST_METRICS.overlapChecks);
  return {
    checked(check: CountedOverlapCheck) {
      last = check;
      checks.add(1, "ok");
    },
    /** A check could not be done; what the last one found stands. */
    failed: () => checks.add(1, "failed"),
  };
}

function staticRouteMetrics(registry: Registry) {
  let last: CountsOf<StaticRouteState> | undefined;
  addCounts(registry, HOST_METRICS.staticRoutes, "state", () => last);
  const changes = addCounter(registry, HOST_METRICS.staticRouteChanges);
  return {
    counted: (counts: CountsOf<StaticRouteState>) => void (last = counts),
    changed: (change: StaticRouteChange) => changes.add(1, change),
  };
}

function anycastMetrics(registry: Registry) {
  let addresses: CountsOf<AnycastAddressState> | undefined;
  let backends: CountsOf<AnycastBackendState> | undefined;
  addCounts(registry, HOST_METRICS.anycastAddresses, "state", () => addresses);
  addCounts(registry, HOST_METRICS.anycastBackends, "state", () => backends);
  const reconciles = addCounter(registry, HOST_METRICS.anycastReconciles);
  const reconcileDuration = addHistogram(registry, HOST_METRICS.anycastReconcileDuration);
  const changes = addCounter(registry, HOST_METRICS.anycastChanges);
  const drift = addCounter(registry, HOST_METRICS.anycastDrift);
  const configures = addCounter(registry, HOST_METRICS.anycastBirdConfigures);
  const withdrawDuration = addHistogram(registry, HOST_METRICS.anycastWithdrawDuration);
  return {
    addresses: (counts: CountsOf<AnycastAddressState>) => void (addresses = counts),
    backends: (counts: CountsOf<AnycastBackendState>) => void (backends = counts),
    reconciled(ok: boolean, tookMs: number) {
      reconciles.add(1, ok ? "ok" : "failed");
      reconcileDuration.observeMs(tookMs);
    },
    changed: (change: AnycastChange) => changes.add(1, change),
    /** The kernel or BIRD was found other than it was left. */
    drifted: () => drift.add(1),
    birdConfigured: (result: BirdResult) => configures.add(1, result),
    /** From hearing of a backend's end to BIRD's answer. */
    withdrawn: (tookMs: number) => withdrawDuration.observeMs(tookMs),
  };
}

/** A gauge with a series for each word of its one label; without series while nothing is known. */
function addCounts(
  registry: Registry,
  spec: MetricSpec,
  label: string,
  read: () => CountsOf<string> | undefined,
): void {
  const values = spec.labels?.[label];
  const words = values?.kind === "closed" ? values.values : [];
  addGauge(registry, spec, (set) => {
    const counts = read();
    if (counts) for (const word of words) set(counts[word] ?? 0, { [label]: word });
  });
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
