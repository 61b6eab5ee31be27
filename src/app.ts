import type { AddressInfo } from "node:net";
import { createAdminServer } from "./admin/admin-server.ts";
import type { AdminSource } from "./admin/admin-source.ts";
import { pageOfRoutes, routeCounts, routeView, watermarks } from "./admin/route-views.ts";
import { systemClock, type Clock, type Milliseconds } from "./clock.ts";
import { type ListenAddress, parseListenAddress } from "./config/listen-address.ts";
import type { Config } from "./config/schema.ts";
import { flagOf } from "./config/settings.ts";
import type { Log } from "./log.ts";
import { createMetrics, type Metrics } from "./metrics/registry.ts";
import { createPeerServer } from "./peers/peer-server.ts";
import { askReadiness, type ReadinessCheck } from "./peers/readiness.ts";
import { explainRequest } from "./proxy/explain.ts";
import type { RequestObserver } from "./proxy/request-record.ts";
import type { Target, TargetParser } from "./proxy/target.ts";
import { RouteTable } from "./routes/table.ts";
import type { EntryView } from "./routes/table-view.ts";
import { TableTimer } from "./table-timer.ts";
import { createTraffic, targetParserOf, type Traffic } from "./traffic.ts";
import { VERSION } from "./version.ts";
import { anonymousCredentials } from "./watch/api-credentials.ts";
import type { Informer } from "./watch/informer.ts";
import type { ObservationSink } from "./watch/observation-sink.ts";
import { DEFAULT_RETRY_POLICY } from "./watch/list-watch-state.ts";
import { createWorkerTraffic } from "./worker-traffic.ts";

/** What a router needs beside its configuration. */
export interface RouterSurroundings {
  readonly log: Log;
  /**
   * Gets every request when it is over; absent: no access log. Not called with `workers` above 1: each worker then writes
   * to this process's standard output what `accessLog` of the configuration asks for.
   */
  readonly accessLog?: RequestObserver | undefined;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /**
   * An API server to watch without credentials, in place of what `kubeconfig` and the environment say: the embedded dev
   * cluster's. Spares the Kubernetes client's 80 MB.
   */
  readonly apiServer?: URL | undefined;
}

/** A running router. */
export interface Router {
  readonly addresses: {
    readonly traffic: AddressInfo;
    readonly peers: AddressInfo;
    readonly admin: AddressInfo;
  };
  readonly table: RouteTable;
  /** Resolves when the routes are known: at once without an informer. */
  synced(): Promise<void>;
  /**
   * The ordered end (design.md 5): readiness off, `drain.delayMs` for load balancers to notice, then no new connections
   * and at most `drain.timeoutMs` for what is under way. Afterwards nothing of the router is left.
   */
  drain(): Promise<void>;
  /** Ends everything at once. */
  stop(): Promise<void>;
}

/**
 * Starts a router: the one place where the parts meet. Rejects, with nothing left running, when a port is taken or
 * there are no credentials for the API server; an API server that does not answer is waited for.
 */
