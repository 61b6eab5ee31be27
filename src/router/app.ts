import { readFileSync } from "node:fs";
import { PeerBook } from "../history/peer-book.ts";
import { RouteHistory } from "../history/route-history.ts";
import { recordFacts } from "../history/fact-recorder.ts";
import { addressIn } from "../system/cidrs.ts";
import { sleep, systemClock, type Clock } from "../system/clock.ts";
import { LiveConfig } from "../config/live.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { OwnAddresses } from "../node/anycast/own-addresses.ts";
import { createOverlapMonitor } from "../node/overlap/command.ts";
import type { Log } from "../system/log.ts";
import { type Membership, startMembership } from "./membership.ts";
import { createMetrics } from "../metrics/registry.ts";
import { Distrust } from "../peers/distrust.ts";
import { askReadiness, type ReadinessCheck } from "../peers/readiness.ts";
import { createAdminPort, readAdminToken } from "./admin-port.ts";
import { type Addresses, listenAddress, listenOnAll } from "./listeners.ts";
import { createPeerPort } from "./peer-port.ts";
import { reloadConfig } from "./reload.ts";
import { InterfaceAddresses } from "./interface-addresses.ts";
import { PodAddresses } from "./pod-addresses.ts";
import { PodIpLog } from "./pod-ip-log.ts";
import type { RequestObserver } from "../proxy/record/request-record.ts";
import { createReplicas } from "./replicas.ts";
import { createRouterAccess } from "./router-access.ts";
import { createRouterView } from "./router-view.ts";
import { RouteTable } from "../routes/table.ts";
import { startSettling } from "./settling.ts";
import { createSnapshots, mayServeSnapshot, servedSnapshotAtMs, snapshotReadiness } from "./snapshots.ts";
import { tableSink } from "./table-sink.ts";
import { tableOptionsOf } from "./table-options.ts";
import { TableTimer } from "./table-timer.ts";
import { newViaPseudonym } from "../proxy/lane-options.ts";
import { errorPageOf } from "./error-page-file.ts";
import { Waker } from "../wake/waker.ts";
import { createTlsSource } from "./tls-source.ts";
import { createTraffic, targetParserOf, type Traffic } from "./traffic.ts";
import { VERSION } from "../system/version.ts";
import { createWatching } from "./watching.ts";
import { syncReadiness, watchReadiness } from "./watch-readiness.ts";
import { createWorkerTraffic } from "./worker-traffic.ts";
import { apiCredentialsOf } from "./api-credentials.ts";
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
   * The configuration as it may change while the router runs, with where its values came from; its `config` is what
   * {@link startRouter} is given, or nearly so. Absent: it never changes, and the status page names no origins.
   */
  readonly live?: LiveConfig | undefined;
  /**
   * An API server to watch without credentials, in place of what `kubeconfig` and the environment say: the embedded dev
   * cluster's. Spares the Kubernetes client's 80 MB.
   */
  readonly apiServer?: URL | undefined;
  /** Reads the addresses that are the router's own, and so no pod's. Default: those of this host's interfaces. */
  readonly readOwnAddresses?: (() => readonly string[]) | undefined;
}

/** A running router. */
export interface Router {
  readonly addresses: Addresses;
  readonly table: RouteTable;
  /** Resolves when the routes are known: at once without an informer. */
  synced(): Promise<void>;
  /**
   * The ordered end (docs/architecture.md#drain): readiness off, its own anycast addresses withdrawn, `drain.delayMs` for
   * load balancers to notice, then no new connections and at most `drain.timeoutMs` for what is under way. Afterwards
   * nothing of the router is left.
   */
  drain(): Promise<void>;
  /**
   * Loads the configuration anew and puts in effect what can change while the router runs (`Setting.live`, and the token in
   * `admin.tokenFile`). Logs what changed and which keys need a restart. When `load` throws, or a file can't be read, all
   * stays as it was, and the log says so. Never throws.
   */
  reload(load: () => LoadedConfig): void;
  /** Ends everything at once. */
  stop(): Promise<void>;
}

/**
 * Starts a router: the one place where the parts meet. Rejects, with nothing left running, when a port is taken or
 * there are no credentials for the API server; an API server that does not answer is waited for.
 *
 * @example
 * ```ts
 * import { configFrom } from "../config/load.ts";
 * import { silentLog } from "../system/log.ts";
 * import { startRouter } from "./app.ts";
 *
 * const anyPort = "127.0.0.1:0";
 * const config = configFrom({ source: "none", listen: anyPort, peerListen: anyPort, adminListen: anyPort });
 * const router = await startRouter(config, { log: silentLog });
 * await router.synced();
 * const { status } = await fetch(`http://127.0.0.1:${router.addresses.admin.port}/healthz`);
 * console.log(status);
 * // 200
 * await router.stop();
 * ```
 */
