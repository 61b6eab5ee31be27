import { readFile } from "node:fs/promises";
import { get } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { isatty } from "node:tty";
import { messageOf } from "../../system/error-text.ts";
import { type Clock, systemClock } from "../../system/clock.ts";
import { createAnycastServer } from "./anycast-server.ts";
import type { Backend } from "./backend.ts";
import { BackendsFile } from "./backends-file.ts";
import { BirdAnnouncer } from "./bird-announcer.ts";
import { AnycastGuard, type Guarded } from "./guard.ts";
import { Heartbeat, heartbeatPath } from "./heartbeat.ts";
import { AnycastKernel } from "./kernel.ts";
import { KernelEvents } from "./kernel-events.ts";
import { ROUTER_PROTOCOLS } from "./own-addresses.ts";
import { PodBackends } from "./pod-backends.ts";
import { AnycastReconciler } from "./reconciler.ts";
import { type AnycastSpec, parseAnycastSpec } from "./spec.ts";
import type { AnycastStatus } from "./status.ts";
import { describeNodeToolError, NodeToolError } from "../node-tool-error.ts";
import { IpRoute } from "../iproute.ts";
import type { NetworkNamespace } from "../network-namespace.ts";
import type { Log } from "../../system/log.ts";
import { configFrom } from "../../config/load.ts";
import { notifySystemd } from "../systemd/notify.ts";
import { hostMetricsText } from "../../metrics/node-metrics.ts";
import { createOperationalLog } from "../../system/operational-log.ts";
import { catchHangUps, handleSignals } from "../../system/process-signals.ts";
import type { ApiCredentials } from "../../watch/api-credentials.ts";
import type { ObservedPod } from "../../watch/pod-projection.ts";

/** Prefix of BIRD's protocols that the daemon makes. */
const PROTOCOLS = "lychgate_anycast";
const STATUS_TIMEOUT_MS = 3000;
const STDERR = 2;
const DEFAULT_BIRD_SOCKET = "/run/bird/bird.ctl";
const GUARD_BIRD_TIMEOUT_MS = 1000;

export type { AnycastStatus } from "./status.ts";
export type { AnycastSpec } from "./spec.ts";

/** What a daemon needs beside its spec. */
export interface AnycastSurroundings {
  readonly log: Log;
  /** Default: this process's own. */
  readonly namespace?: NetworkNamespace;
  readonly clock?: Clock;
  /** Default: from the spec, as kubectl finds them. */
  readonly credentials?: ApiCredentials;
  /** Default: `NODE_NAME` of the environment. */
  readonly nodeName?: string | undefined;
}

/** A running daemon. */
export interface AnycastDaemon {
  readonly address: AddressInfo;
  status(): AnycastStatus;
  /** Ends it as `onExit` of the spec says. */
  stop(): Promise<void>;
}

/** Reads a spec. Throws `NodeToolError` that names the file, each field and what it must be. */
export async function loadAnycastSpec(path: string): Promise<AnycastSpec> {
  let content: string;
  try {
    content = await readFile(path, "utf8");
  } catch (cause) {
    throw new NodeToolError("not_found", `reading ${path}: ${messageOf(cause)}`, {
      cause,
      fix: "give the spec's path with --spec",
    });
  }
  return parseAnycastSpec(content, path);
}

/**
 * Starts the reconciler with its sources. Rejects, with nothing left running, when the listener's port is taken, the
 * backends file is malformed, or there are no credentials; an API server or a BIRD that is away is waited for.
 */