export async function startRouter(config: Config, surroundings: RouterSurroundings): Promise<Router> {
  const { log, clock = systemClock } = surroundings;
  const watched = config.source === "kubernetes";
  const metrics = createMetrics({ version: VERSION, clock });
  const table = new RouteTable({
    scopes: watched ? (config.namespace.length > 0 ? config.namespace : [""]) : "none",
    claimTtlMs: config.peers.claimTtlMs,
    maxClaims: config.peers.maxClaims,
    tombstoneTtlMs: config.tombstones.ttlMs,
    maxTombstones: config.tombstones.max,
    onePodPerIp: config.routes.onePodPerIp,
  });
  const timer = new TableTimer(table, clock);
  const informer = watched ? await makeInformer(config, surroundings, table, metrics) : undefined;

  let draining = false;
  const parseTarget = targetParserOf(config);
  // First of all listeners: when others hear of an end, its connections are closed already.
  const listen = listenAddress(config.listen);
  const workers =
    config.workers > 1 ? createWorkerTraffic({ config, listen, table, metrics, clock, log }) : undefined;
  const traffic: Traffic =
    workers ??
    createTraffic({
      config,
      listen,
      routes: table,
      parseTarget,
      metrics,
      accessLog: surroundings.accessLog,
      clock,
      log,
    });
  table.addListener(metrics.table);

  const readiness: ReadinessCheck[] = [
    { name: "synced", ready: () => table.synced || "the first list of sandboxes is not in" },
    { name: "draining", ready: () => !draining || "the router is shutting down" },
    ...(workers
      ? [{ name: "workers", ready: () => workers.ready > 0 || "no worker knows the routes yet" }]
      : []),
  ];
  const peers = createPeerServer({
    ...withHost(listenAddress(config.peerListen)),
    sink: {
      pushUpdate: (push) => table.pushUpdate(push, clock.nowMs()),
      pushDelete: (push) => table.pushDelete(push, clock.nowMs()),
    },
    observer: metrics.peers,
    readinessChecks: readiness,
    clock,
    log,
  });
  const admin = createAdminServer({
    ...withHost(listenAddress(config.adminListen)),
    version: VERSION,
    source: adminSource({ config, table, parseTarget, metrics, readiness, clock }),
    log,
  });
  metrics.readFrom({
    table: () => table.stats(),
    tableLimits: () => ({ claims: config.peers.maxClaims, tombstones: config.tombstones.max }),
    watch: () => informer?.status().scopes ?? [],
    ready: () => askReadiness(readiness, false).ready,
  });

  const stopRest = async (): Promise<void> => {
    timer.stop();
    await Promise.all([informer?.stop(), peers.close(), admin.close()]);
    metrics.close();
  };
  try {
    const addresses = {
      admin: await named("adminListen", admin.listen()),
      peers: await named("peerListen", peers.listen()),
      traffic: await named("listen", traffic.listen()),
    };
    timer.start();
    informer?.start();
    if (workers)
      informer?.waitForSync().then(
        () => workers.tableSynced(),
        () => {},
      );
    return {
      addresses,
      table,
      synced: () => informer?.waitForSync() ?? Promise.resolve(),
      async drain() {
        draining = true;
        log.info("draining: not ready any more", { delayMs: config.drain.delayMs });
        await sleep(clock, config.drain.delayMs);
        await traffic.drain(config.drain.timeoutMs);
        await stopRest();
      },
      async stop() {
        draining = true;
        await traffic.close();
        await stopRest();
      },
    };
  } catch (error) {
    await traffic.close();
    await stopRest();
    throw error;
  }
}

async function makeInformer(
  config: Config,
  { log, clock = systemClock, apiServer }: RouterSurroundings,
  table: RouteTable,
  metrics: Metrics,
): Promise<Informer> {
  // Imported late: undici costs 30 MB, which a router that is only pushed to, or a worker, need not have.
  const [{ createInformer }, { loadCredentials }] = await Promise.all([
    import("./watch/informer.ts"),
    import("./watch/credentials.ts"),
  ]);
  const credentials = apiServer
    ? anonymousCredentials(apiServer)
    : await loadCredentials({
        ...(config.kubeconfig && { kubeconfig: config.kubeconfig }),
        ...(config.context && { context: config.context }),
      });
  const { pageSize, stallTimeoutMs, backoffMinMs, backoffMaxMs } = config.watch;
  const sink: ObservationSink = {
    relist: (scope, version, observations) => table.relist(scope, version, observations, clock.nowMs()),
    startOver(scope, version, observations) {
      metrics.watch.clusterRestored();
      table.startOver(scope, version, observations, clock.nowMs());
    },
    observe: (scope, observation) => void table.observe(scope, observation, clock.nowMs()),
    remove: (scope, namespace, name, uid, version) =>
      void table.remove(scope, namespace, name, uid, version, clock.nowMs()),
    bookmark: (scope, version) => table.bookmark(scope, version, clock.nowMs()),
    setLive: (scope, live) => table.setLive(scope, live, clock.nowMs()),
  };
  return createInformer({
    credentials,
    namespaces: config.namespace,
    selector: config.selector || undefined,
    sink,
    observer: metrics.watch,
    log,
    clock,
    settings: {
      pageSize,
      stallTimeoutMs,
      retry: {
        ...DEFAULT_RETRY_POLICY,
        backoff: { baseMs: backoffMinMs, maxMs: backoffMaxMs },
      },
    },
  });
}