export async function startRouter(config: Config, surroundings: RouterSurroundings): Promise<Router> {
  const { log, clock = systemClock } = surroundings;
  const watched = config.source === "kubernetes";
  // First of all: a file that is missing must not leave half a router.
  const token = readAdminToken(config);
  const replyPage = errorPageOf(config);
  const access = createRouterAccess({ config, clock, log });
  const live = surroundings.live ?? new LiveConfig({ config, origins: new Map(), file: undefined });
  const metrics = createMetrics({ version: VERSION, clock });
  const distrust = new Distrust(clock);
  const { readOwnAddresses } = surroundings;
  const interfaces = new InterfaceAddresses({
    clock,
    log,
    ...(readOwnAddresses && { read: readOwnAddresses }),
  });
  // Anycast addresses are the router's own before an interface has them.
  const readPodAddresses = (): PodAddresses =>
    new PodAddresses(config.routes.podCidrs, [...interfaces.current, ...config.anycast.addresses]);
  let podAddresses = readPodAddresses();
  const table = new RouteTable({
    ...tableOptionsOf(config),
    distrusts: (from, key) => distrust.ignores(from, key),
    isPodAddress: (ip) => podAddresses.allows(ip),
  });
  const timer = new TableTimer(table, clock);
  const history = new RouteHistory(historyBounds(config));
  const peerBook = new PeerBook();
  const sink = tableSink(table, clock, config.peers.trustProven);
  const watching = watched
    ? await createWatching({
        config,
        credentials: await apiCredentialsOf(config, surroundings),
        table,
        sink,
        metrics,
        clock,
        log,
      })
    : undefined;

  let draining = false;
  const parseTarget = targetParserOf(config);
  // First of all listeners: when others hear of an end, its connections are closed already.
  const listen = listenAddress(config.listen);
  const viaPseudonym = newViaPseudonym();
  const wakes =
    config.wake.enabled && watching
      ? new Waker({
          api: watching.waker,
          timeoutMs: config.wake.timeoutMs,
          maxAttempts: config.wake.maxAttempts,
          failed: (key, uid, failure) => traffic.wakeFailed(key, uid, failure),
          observer: metrics.wake,
          clock,
          log,
        })
      : undefined;
  const tlsSource = createTlsSource({ config: config.tls, metrics, clock, log });
  const tls = tlsSource && { listen: listenAddress(config.tls.listen), material: tlsSource.material };
  const workers =
    config.workers > 1
      ? createWorkerTraffic({ config, listen, tls, table, viaPseudonym, wakes, metrics, clock, log })
      : undefined;
  const traffic: Traffic =
    workers ??
    createTraffic({
      config,
      listen,
      tls,
      routes: table,
      parseTarget,
      access,
      viaPseudonym,
      replyPage,
      wakes,
      metrics,
      accessLog: surroundings.accessLog,
      clock,
      log,
    });
  if (wakes) table.addListener({ routeChanged: (key, route) => wakes.routeChanged(key, route) });
  tlsSource?.onChange((material) => traffic.applyTls(material));
  table.addListener(metrics.table);
  table.addListener(recordFacts({ history, peers: peerBook, clock }));
  const reader = watching?.reader;
  // With `peers.trust: serve` too: an update of what `selector` may leave out waits for a read.
  const settling =
    reader &&
    startSettling({
      table,
      sink,
      reader,
      distrust,
      maxReads: config.peers.maxReads,
      metrics,
      clock,
      log,
    });
  const podIpLog = new PodIpLog(log, clock);
  table.addListener({
    podIpRefused: (source, key, ip, from) =>
      podIpLog.tell({ source, key, ip, why: podAddresses.refusalOf(ip), from }),
  });
  const overlap = createOverlapMonitor(config.node, table, { observer: metrics.node.overlap, clock, log });

  const readiness: ReadinessCheck[] = [
    { name: "synced", ready: () => syncReadiness(table.synced, watching?.missing()) },
    ...(watching
      ? [{ name: "watch", ready: () => watchReadiness(watching.status().scopes, config.watch) }]
      : []),
    ...(mayServeSnapshot(config) ? [snapshotReadiness(table, config.snapshot.ready, clock)] : []),
    { name: "draining", ready: () => !draining || "the router is shutting down" },
    ...(workers
      ? [{ name: "workers", ready: () => workers.ready > 0 || "no worker knows the routes yet" }]
      : []),
    ...(overlap ? [{ name: "overlap", ready: () => overlap.ready() }] : []),
  ];
  const mayPush = config.peers.allowFrom.length > 0 ? addressIn(config.peers.allowFrom) : undefined;
  let membership: Membership | undefined;
  const replicas = await createReplicas({
    config,
    table,
    members: () => membership?.peers,
    server: watching?.status().server ?? "",
    metrics,
    clock,
    log,
  });
  const peers = createPeerPort({
    config,
    sink,
    readiness,
    mayPush,
    replicas: replicas?.answers,
    book: peerBook,
    metrics,
    clock,
    log,
  });
  const view = createRouterView({
    config,
    live: surroundings.live,
    table,
    history,
    peers: peerBook,
    membership: () => membership,
    parseTarget,
    access,
    metrics,
    readiness,
    watching,
    workersReady: workers && (() => workers.ready),
    describeConnectionsTo: traffic.describeConnectionsTo?.bind(traffic),
    clock,
  });
  const admin = createAdminPort({ config, source: view, token, metrics, log });
  metrics.readFrom({
    table: () => table.stats(),
    tableLimits: () => ({ hints: config.peers.maxHints, tombstones: config.tombstones.max }),
    watch: () => watching?.status().scopes ?? [],
    members: () =>
      membership && {
        statuses: membership.members().map(({ status }) => status),
        healthScore: membership.healthScore(),
      },
    ready: () => askReadiness(readiness, false).ready,
    snapshotServedAtMs: () => servedSnapshotAtMs(table),
  });

  live.join((next) => {
    const changeAccess = admin.accessOf(next);
    return () => {
      changeAccess();
      traffic.apply(next);
      history.setBounds(historyBounds(next));
    };
  });

  const snapshots = createSnapshots({
    config,
    table,
    server: watching?.status().server ?? "",
    replicas,
    loaded: () => workers?.tableSynced(),
    metrics,
    clock,
    log,
  });

  const ownAddresses =
    config.anycast.addresses.length > 0
      ? new OwnAddresses({
          addresses: config.anycast.addresses,
          controlSocket: config.anycast.birdSocket,
          includeFile: config.anycast.includeFile,
          ready: () => askReadiness(readiness, false).ready,
          observer: metrics.node.anycast,
          clock,
          log,
        })
      : undefined;

  const stopRest = async (abrupt: boolean): Promise<void> => {
    timer.stop();
    tlsSource?.stop();
    access.stop();
    settling?.stop();
    interfaces.stop();
    view.stop();
    await replicas?.stop();
    wakes?.stop();
    if (abrupt) snapshots?.stop();
    else await snapshots?.finish();
    // First the farewell: managers shall not push to a port that is closed.
    await membership?.stop(abrupt);
    await Promise.all([watching?.stop(), overlap?.stop(), peers.close(), admin.close()]);
    metrics.close();
  };
  try {
    const addresses = await listenOnAll(config, {
      traffic: () => traffic.listen(),
      peers: () => peers.listen(),
      admin: () => admin.listen(),
    });
    // After the listeners: whoever finds this router by it may push at once.
    membership = await startMembership({
      config: config.memberlist,
      credentials: () => apiCredentialsOf(config, surroundings),
      // Who takes part there is pushed to, and pushes.
      allows: mayPush,
      readFile: (path) => readFileSync(path, "utf8"),
      metrics,
      clock,
      log,
    });
    timer.start();
    interfaces.start(() => {
      podAddresses = readPodAddresses();
      table.podAddressesChanged(clock.nowMs());
    });
    view.start();
    overlap?.start();
    watching?.start();
    snapshots?.start();
    replicas?.start();
    ownAddresses?.start();
    if (workers)
      watching?.waitForSync().then(
        () => workers.tableSynced(),
        () => {},
      );
    return {
      addresses,
      table,
      synced: () => watching?.waitForSync() ?? Promise.resolve(),
      async drain() {
        draining = true;
        const { delayMs } = live.config.drain;
        log.info("draining: not ready any more", { delayMs });
        await ownAddresses?.withdraw();
        await sleep(clock, delayMs);
        await traffic.drain(live.config.drain.timeoutMs);
        await stopRest(false);
      },
      reload(load) {
        metrics.configReloaded(reloadConfig(live, load, log) ? "success" : "failure");
        void tlsSource?.look();
      },
      async stop() {
        draining = true;
        await Promise.all([ownAddresses?.withdraw(), traffic.close()]);
        await stopRest(true);
      },
    };
  } catch (error) {
    await traffic.close();
    await stopRest(true);
    throw error;
  }
}

function historyBounds({ admin }: Config): { readonly maxFacts: number; readonly maxFactsPerRoute: number } {
  return { maxFacts: admin.historyFacts, maxFactsPerRoute: admin.historyFactsPerRoute };
}
