import { createAdminServer } from "../../src/admin/admin-server.ts";
import type { AdminServer, AdminServerOptions } from "../../src/admin/admin-server.ts";
import type { AdminSource } from "../../src/admin/admin-source.ts";
import type { ExplainInput } from "../../src/admin/api-types.ts";
import type { Status } from "../../src/admin/status-types.ts";
import { RouteSearch } from "../../src/admin/route-search.ts";
import { pageOfRoutes, routeCounts, routeView, watermarks } from "../../src/admin/route-views.ts";
import { systemClock } from "../../src/system/clock.ts";
import type { Observation } from "../../src/routes/observation.ts";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import type { Route } from "../../src/routes/route.ts";
import { type RouteTable } from "../../src/routes/table.ts";
import { CONNECTIONS, newTable } from "../support/defaults.ts";

/** The token of every route here: it must stand in no answer. */
export const TOKEN = "sekrit-5f2a";

/** A running sandbox `ns/<name>` as the informer saw it. */
export function observed(name: string, version: number, changes: Partial<Route> = {}): Observation {
  const resourceVersion = String(version) as ResourceVersion;
  const uid = changes.uid ?? `uid-${name}`;
  const route: Route = {
    namespace: "ns",
    name,
    id: `ns--${name}`,
    uid,
    owner: "someone",
    ip: `10.0.0.${version}`,
    state: "running",
    resourceVersion,
    accessToken: TOKEN,
    requireTrafficAuth: false,
    ...changes,
  };
  return { namespace: "ns", name, uid, resourceVersion, route };
}

/** A source over a real table, as the composition root makes one. */
export function tableSource(table: RouteTable, asked: ExplainInput[] = []): AdminSource {
  const search = new RouteSearch(table, systemClock);
  return {
    overview: () => ({
      version: "1.2.3",
      node: process.version,
      uptimeSeconds: 5,
      synced: table.synced,
      ready: table.synced,
      watermarks: watermarks(table.stats()),
      counts: routeCounts(table.stats()),
    }),
    routes: (query) => ({
      synced: table.synced,
      watermarks: watermarks(table.stats()),
      counts: routeCounts(table.stats()),
      ...pageOfRoutes(table, query),
    }),
    explain(input) {
      asked.push(input);
      const entry = table.inspect("ns/one");
      return {
        input,
        steps: [{ step: "table", result: table.synced ? "synced" : "not synced" }],
        verdict: { reason: "ok", status: 0, message: "forwarded" },
        ...(entry && { route: routeView(entry) }),
      };
    },
    metrics: async () => "lychgate_ready 1\n",
    search: (query) => search.find(query),
    history(namespace, name) {
      const entry = table.inspect(`${namespace}/${name}`);
      return { namespace, name, facts: [], forgotten: 0, ...(entry && { route: routeView(entry) }) };
    },
    peers: () => ({ pushers: [] }),
    config: () => ({ settings: [] }),
    status: () => Promise.resolve(plainStatus(table)),
  };
}

/** A status without traffic. */
export function plainStatus(table: RouteTable): Status {
  const counts = routeCounts(table.stats());
  const workers = { wanted: 0, ready: 0, processes: [] };
  return {
    atMs: Date.now(),
    overview: {
      version: "1.2.3",
      node: process.version,
      uptimeSeconds: 5,
      synced: table.synced,
      ready: table.synced,
      watermarks: watermarks(table.stats()),
      counts,
    },
    health: { level: "ok", headline: "Ready: all is well", findings: [], checks: [] },
    peers: [],
    pushes: {},
    workers,
    traffic: {
      now: {
        inFlight: 0,
        upgrades: 0,
        clientConnections: 0,
        podConnections: 0,
        requestsPerSecond: 0,
        failuresPerSecond: 0,
        bytesInPerSecond: 0,
        bytesOutPerSecond: 0,
        requests: 0,
        stopped: 0,
      },
      points: [],
      reasons: [],
      churn: [],
      stopped: [],
    },
    history: { facts: 0, routes: 0, maxFacts: 0, maxFactsPerRoute: 1 },
  };
}

export interface AdminFixture extends AsyncDisposable {
  readonly server: AdminServer;
  readonly port: number;
  readonly url: string;
}

/** A real admin server on a port of its own. */
export async function startAdminServer(
  source: AdminSource,
  options: Partial<AdminServerOptions> = {},
): Promise<AdminFixture> {
  const server = createAdminServer({
    ...CONNECTIONS.admin,
    source,
    version: "1.2.3",
    host: "127.0.0.1",
    port: 0,
    ...options,
  });
  const { port } = await server.listen();
  return {
    server,
    port,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** A table that an informer has listed at `version`. */
export function listedTable(version: number, observations: readonly Observation[]): RouteTable {
  const table = newTable({ scopes: [""] });
  table.relist("", String(version) as ResourceVersion, observations, 0);
  return table;
}