export async function startAnycast(
  spec: AnycastSpec,
  surroundings: AnycastSurroundings,
): Promise<AnycastDaemon> {
  const { log, clock = systemClock, namespace = { kind: "own" } } = surroundings;
  const counted = hostMetricsText();
  const reconciler = new AnycastReconciler({
    addresses: spec.addresses,
    sources: [...(spec.pods ? ["pods"] : []), ...(spec.backendsFile === undefined ? [] : ["file"])],
    groupType: spec.kernel.groupType,
    lingerMs: spec.lingerMs,
    resyncMs: spec.resyncMs,
    kernel: new AnycastKernel(new IpRoute({ namespace }), spec.kernel),
    bird: announcerOf(spec),
    observer: counted.metrics.anycast,
    clock,
    log,
  });
  const server = createAnycastServer({
    listen: spec.listen,
    status: () => status(),
    metrics: async () => ({ text: await counted.text(), contentType: counted.contentType }),
  });
  const events = new KernelEvents({ namespace, happened: () => reconciler.kernelChanged(), clock, log });
  const heartbeat = new Heartbeat({ path: heartbeatPath(spec.bird.includeFile), clock, log });
  const stops: (() => void)[] = [() => events.stop()];
  let backendsFile: BackendsFile | undefined;
  let api = spec.pods ? "the API server has not been heard yet" : "";
  const status = (): AnycastStatus => {
    const ofAll = { ...reconciler.status(), api };
    return backendsFile?.fault ? { ...ofAll, advice: [...ofAll.advice, backendsFile.fault] } : ofAll;
  };
  let stopPods: (() => Promise<void>) | undefined;
  const stopSources = async (): Promise<void> => {
    for (const stop of stops) stop();
    await Promise.all([stopPods?.(), server.close()]);
  };
  try {
    const address = await server.listen();
    if (spec.backendsFile !== undefined) {
      const file = new BackendsFile({
        path: spec.backendsFile,
        changed: (backends) => reconciler.setBackends("file", backends),
        clock,
        log,
      });
      backendsFile = file;
      stops.push(() => file.close());
      await file.start();
      // What a watch of the folder may miss, such as another file system mounted over it.
      const again = setInterval(() => void file.refresh(), spec.resyncMs);
      stops.push(() => clearInterval(again));
    }
    if (spec.pods) {
      const heard = (live: boolean): void => {
        const since = new Date(clock.nowMs()).toISOString();
        const fault = `the API server has not been heard since ${since}: pods that end are not known; what was known stays in force`;
        if (live === (api === "")) return;
        if (live) log.info("anycast: the API server is heard");
        else log.error(`anycast: ${fault}`);
        api = live ? "" : fault;
      };
      stopPods = await watchPods(
        spec.pods,
        surroundings,
        clock,
        (backends) => reconciler.setBackends("pods", backends),
        heard,
      );
    }
    events.start();
    heartbeat.start();
    return {
      address,
      status,
      async stop() {
        await stopSources();
        await reconciler.stop(spec.onExit === "withdraw");
        await heartbeat.stop();
      },
    };
  } catch (error) {
    await stopSources();
    await reconciler.stop(false);
    throw error;
  }
}

/** Watches the node's pods from now on; resolves to what ends it. */
async function watchPods(
  pods: NonNullable<AnycastSpec["pods"]>,
  { log, credentials, nodeName = process.env["NODE_NAME"] }: AnycastSurroundings,
  clock: Clock,
  changed: (backends: readonly Backend[]) => void,
  heard: (live: boolean) => void,
): Promise<() => Promise<void>> {
  const node = pods.node || nodeName;
  if (!node) {
    throw new NodeToolError("invalid", "pods: the name of this node is not known", {
      fix: "set NODE_NAME (in a DaemonSet from spec.nodeName) or pods.node",
    });
  }
  // Imported late: undici and the Kubernetes client cost 100 MB, which a node with a file alone need not have.
  const [{ createInformerOf }, { loadCredentials }, { podsWithAnnotation }] = await Promise.all([
    import("../../watch/informer.ts"),
    import("../../watch/credentials.ts"),
    import("../../watch/pod-projection.ts"),
  ]);
  const { kubeconfig, context, namespaces, selector, annotation } = pods;
  const informer = createInformerOf<ObservedPod>({
    credentials:
      credentials ??
      (await loadCredentials({ ...(kubeconfig && { kubeconfig }), ...(context && { context }) })),
    namespaces,
    selector: selector || undefined,
    fieldSelector: `spec.nodeName=${node}`,
    resource: podsWithAnnotation(annotation),
    settings: configFrom().watch,
    sink: new PodBackends(changed, Math.max(1, new Set(namespaces).size), heard),
    log,
    clock,
  });
  informer.start();
  return () => informer.stop();
}

/** `lychgate node anycast run`: until SIGTERM or SIGINT. Resolves to the exit code. */
export async function runAnycast(specPath: string, namespace: NetworkNamespace): Promise<number> {
  const format = isatty(STDERR) ? "text" : "json";
  const log = createOperationalLog({ level: "info", format, fd: STDERR });
  try {
    const spec = await loadAnycastSpec(specPath);
    catchHangUps().listen(() => log.info("SIGHUP: nothing is read again; a changed spec needs a restart"));
    const daemon = await startAnycast(spec, { log, namespace });
    const { promise, resolve } = Promise.withResolvers<void>();
    handleSignals(
      {
        onFirst(signal) {
          log.info(`${signal}: ending`, { routes: spec.onExit });
          resolve();
        },
        onSecond: () => process.exit(1),
      },
      () => systemClock.monotonicMs(),
    );
    log.info("keeping anycast addresses", {
      addresses: spec.addresses,
      listen: `${daemon.address.address}:${daemon.address.port}`,
    });
    const unnotify = notifySystemd(process.env, systemClock);
    await promise;
    unnotify();
    await daemon.stop();
    return 0;
  } catch (error) {
    log.error(`cannot go on: ${describeNodeToolError(error)}`);
    return 1;
  } finally {
    log.flush();
  }
}

