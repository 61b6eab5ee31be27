import type { AdminSource } from "../admin/admin-source.ts";
import type { ConfigView, FormerRoute, Overview, PeersView } from "../admin/api-types.ts";
import type { Status, WatchView } from "../admin/status-types.ts";
import { describeFormerRoute, formerRouteOf } from "../admin/former-route.ts";
import { assess } from "../admin/health.ts";
import type { PeerBook } from "../history/peer-book.ts";
import type { RouteHistory } from "../history/route-history.ts";
import { RouteSearch } from "../admin/route-search.ts";
import { pageOfRoutes, routeCounts, routeView, watermarks } from "../admin/route-views.ts";
import { TrafficSampler } from "../admin/traffic-sampler.ts";
import type { Clock } from "../system/clock.ts";
import type { LiveConfig } from "../config/live.ts";
import { formatOrigin } from "../config/origins.ts";
import { shownValueOf, valueOf } from "../config/render.ts";
import { type Config, SECTION_TITLES } from "../config/schema.ts";
import { SETTINGS } from "../config/settings.ts";
import type { Membership } from "./membership.ts";
import type { Metrics } from "../metrics/registry.ts";
import { endpointText } from "../peers/memberlist/endpoint.ts";
import { askReadiness, type ReadinessCheck } from "../peers/readiness.ts";
import { explainRequest } from "../proxy/explain.ts";
import type { Target, TargetParser } from "../proxy/target/target.ts";
import type { Incarnation, Lookup } from "../routes/lookup.ts";
import { inLookupOrder, tableNamespace } from "../routes/provider.ts";
import type { RouteTable } from "../routes/table.ts";
import { providersOf } from "./providers.ts";
import type { EntryView } from "../routes/table-view.ts";
import { previewLinks } from "./preview-links.ts";
import type { RouterAccess } from "./router-access.ts";
import { servedSnapshotAtMs, servedSnapshotNote } from "./snapshots.ts";
import { READING_METRICS, trafficReadingOf } from "./traffic-reading.ts";
import { VERSION } from "../system/version.ts";
import type { Watching } from "./watching.ts";

/** What a router's view is made of. */
export interface RouterViewParts {
  readonly config: Config;
  /** The configuration as it changes, and where it came from; without it every setting is shown as a program's. */
  readonly live: LiveConfig | undefined;
  readonly table: RouteTable;
  readonly history: RouteHistory;
  readonly peers: PeerBook;
  /** The memberlist, once it has begun; undefined before, and when it is off. */
  readonly membership: () => Membership | undefined;
  readonly parseTarget: TargetParser;
  readonly access: RouterAccess;
  readonly metrics: Metrics;
  readonly readiness: readonly ReadinessCheck[];
  readonly watching: Watching | undefined;
  /** How many workers serve; undefined when this process does. */
  readonly workersReady: (() => number) | undefined;
  /** Connections to a pod now, in words; absent where workers have them. */
  readonly describeConnectionsTo: ((incarnation: Incarnation) => string) | undefined;
  readonly clock: Clock;
}

/** What the admin port shows of a router. */
export interface RouterView extends AdminSource {
  /** Begins to sample. */
  start(): void;
  stop(): void;
}

