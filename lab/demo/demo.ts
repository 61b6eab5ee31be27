import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { resolve } from "node:path";
import { makeDemoCertificate } from "./demo-certificate.ts";
import { type Router, startRouter } from "../../src/router/app.ts";
import { messageOf } from "../../src/system/error-text.ts";
import { systemClock } from "../../src/system/clock.ts";
import { LiveConfig } from "../../src/config/live.ts";
import type { EffectiveConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { type ClusterEvent, describeClusterEvent } from "../devcluster/cluster-event.ts";
import { type DevCluster, startDevCluster } from "../devcluster/cluster.ts";
import { idOf } from "../devcluster/controller.ts";
import { writeKubeconfig } from "../devcluster/kubeconfig.ts";
import { seededRandom } from "../devcluster/random.ts";
import { Visitor, VISITOR_AGENT } from "../devcluster/visitor.ts";
import { accessLogOf, operationalLog } from "../../src/router/router-logs.ts";
import { drainOnSignal } from "../../src/router/serve.ts";

/** What the embedded cluster does. */
export interface DemoOptions {
  /** Sandboxes at a time, 1 to 10,000. */
  readonly sandboxes: number;
  /** Claims, pauses, resumes and deletions per minute, 0 to 60,000. */
  readonly churnPerMinute: number;
  /** Requests per minute to sandboxes that run, 0 to 60,000. */
  readonly requestsPerMinute: number;
  /** Makes the order of changes repeatable. Absent: random. */
  readonly seed?: number;
  /** Serve TLS too, at this port, with a certificate that is made for it. */
  readonly tlsPort: number | undefined;
}

const NAMESPACE = "team-a";
/** The sandbox that the printed examples name; churn leaves it alone. */
const EXAMPLE = "hello";
/** Below the working directory; while another demo that runs has it, the next is `…/kubeconfig-2`. */
const KUBECONFIG = ".lychgate/kubeconfig";
/** Where `lychgate explain` and `routes` ask when they are not told. */
const DEFAULT_ADMIN_PORT = 9902;
/** Beside the kubeconfig. */
const CERTIFICATES = ".lychgate/tls";
/** How long an API server on this machine may take to accept a connection. */
const IN_USE_TIMEOUT_MS = 1_000;
/** Pods get addresses from here on; each may be reused at once by the next. */
const FIRST_POD_IP = "127.0.64.1";
/** All of them. */
const POD_CIDR = "127.0.0.0/8";

/**
 * Runs a whole cluster in this process and the router in front of it, fed by the real informer and by real pushes, some
 * of which come late, twice or out of order. Prints what to try and what happens. Resolves to the exit code when a
 * signal has ended it.
 */
export async function runDemo(
  { config, origins, file }: EffectiveConfig,
  options: DemoOptions,
): Promise<number> {
  const log = operationalLog(config);
  const accessLog = accessLogOf(config);
  let cluster: DevCluster | undefined;
  let router: Router | undefined;
  let kubeconfig: string;
  try {
    cluster = await startCluster(options);
    // The cluster is the source, whatever the configuration says: that is what the demo is.
    const own: Config = {
      ...config,
      source: "kubernetes",
      namespace: [],
      selector: "",
      routes: { ...config.routes, podCidrs: [POD_CIDR] },
      ...(options.tlsPort !== undefined && { tls: await withCertificate(config.tls, options.tlsPort) }),
    };
    router = await startRouter(own, {
      log,
      // One line a second that nobody asked for would drown what happens.
      accessLog: accessLog && ((record) => record.userAgent !== VISITOR_AGENT && accessLog.record(record)),
      apiServer: new URL(cluster.apiUrl),
      live: new LiveConfig({ config: own, origins, file }),
    });
    // Last of all: the one that a demo before wrote, which may run on, stays as long as this one could not start.
    kubeconfig = await writeOwnKubeconfig(cluster.apiUrl);
  } catch (error) {
    log.error(`cannot start the demo: ${messageOf(error)}`);
    log.flush();
    await router?.stop();
    await cluster?.stop();
    return 1;
  }
  cluster.pusher.setPeers([`http://127.0.0.1:${router.addresses.peers.port}`]);
  const stops = [tellWhatHappens(cluster, router), outageOnSignal(cluster)];
  const running = { cluster, router };
  const drained = drainOnSignal({ drain: () => stopAll(running, stops) }, log, accessLog);
  await router.synced();
  const example = await cluster.claim({ id: EXAMPLE, owner: "you" });
  print(whatToTry(router, example.metadata.name, kubeconfig, options.requestsPerMinute));
  if (config.resources.includes("agents.x-k8s.io")) print(otherExample(cluster, router));
  stops.push(keepExample(cluster), visit(running, options));

  await drained;
  await accessLog?.close();
  log.info("ended");
  log.flush();
  return 0;
}

/** TLS with a certificate of the demo's own, unless the configuration names one. */
async function withCertificate(tls: Config["tls"], port: number): Promise<Config["tls"]> {
  const listen = tls.listen === "" ? `:${port}` : tls.listen;
  if (tls.certFiles.length > 0) return { ...tls, listen };
  const names = ["*.example.com", "localhost", "127.0.0.1"];
  const { certFile, keyFile } = await makeDemoCertificate(CERTIFICATES, names);
  return { ...tls, listen, certFiles: [certFile], keyFiles: [keyFile] };
}

interface Running {
  readonly cluster: DevCluster;
  readonly router: Router;
}

async function stopAll({ cluster, router }: Running, stops: readonly (() => void)[]): Promise<void> {
  cluster.churn.stop();
  for (const stop of stops) stop();
  // Nobody waits for a load balancer here.
  await router.stop();
  await cluster.stop();
}

function startCluster({ sandboxes, churnPerMinute, seed }: DemoOptions): Promise<DevCluster> {
  const waiting = Math.max(2, Math.round(sandboxes / 4));
  return startDevCluster({
    seed: seed ?? Math.floor(seededRandom(Date.now() % 2 ** 31).next() * 2 ** 31),
    // Few more addresses than pods, so that addresses change hands soon.
    pods: { firstIp: FIRST_POD_IP, ipCount: sandboxes + waiting + 4 },
    pools: [{ namespace: NAMESPACE, name: "code", size: waiting }],
    churn: {
      actionsPerSecond: churnPerMinute / 60,
      targetClaimed: Math.max(1, sandboxes - waiting),
      spare: ({ metadata }) => metadata.labels?.["agents.kruise.io/sandbox-id"] === EXAMPLE,
    },
    push: { faults: { late: 0.1, twice: 0.1, reordered: 0.1, stale: 0.1 } },
  });
}

/** Writes a kubeconfig where no other demo that runs has its own; resolves to its path. */
async function writeOwnKubeconfig(server: string): Promise<string> {
  let path = KUBECONFIG;
  for (let number = 2; await isInUse(resolve(path)); number++) path = `${KUBECONFIG}-${number}`;
  await writeKubeconfig(resolve(path), { server, namespace: NAMESPACE });
  return path;
}

/** Whether a kubeconfig is there whose API server listens. */
async function isInUse(path: string): Promise<boolean> {
  const server = /^ *server: *["']?(http\S+?)["']?$/m.exec(await readFile(path, "utf8").catch(() => ""))?.[1];
  const url = server === undefined ? null : URL.parse(server);
  if (!url) return false;
  return new Promise((resolve) => {
    const socket = connect({ host: url.hostname, port: Number(url.port), timeout: IN_USE_TIMEOUT_MS });
    const answer = (is: boolean): void => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => answer(true));
    socket.once("timeout", () => answer(false));
    socket.once("error", () => answer(false));
  });
}

/** Makes a sandbox of the other CRD, which nobody churns; returns how to ask for it. */
function otherExample(cluster: DevCluster, router: Router): string {
  const { namespace, name } = { namespace: "team-b", name: "notebook" };
  cluster.agentSandboxes.create(namespace, name);
  const fields = [`x-sandbox-id: ${name}`, `x-sandbox-namespace: ${namespace}`, "x-sandbox-port: 3000"];
  const options = fields.map((field) => `-H '${field}'`).join(" ");
  return `A sandbox of agents.x-k8s.io:\n\n    curl ${options} http://127.0.0.1:${router.addresses.traffic.port}/\n`;
}

/** Claims the example again when somebody has deleted it: what is printed goes on to work. Returns what stops that. */
function keepExample(cluster: DevCluster): () => void {
  return cluster.store.subscribe(({ type, object }) => {
    if (type !== "DELETED" || idOf(object) !== EXAMPLE) return;
    cluster.claim({ id: EXAMPLE, owner: "you" }).then(
      ({ metadata: { namespace, name } }) =>
        print(`${timeOfDay()}  ${EXAMPLE} was deleted and is claimed again: it is ${namespace}/${name} now`),
      // The cluster stops.
      () => {},
    );
  });
}

/** Uses the sandboxes that run, so that there is something to see; returns what stops that. */
function visit({ cluster, router }: Running, { requestsPerMinute, seed }: DemoOptions): () => void {
  const visitor = new Visitor({
    url: `http://127.0.0.1:${router.addresses.traffic.port}/`,
    store: cluster.store,
    requestsPerSecond: requestsPerMinute / 60,
    clock: systemClock,
    random: seededRandom(seed ?? 1),
  });
  return () => visitor.stop();
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function timeOfDay(): string {
  return new Date(systemClock.nowMs()).toISOString().slice(11, 23);
}

function printEvent(event: ClusterEvent): void {
  // Most pushes say what the event before them said.
  if (event.kind !== "push") print(`${timeOfDay()}  ${describeClusterEvent(event)}`);
}

/** Prints the cluster's events and what the table refused; returns what stops that. */
function tellWhatHappens(cluster: DevCluster, router: Router): () => void {
  const stops = [
    cluster.on(printEvent),
    router.table.addListener({
      told({ writer, guard, namespace, name }) {
        if (guard)
          print(`${timeOfDay()}  stopped: a ${writer} would have revived ${namespace}/${name} (${guard})`);
      },
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** SIGUSR2 takes the cluster's API away, the next gives it back (docs/drill.md); returns what stops that. */
function outageOnSignal({ api }: DevCluster): () => void {
  let away = false;
  const toggle = (): void => {
    away = !away;
    print(`${timeOfDay()}  SIGUSR2: the API server is ${away ? "away" : "back"}`);
    api.setOutage(away ? "refuse" : "none").catch((error: unknown) => print(String(error)));
  };
  process.on("SIGUSR2", toggle);
  return () => process.off("SIGUSR2", toggle);
}

function whatToTry(
  { addresses }: Router,
  name: string,
  kubeconfig: string,
  requestsPerMinute: number,
): string {
  const traffic = `127.0.0.1:${addresses.traffic.port}`;
  const admin = `http://127.0.0.1:${addresses.admin.port}`;
  const kubectl = `kubectl --kubeconfig ${kubeconfig}`;
  const visits =
    requestsPerMinute > 0
      ? `\n  Sandboxes that run get ${requestsPerMinute} requests a minute from the demo itself.`
      : "";
  const flag = addresses.admin.port === DEFAULT_ADMIN_PORT ? "" : ` --admin ${admin}`;
  const tls =
    addresses.tls === undefined
      ? ""
      : `\n    curl --cacert ${CERTIFICATES}/tls.crt --connect-to ::127.0.0.1:${addresses.tls.port} https://3000-${EXAMPLE}.example.com/`;
  return `
  Lychgate and a cluster of its own are running. Try, in another terminal:

    curl -H 'Host: 3000-${EXAMPLE}.example.com' http://${traffic}/${tls}
    ${kubectl} get sandboxes -w
    ${kubectl} patch sandbox ${name} --type merge -p '{"spec":{"paused":true}}'
    npx lychgate explain 3000-${EXAMPLE}.example.com${flag}
    npx lychgate routes${flag}
    npx lychgate top${flag}

  Status   ${admin}/
  Metrics  ${admin}/metrics
  Peers    http://127.0.0.1:${addresses.peers.port}/readyz

  kubectl looks into the namespace ${NAMESPACE} unless you say -n.${visits}
  What happens in the cluster is told below. Ctrl-C ends it.
`;
}
