import { systemClock, type Clock } from "../../src/system/clock.ts";
import { silentLog, type Log } from "../../src/system/log.ts";
import { AgentSandboxes } from "./agent-sandboxes.ts";
import { ApiServer, type ApiServerOptions } from "./api-server.ts";
import { Churn, type ChurnOptions } from "./churn.ts";
import type { ClusterEvent, ClusterListener } from "./cluster-event.ts";
import { Controller, DEFAULT_DELAYS, type LifecycleDelays } from "./controller.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import { ObjectStore, type ObjectStoreOptions } from "./object-store.ts";
import { Pods, type PodsOptions } from "./pods.ts";
import { Pusher, type PusherOptions } from "./pusher.ts";
import { seededRandom } from "./random.ts";
import { SandboxManager } from "./sandbox-manager.ts";
import { type PoolOptions, SandboxSet } from "./sandbox-set.ts";
import type { ClaimRequest } from "./sandbox-template.ts";
import { AGENT_SANDBOX_CRD, type StoredSandbox } from "./sandbox.ts";

/** A dev cluster's options. All have defaults: an API on a free port, one pool of 3, no churn, no peers. */
export interface DevClusterOptions {
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** Default: none. */
  readonly log?: Log;
  /** Seed of names, UIDs, delays, churn and faults. Default 1. */
  readonly seed?: number;
  readonly api?: Omit<ApiServerOptions, "store" | "clock" | "random" | "log">;
  readonly store?: Omit<ObjectStoreOptions, "clock" | "random">;
  readonly pods?: PodsOptions;
  readonly delays?: Partial<LifecycleDelays>;
  /** Default: one pool `code` of 3 in the namespace `team-a`. */
  readonly pools?: readonly PoolOptions[];
  /** False: the API does not serve `agents.x-k8s.io`, as where that CRD is not installed. Default true. */
  readonly agentSandboxes?: boolean;
  readonly push?: Omit<PusherOptions, "clock" | "random" | "onPushed">;
  /** Default: nothing happens by itself. */
  readonly churn?: ChurnOptions;
  /** What each object carries besides the facts, as real ones do. Default 4096 bytes. */
  readonly bulkBytes?: number;
  /** Where to write a kubeconfig. Default: nowhere. */
  readonly kubeconfigPath?: string;
  /** Told of everything from the start. */
  readonly listener?: ClusterListener;
}

/** A running cluster. */
export interface DevCluster {
  readonly apiUrl: string;
  readonly kubeconfigPath?: string;
  readonly api: ApiServer;
  readonly store: ObjectStore;
  readonly pods: Pods;
  readonly controller: Controller;
  readonly manager: SandboxManager;
  /** Those of the other CRD. None at first. */
  readonly agentSandboxes: AgentSandboxes;
  readonly pusher: Pusher;
  readonly churn: Churn;
  /** Gives a pooled sandbox to a user ({@link SandboxManager.claim}). */
  claim(request?: Partial<ClaimRequest> & { readonly pool?: string }): Promise<StoredSandbox>;
  pause(namespace: string, name: string): Promise<StoredSandbox>;
  resume(namespace: string, name: string): Promise<StoredSandbox>;
  remove(namespace: string, name: string): Promise<void>;
  /** Tells `listener` of everything from now on; the returned function ends that. */
  on(listener: ClusterListener): () => void;
  /** Ends everything: afterwards no socket, pod or timer of the cluster is left. A second call does nothing more. */
  stop(): Promise<void>;
}

const DEFAULT_POOLS: readonly PoolOptions[] = [{ namespace: "team-a", name: "code", size: 3 }];

/**
 * Starts a whole cluster in this process: Sandbox API, pods, controller, sandbox-manager. Rejects when the API's
 * address is taken or the kubeconfig can't be written, and leaves nothing running then.
 */
export async function startDevCluster(options: DevClusterOptions = {}): Promise<DevCluster> {
  const { clock = systemClock, log = silentLog, bulkBytes = 4096, seed = 1 } = options;
  const listeners = new Set<ClusterListener>(options.listener ? [options.listener] : []);
  const listener = (event: ClusterEvent): void => {
    for (const told of listeners) told(event);
  };
  // A random of its own for each part: what one draws must not change what another does.
  const randomOfPart = (part: number): ReturnType<typeof seededRandom> => seededRandom(seed * 1009 + part);
  const store = new ObjectStore({ ...options.store, clock, random: randomOfPart(1) });
  const otherStore = new ObjectStore({
    ...options.store,
    crd: AGENT_SANDBOX_CRD,
    versionsOf: store,
    clock,
    random: randomOfPart(7),
  });
  const api = await ApiServer.start({
    ...options.api,
    store,
    otherStore: options.agentSandboxes === false ? undefined : otherStore,
    clock,
    log,
    random: randomOfPart(2),
  });
  const pods = new Pods(options.pods);
  const agentSandboxes = new AgentSandboxes({
    store: otherStore,
    pods,
    clock,
    log,
    random: randomOfPart(8),
    delays: { ...DEFAULT_DELAYS, ...options.delays },
  });
  const controller = new Controller({
    store,
    pods,
    clock,
    log,
    listener,
    random: randomOfPart(3),
    ...(options.delays && { delays: options.delays }),
  });
  const pools = (options.pools ?? DEFAULT_POOLS).map(
    (pool, i) => new SandboxSet(pool, store, randomOfPart(10 + i), bulkBytes),
  );
  const pusher = new Pusher({
    ...options.push,
    clock,
    random: randomOfPart(4),
    onPushed: ({ peer, route, why, status, attempts }) => {
      const how = why === "on-time" ? "" : ` (${why})`;
      const answer = status === undefined ? `no answer after ${attempts} attempts` : String(status);
      const { namespace, name, id } = route;
      const detail = `${route.state} at version ${route.resourceVersion} to ${peer}${how}: ${answer}`;
      listener({
        kind: "push",
        atMs: clock.nowMs(),
        namespace,
        name,
        id,
        why: status === undefined ? "unanswered" : why,
        detail,
      });
    },
  });
  const manager = new SandboxManager({
    store,
    pools,
    pusher,
    clock,
    listener,
    bulkBytes,
    random: randomOfPart(5),
  });
  const churn = new Churn(store, manager, clock, randomOfPart(6), options.churn ?? { actionsPerSecond: 0 });

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    churn.stop();
    manager.stop();
    for (const pool of pools) pool.stop();
    await Promise.all([controller.stop(), agentSandboxes.stop()]);
    await Promise.all([pusher.stop(), api.stop(), pods.stopAll()]);
  };
  const cluster: DevCluster = {
    apiUrl: api.url,
    api,
    store,
    pods,
    controller,
    manager,
    agentSandboxes,
    pusher,
    churn,
    ...(options.kubeconfigPath !== undefined && { kubeconfigPath: options.kubeconfigPath }),
    claim: (request) => manager.claim({ owner: "ada", ...request }),
    pause: (namespace, name) => manager.pause(namespace, name),
    resume: (namespace, name) => manager.resume(namespace, name),
    remove: (namespace, name) => manager.remove(namespace, name),
    on: (told) => {
      listeners.add(told);
      return () => listeners.delete(told);
    },
    stop: () => (stopping ??= stop()),
  };
  if (options.kubeconfigPath === undefined) return cluster;
  try {
    const { token } = options.api ?? {};
    const namespace = options.pools?.[0]?.namespace ?? DEFAULT_POOLS[0]?.namespace;
    await writeKubeconfig(options.kubeconfigPath, {
      server: api.url,
      ...(token !== undefined && { token }),
      ...(namespace !== undefined && { namespace }),
    });
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}