/** Puts together what the admin port shows. */
export function createRouterView(parts: RouterViewParts): RouterView {
  const { table, history, parseTarget, access, metrics, clock } = parts;
  const startedMs = clock.monotonicMs();
  const search = new RouteSearch(table, clock);
  const sampler = new TrafficSampler({
    read: async () => trafficReadingOf(await metrics.read(READING_METRICS)),
    clock,
  });
  const overview = (): Overview => overviewOf(parts, startedMs);
  return {
    start: () => sampler.start(),
    stop: () => sampler.stop(),
    overview,
    async status(sinceMs) {
      await sampler.fresh();
      return statusOf(parts, sampler, overview(), sinceMs);
    },
    routes(query) {
      const stats = table.stats();
      const common = { synced: table.synced, watermarks: watermarks(stats), counts: routeCounts(stats) };
      return { ...common, ...pageOfRoutes(table, query) };
    },
    search: (query) => search.find(query),
    history(namespace, name) {
      const entry = table.inspect(`${namespace}/${name}`);
      return { namespace, name, ...history.of(namespace, name), ...(entry && { route: routeView(entry) }) };
    },
    peers: () => peersView(parts),
    explain(input) {
      const rawHeaders = ["Host", input.host, ...input.headers.flat()];
      const head = { method: "GET", target: input.path, rawHeaders };
      const { steps, verdict, target } = explainRequest(head, parseTarget, table, access.gate);
      const former = target && formerOf(target, parts);
      const entry =
        target && (entryOf(target, table) ?? (former && table.inspect(`${former.namespace}/${former.name}`)));
      return {
        input,
        steps: [
          ...steps,
          ...(former ? [{ step: "it was", result: describeFormerRoute(former, clock.nowMs()) }] : []),
          ...surroundings(parts, target),
        ],
        verdict,
        ...(entry && { route: routeView(entry) }),
        ...(former && { former }),
      };
    },
    config: () => configView(parts),
    metrics: () => metrics.text(),
    ...(access.previews && { preview: previewLinks({ ...parts, previews: access.previews }) }),
  };
}

function peersView({ peers, membership, clock }: RouterViewParts): PeersView {
  const current = membership();
  if (!current) return { pushers: peers.view() };
  const nowMs = clock.monotonicMs();
  const members = current.members().map(({ name, status, statusSinceMs, ...endpoint }) => ({
    name,
    address: endpointText(endpoint),
    status,
    forSeconds: Math.round((nowMs - statusSinceMs) / 100) / 10,
  }));
  members.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { pushers: peers.view(), memberlist: { healthScore: current.healthScore(), members } };
}

function overviewOf({ table, readiness, clock }: RouterViewParts, startedMs: number): Overview {
  const { ready, lines } = askReadiness(readiness, true);
  const stats = table.stats();
  const takenAtMs = servedSnapshotAtMs(table);
  return {
    version: VERSION,
    node: process.version,
    uptimeSeconds: Math.round((clock.monotonicMs() - startedMs) / 1_000),
    ready,
    ...(!ready && { notReady: lines.filter((line) => line.startsWith("[-]")).map((line) => line.slice(3)) }),
    synced: table.synced,
    ...(takenAtMs !== undefined && {
      snapshot: { takenAtMs, ageSeconds: Math.max(0, Math.round((clock.nowMs() - takenAtMs) / 1_000)) },
    }),
    watermarks: watermarks(stats),
    counts: routeCounts(stats),
  };
}

function statusOf(
  parts: RouterViewParts,
  sampler: TrafficSampler,
  overview: Overview,
  sinceMs: number | undefined,
): Status {
  const { config, table, history, peers, readiness, clock } = parts;
  const watch = watchView(parts);
  const workers = {
    wanted: config.workers > 1 ? config.workers : 0,
    ready: parts.workersReady?.() ?? 0,
    processes: sampler.processes(),
  };
  const traffic = sampler.view(sinceMs);
  const { reading } = sampler;
  const nowMs = clock.nowMs();
  const health = assess({
    nowMs,
    checks: readiness.map((check) => {
      const { ready, lines } = askReadiness([check], true);
      const [, why = ""] = /failed: (.*)$/.exec(lines[0] ?? "") ?? [];
      return { name: check.name, ok: ready, why };
    }),
    counts: overview.counts,
    snapshotAgeSeconds: overview.snapshot?.ageSeconds,
    watch,
    workers,
    barred: table.stats().scopes.some(({ barredUntil }) => barredUntil !== undefined),
    evictedTombstones: reading?.dropped.get("tombstone evicted") ?? 0,
    contradicted: sampler.inLastMinute(({ dropped }) => dropped.get("hint contradicted") ?? 0),
    requests: sampler.inLastMinute(({ requests }) => sum(requests.values())),
    failures: sampler.failuresInLastMinute(),
    bugs: reading?.bugs ?? 0,
  });
  const { maxFacts, maxFactsPerRoute } = history.bounds;
  return {
    atMs: nowMs,
    overview,
    health,
    ...(watch && { watch }),
    peers: peers.view(),
    pushes: Object.fromEntries(reading?.pushes ?? []),
    workers,
    traffic,
    history: { ...history.size, maxFacts, maxFactsPerRoute },
  };
}