/** Where those who announce by BIRD on a node are found. */
export interface Announcers {
  /** The daemon's; absent: there is none. */
  readonly spec?: AnycastSpec;
  /** The router's `anycast.includeFile`. */
  readonly routerIncludeFile: string;
}

/** `lychgate node anycast guard`: until SIGTERM or SIGINT. Resolves to the exit code. */
export async function runGuard(announcers: Announcers): Promise<number> {
  const format = isatty(STDERR) ? "text" : "json";
  const log = createOperationalLog({ level: "info", format, fd: STDERR });
  const guarded = guardedBy(announcers);
  const guard = new AnycastGuard({ guarded, clock: systemClock, log });
  const { promise, resolve } = Promise.withResolvers<void>();
  handleSignals({ onFirst: () => resolve(), onSecond: () => process.exit(1) }, () =>
    systemClock.monotonicMs(),
  );
  guard.start();
  log.info("guarding what is announced", { heartbeats: guarded.map(({ heartbeat }) => heartbeat) });
  await promise;
  await guard.stop();
  log.flush();
  return 0;
}

/** `lychgate node anycast withdraw`: all that the daemon announced, now. Rejects with `NodeToolError`. */
export async function withdrawDaemon(spec: AnycastSpec): Promise<void> {
  await announcerOf(spec).withdrawAll();
}

function guardedBy({ spec, routerIncludeFile }: Announcers): readonly Guarded[] {
  const bird = spec?.bird ?? { controlSocket: DEFAULT_BIRD_SOCKET, timeoutMs: GUARD_BIRD_TIMEOUT_MS };
  const router = new BirdAnnouncer({ ...bird, includeFile: routerIncludeFile, prefix: ROUTER_PROTOCOLS });
  return [
    ...(spec
      ? [{ name: "the daemon", heartbeat: heartbeatPath(spec.bird.includeFile), bird: announcerOf(spec) }]
      : []),
    { name: "the router", heartbeat: heartbeatPath(routerIncludeFile), bird: router },
  ];
}

/**
 * What a daemon says at the spec's listener; what kernel and BIRD show when none answers there. Rejects with `NodeToolError` when
 * the kernel can't be read either.
 */
export async function anycastStatus(spec: AnycastSpec, namespace: NetworkNamespace): Promise<AnycastStatus> {
  return (await askDaemon(spec.listen)) ?? readNode(spec, namespace);
}

async function askDaemon(listen: string): Promise<AnycastStatus | undefined> {
  const local = listen.replace(/^(0\.0\.0\.0|\[::\])?(?=:\d+$)/, (host) =>
    host === "[::]" ? "[::1]" : "127.0.0.1",
  );
  try {
    const body = await new Promise<string>((resolve, reject) => {
      const signal = AbortSignal.timeout(STATUS_TIMEOUT_MS);
      get(`http://${local}/status`, { agent: false, signal }, (response) => {
        if (response.statusCode === 200) text(response).then(resolve, reject);
        else reject(new Error(`status ${response.statusCode}`));
      }).on("error", reject);
    });
    return JSON.parse(body) as AnycastStatus;
  } catch {
    return undefined;
  }
}

async function readNode(spec: AnycastSpec, namespace: NetworkNamespace): Promise<AnycastStatus> {
  const kernel = new AnycastKernel(new IpRoute({ namespace }), spec.kernel);
  const [state, inBird, advice] = await Promise.all([
    kernel.read(spec.addresses, []),
    announcerOf(spec)
      .announced()
      .catch((error: unknown) => describeNodeToolError(error)),
    kernel.hashPolicyAdvice(),
  ]);
  return {
    from: "node",
    synced: false,
    api: "",
    bird: typeof inBird === "string" ? inBird : "",
    lastPass: null,
    addresses: spec.addresses.map((address) => {
      const group = state.groups.get(state.routes.get(address) ?? -1);
      const members = [...(group?.members.keys() ?? [])].flatMap((id) => state.nexthops.get(id) ?? []);
      const foreign = state.foreignRoutes.get(address);
      return {
        address,
        announced: typeof inBird === "string" ? null : inBird.has(address),
        members: members.map(({ via, device }) => ({ nexthop: via, device, eligible: true })),
        why: foreign === undefined ? "" : `another program has a route for it: ${foreign}`,
      };
    }),
    backends: [],
    advice,
  };
}

function announcerOf({ bird }: AnycastSpec): BirdAnnouncer {
  return new BirdAnnouncer({ ...bird, prefix: PROTOCOLS });
}
