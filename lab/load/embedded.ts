import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterEvent } from "../devcluster/cluster-event.ts";
import { type DevCluster, startDevCluster } from "../devcluster/cluster.ts";
import { routeToPush } from "../devcluster/pushed-route.ts";
import type { PushFaults } from "../devcluster/pusher.ts";
import { CLAIMED_LABEL, shutdownAtMs, type StoredSandbox } from "../devcluster/sandbox.ts";
import { Hearing } from "./hearing.ts";
import { LifeBook } from "./life-book.ts";
import { monotonicMs } from "./monotonic.ts";
import { planPhases, type PhaseKind } from "./phases.ts";
import type { Counted } from "./result.ts";
import { type RouterProcess, startRouterProcess } from "./router-process.ts";
import type { LifeState } from "./sandbox-life.ts";
import type { Subject } from "./subject.ts";

/** What the embedded cluster is like and does. */
export interface EmbeddedOptions {
  readonly durationMs: number;
  /** Sandboxes of users at a time, roughly. */
  readonly sandboxes: number;
  /** Claims, pauses, resumes and deletions per second. */
  readonly churnPerSecond: number;
  readonly seed: number;
  /** The router's `workers`. */
  readonly workers: number;
}

const NAMESPACE = "load";
const POD_PORT = 3000;
/** A range of its own: a demo may be running. */
const FIRST_POD_IP = "127.0.96.1";
/** The API's delay in the phase `lag`, at most. */
const LAG_MS = 800;
/** For a router on a busy machine to have heard and done something. */
const SLACK_MS = 1_000;
const READY_MS = 15_000;
/** From the news of an end to the pod's death, at least. Kubelets take longer; a router must have heard by then. */
const POD_END_MS = 300;

const BAD_PUSHES: Partial<PushFaults> = {
  lost: 0.1,
  late: 0.2,
  twice: 0.2,
  reordered: 0.2,
  stale: 0.4,
  lateMs: 2_000,
  endsOnTime: false,
};