function watchView({ watching }: RouterViewParts): WatchView | undefined {
  if (!watching) return undefined;
  const { server, scopes } = watching.status();
  return {
    server,
    scopes: scopes.map((status) => ({
      scope: status.scope,
      state: status.state,
      synced: status.synced,
      live: status.live,
      connected: status.connected,
      watermark: status.watermark,
      lastHeardAtMs: status.lastHeardAtMs,
      lastEventAtMs: status.lastEventAtMs,
      relists: status.relists,
      restarts: status.restarts,
      fault: status.lastFault?.message,
    })),
  };
}

function configView({ config: atStart, live }: RouterViewParts): ConfigView {
  const { config = atStart, origins, file } = live?.loaded ?? {};
  return {
    ...(file !== undefined && { file }),
    settings: SETTINGS.map((setting) => {
      const origin = origins?.get(setting.key) ?? { kind: "object" as const };
      return {
        key: setting.key,
        section: SECTION_TITLES[setting.section] ?? setting.section,
        value: JSON.stringify(shownValueOf(config, setting)),
        origin: formatOrigin(origin),
        isDefault: JSON.stringify(valueOf(config, setting)) === JSON.stringify(setting.default),
        description: setting.description,
      };
    }),
  };
}

/** What else bears on a request: how old the table may be, and whether the pod has a connection to spare. */
function surroundings(
  { watching, table, describeConnectionsTo, clock }: RouterViewParts,
  target: Target | undefined,
): { readonly step: string; readonly result: string }[] {
  const watch = (watching?.status().scopes ?? []).map(({ scope, connected, lastHeardAtMs, lastFault }) => {
    const heard =
      lastHeardAtMs === undefined
        ? "the API server was never heard"
        : `the API server was heard ${Math.max(0, Math.round((clock.nowMs() - lastHeardAtMs) / 1_000))} s ago`;
    const why = connected || !lastFault ? "" : `: ${lastFault.message}`;
    const name = scope === "" ? "" : ` of ${scope}`;
    return { step: "watch", result: `${connected ? "connected" : "not connected"}${name}, ${heard}${why}` };
  });
  const note = servedSnapshotNote(table, clock);
  if (note !== undefined) watch.unshift({ step: "snapshot", result: note });
  const found = target && lookupOf(target, table);
  const incarnation = found?.kind === "found" ? found.incarnation : undefined;
  if (!incarnation || !describeConnectionsTo) return watch;
  return [...watch, { step: "to the pod", result: describeConnectionsTo(incarnation) }];
}

function lookupOf({ by }: Pick<Target, "by">, table: RouteTable): Lookup {
  return by.kind === "id" ? table.lookup(by.id) : table.lookupObject(by.namespace, by.name);
}

/** What a target named that names nothing any more. */
function formerOf(
  { by }: Target,
  { config, table, history }: Pick<RouterViewParts, "config" | "table" | "history">,
): FormerRoute | undefined {
  if (lookupOf({ by }, table).kind !== "unknown") return undefined;
  if (by.kind === "id") {
    const owner = history.lastOwnerOf(by.id);
    return owner && formerRouteOf(owner.namespace, owner.name, history.of(owner.namespace, owner.name));
  }
  for (const provider of inLookupOrder(providersOf(config).map((watched) => watched.provider))) {
    const namespace = tableNamespace(provider, by.namespace);
    const former = formerRouteOf(namespace, by.name, history.of(namespace, by.name));
    if (former) return former;
  }
  return undefined;
}

/** What the table knows of the object that a target names, be a route in effect for it or not. */
function entryOf({ by }: Target, table: RouteTable): EntryView | undefined {
  if (by.kind === "object") return table.inspectObject(by.namespace, by.name);
  const found = table.lookup(by.id);
  if (found.kind === "found") return table.inspect(`${found.route.namespace}/${found.route.name}`);
  // A legacy ID, `namespace--name`, still names its object when no route is in effect.
  for (const { index } of by.id.matchAll(/--/g)) {
    const entry = table.inspectObject(by.id.slice(0, index), by.id.slice(index + 2));
    if (entry) return entry;
  }
  return undefined;
}

function sum(counts: Iterable<number>): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