/** Unlike the clock's own timers this one must keep the process alive: it is all that a draining router waits for. */
function sleep(clock: Clock, delayMs: Milliseconds): Promise<void> {
  const untilMs = clock.monotonicMs() + delayMs;
  return new Promise((resolve) => {
    const timer = setInterval(
      () => {
        if (clock.monotonicMs() < untilMs) return;
        clearInterval(timer);
        resolve();
      },
      Math.min(50, delayMs),
    );
  });
}

interface AdminParts {
  readonly config: Config;
  readonly table: RouteTable;
  readonly parseTarget: TargetParser;
  readonly metrics: Metrics;
  readonly readiness: readonly ReadinessCheck[];
  readonly clock: Clock;
}

function adminSource({ config, table, parseTarget, metrics, readiness, clock }: AdminParts): AdminSource {
  const startedMs = clock.monotonicMs();
  const common = () => {
    const stats = table.stats();
    return { synced: table.synced, watermarks: watermarks(stats), counts: routeCounts(stats) };
  };
  return {
    overview() {
      const { ready, lines } = askReadiness(readiness, true);
      return {
        version: VERSION,
        node: process.version,
        uptimeSeconds: Math.round((clock.monotonicMs() - startedMs) / 1_000),
        ready,
        ...(!ready && {
          notReady: lines.filter((line) => line.startsWith("[-]")).map((line) => line.slice(3)),
        }),
        ...common(),
      };
    },
    routes: (query) => ({ ...common(), ...pageOfRoutes(table, query) }),
    explain(input) {
      const rawHeaders = ["Host", input.host, ...input.headers.flat()];
      const head = { method: "GET", target: input.path, rawHeaders };
      const { steps, verdict, target } = explainRequest(head, parseTarget, table, config.auth);
      const entry = target && entryOf(target, table);
      return { input, steps, verdict, ...(entry && { route: routeView(entry) }) };
    },
    metrics: () => metrics.text(),
  };
}

/** What the table knows of the object that a target names, be a route in effect for it or not. */
function entryOf({ by }: Target, table: RouteTable): EntryView | undefined {
  if (by.kind === "object") return table.inspect(`${by.namespace}/${by.name}`);
  const found = table.lookup(by.id);
  if (found.kind === "found") return table.inspect(`${found.route.namespace}/${found.route.name}`);
  // A legacy ID, `namespace--name`, still names its object when no route is in effect.
  for (const { index } of by.id.matchAll(/--/g)) {
    const entry = table.inspect(`${by.id.slice(0, index)}/${by.id.slice(index + 2)}`);
    if (entry) return entry;
  }
  return undefined;
}

function listenAddress(text: string): ListenAddress {
  const address = parseListenAddress(text);
  if ("fault" in address) throw new Error(`the listen address ${JSON.stringify(text)} ${address.fault}`);
  return address;
}

/** Says which setting a listener's failure is about: a taken port is the likeliest fault of a first start. */
async function named<T>(key: "listen" | "peerListen" | "adminListen", opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${key} (${flagOf(key)}): ${message}`, { cause: error });
  }
}

function withHost({ host, port }: ListenAddress): { readonly host?: string; readonly port: number } {
  return host === undefined ? { port } : { host, port };
}