/** Starts the embedded cluster and a router in a process of its own that watches it. Rejects with nothing left running. */
export async function startEmbedded(options: EmbeddedOptions): Promise<Subject> {
  const folder = await mkdtemp(join(tmpdir(), "lychgate-load-"));
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const book = new LifeBook((id) => `${POD_PORT}-${id}.example.com`);
    const cluster = await startCluster(options, join(folder, "kubeconfig"));
    undo.push(() => cluster.stop());
    undo.push(async () => cluster.churn.stop());
    const happened = keepBook(cluster, book);
    const router = await startRouterProcess([
      "--kubeconfig",
      join(folder, "kubeconfig"),
      "--access-log=off",
      // The embedded cluster's pods listen on loopback, which is no pod's address elsewhere.
      "--routes-pod-cidrs=127.0.0.0/8",
      `--workers=${options.workers}`,
      // So that it is back soon after the outage, which is short.
      "--watch-backoff-min-ms=100",
      "--watch-backoff-max-ms=500",
      "--drain-delay-ms=0",
      "--drain-timeout-ms=100",
    ]);
    undo.push(() => router.stop());
    cluster.pusher.setPeers([router.peersUrl]);
    await claimAll(cluster, options.sandboxes);
    await untilReady(router);
    const hearing = new Hearing(SLACK_MS);
    return {
      text: `${options.workers === 1 ? "a router process" : `a router of ${options.workers} processes`} and the embedded cluster: about ${options.sandboxes} sandboxes, ${options.churnPerSecond} changes/s, seed ${options.seed}`,
      trafficUrl: router.trafficUrl,
      adminUrl: router.adminUrl,
      phases: planPhases(options.durationMs),
      book,
      hearing,
      judgeAfterMs: 0,
      podEndMs: POD_END_MS,
      enter: (kind) => enter(kind, cluster, hearing, options),
      happened,
      failed: router.failed,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function startCluster({ sandboxes, seed }: EmbeddedOptions, kubeconfigPath: string): Promise<DevCluster> {
  const waiting = Math.max(4, Math.ceil(sandboxes / 4));
  return startDevCluster({
    seed,
    kubeconfigPath,
    // The address that was let go last is given first, so more addresses than pods do not make reuse rarer.
    pods: { firstIp: FIRST_POD_IP, ipCount: 3 * sandboxes + 2 * waiting, ports: [POD_PORT] },
    // Patient: on a busy machine an answer may take long, and a push that was given up is news that nobody tells.
    push: { timeoutMs: 1_000 },
    pools: [{ namespace: NAMESPACE, name: "code", size: waiting }],
    // Claims and deletions balance at four thirds of it.
    churn: { actionsPerSecond: 0, targetClaimed: Math.ceil(sandboxes * 0.75), shortLived: 0 },
    delays: {
      start: { minMs: 20, maxMs: 100 },
      pause: { minMs: POD_END_MS, maxMs: 2 * POD_END_MS },
      end: { minMs: POD_END_MS, maxMs: 2 * POD_END_MS },
      notice: { minMs: 1, maxMs: 5 },
    },
  });
}

async function claimAll(cluster: DevCluster, count: number): Promise<void> {
  // One after the other would wait for a pod each; all at once would have all look at every change.
  const claim = async (mine: number): Promise<void> => {
    for (let i = 0; i < mine; i++) await cluster.claim();
  };
  const claimers = Math.min(8, count);
  await Promise.all(Array.from({ length: claimers }, (_, i) => claim(Math.floor((count + i) / claimers))));
}

async function untilReady(router: RouterProcess): Promise<void> {
  const deadlineMs = monotonicMs() + READY_MS;
  const isReady = (): Promise<boolean> =>
    fetch(`${router.peersUrl}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await Promise.race([isReady(), router.failed]))) {
    if (monotonicMs() > deadlineMs) throw new Error(`the router was not ready within ${READY_MS} ms`);
    await sleep(50);
  }
}

/** Writes the cluster's life into `book` from now on, and what is in it already; returns a counter of what happens. */
function keepBook(cluster: DevCluster, book: LifeBook): () => readonly Counted[] {
  const tell = (object: StoredSandbox): void => {
    const { state, id, namespace, name, uid } = routeToPush(object, Date.now());
    const endsAtMs = shutdownAtMs(object);
    book.tell(
      {
        uid,
        id,
        namespace,
        name,
        state: lifeStateOf(state),
        podUid: object.status?.podInfo?.podUID,
        shutdownAtMs: endsAtMs === undefined ? undefined : monotonicMs() + endsAtMs - Date.now(),
        isTarget: object.metadata.labels?.[CLAIMED_LABEL] === "true",
      },
      monotonicMs(),
    );
  };
  for (const object of cluster.store.values()) tell(object);
  cluster.store.subscribe(({ type, object }) => {
    if (type === "DELETED") book.ended(object.metadata.uid, monotonicMs());
    else tell(object);
  });
  const counts = new Map<string, number>();
  cluster.on((event) => {
    if (event.kind === "pod-stopped" && event.podUid !== undefined) book.podDied(event.podUid, monotonicMs());
    for (const what of wordsFor(event)) counts.set(what, (counts.get(what) ?? 0) + 1);
  });
  return () => [...counts].map(([label, count]) => ({ label, count })).sort((a, b) => b.count - a.count);
}

function lifeStateOf(state: string): LifeState {
  return state === "running" || state === "paused" ? state : "changing";
}

/** What an event counts as. */
function wordsFor({ kind, why, previousTenant }: ClusterEvent): string[] {
  const reuse = previousTenant === undefined ? [] : ["addresses given to another sandbox"];
  switch (kind) {
    case "claimed":
      return ["claims"];
    case "paused":
      return ["pauses"];
    case "resuming":
      return ["resumes"];
    case "gone":
      return ["deletions"];
    case "pod-stopped":
      return ["pods that died"];
    case "available":
    case "running":
      return reuse;
    case "push":
      return why === "on-time" ? ["pushes on time"] : [`pushes ${why === "twice" ? "doubled" : (why ?? "")}`];
    case "created":
    case "pausing":
    case "shutdown-time":
    case "terminating":
    case "trouble":
      return [];
  }
}

async function enter(
  kind: PhaseKind,
  { api, churn, pusher }: DevCluster,
  hearing: Hearing,
  { churnPerSecond, durationMs }: EmbeddedOptions,
): Promise<void> {
  switch (kind) {
    case "warm-up":
    case "calm":
      return;
    case "churn":
      pusher.setFaults(BAD_PUSHES);
      churn.setRate(churnPerSecond);
      return;
    case "lag": {
      pusher.setFaults({ ...BAD_PUSHES, endsOnTime: true });
      // The informer still hears of the ends whose pushes were held back.
      await sleep(200);
      const lagMs = Math.min(LAG_MS, durationMs / 20);
      api.setWatchDelayMs(lagMs);
      hearing.lags(monotonicMs(), lagMs);
      return;
    }
    case "outage":
      hearing.deaf(monotonicMs());
      await api.setOutage("refuse");
      return;
    case "recovery": {
      api.setWatchDelayMs(0);
      await api.setOutage("none");
      // Until the router watches again and has caught up, pushes are all that it hears.
      const deadlineMs = monotonicMs() + READY_MS;
      while (api.watchCount === 0) {
        if (monotonicMs() > deadlineMs) throw new Error("the router did not come back to the API server");
        await sleep(20);
      }
      await sleep(300);
      hearing.lags(monotonicMs(), 0);
      pusher.setFaults(BAD_PUSHES);
    }
  }
}
