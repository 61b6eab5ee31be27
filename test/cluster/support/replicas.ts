import { Agent } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Pod } from "../../../lab/devcluster/pods.ts";
import { encodePush, type PushedRoute } from "../../../lab/devcluster/pushed-route.ts";
import type { PeersView } from "../../../src/admin/api-types.ts";
import { type GoPeer, startPeer } from "../../e2e/support/memberlist-peer.ts";
import { eventually } from "../../support/eventually.ts";
import { metricOf, type RouterProcess, startRouterProcess } from "../../support/router-process.ts";
import type { ClusterKind } from "./clusters.ts";
import type { KubeObject } from "./kube-client.ts";
import { LifeOracle } from "./life-oracle.ts";
import { type Answer, askRouter, NAMESPACE, PORT } from "./routed-cluster.ts";
import type { TestCluster } from "./test-cluster.ts";

/** memberlist's port, and the one that managers push to. */
const MEMBERLIST_PORT = 7946;
const PUSH_PORT = 7789;
/** Of each replica: some hundred requests a second. */
const CLIENTS = 3;
const PAUSE_MS = 5;

/** A router, and what it answers to. */
export interface Replica {
  readonly name: string;
  /** Where members and pushes reach it. */
  readonly address: string;
  readonly router: RouterProcess;
}

/** A sandbox that runs. */
export interface Running {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly ip: string;
  readonly podUid: string;
}

/** What came of all requests. */
export interface Requests {
  count: number;
  /** What {@link LifeOracle} says is wrong. */
  readonly misrouted: string[];
  /** Requests for sandboxes that live all along, that no pod answered. */
  readonly failed: string[];
}

/**
 * A cluster, two routers that watch it, and a manager in hashicorp/memberlist that finds them and pushes to them. Pods are
 * servers on addresses of a network of this run's own.
 */
export class Replicas {
  readonly cluster: TestCluster;
  readonly replicas: readonly Replica[];
  readonly manager: GoPeer;
  readonly oracle = new LifeOracle();
  readonly requests: Requests = { count: 0, misrouted: [], failed: [] };
  readonly #network: string;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #pods = new Map<string, Pod>();
  readonly #freeIps: string[];
  readonly #pushed: string[] = [];
  #lives = 0;
  #pushes = 0;
  #undelivered = 0;

  private constructor(
    cluster: TestCluster,
    replicas: readonly Replica[],
    manager: GoPeer,
    network: string,
    ipCount: number,
  ) {
    this.cluster = cluster;
    this.replicas = replicas;
    this.manager = manager;
    this.#network = network;
    this.#freeIps = Array.from({ length: ipCount }, (_, i) => `${network}.1.${i + 1}`);
  }

  /** Must be called in a test: the manager ends with it. `ipCount`: how many pods may live at a time. */
  static async start(kind: ClusterKind, ipCount: number): Promise<Replicas> {
    const network = `127.${100 + (process.pid % 100)}`;
    const cluster = await kind.start();
    const replicas: Replica[] = [];
    try {
      const managers = `${network}.0.1`;
      for (const [i, name] of ["sg-a", "sg-b"].entries()) {
        const address = `${network}.0.${i + 2}`;
        const router = await startRouterProcess([
          `--kubeconfig=${cluster.kubeconfig}`,
          "--access-log=off",
          "--peer-listen",
          `${address}:${PUSH_PORT}`,
          "--memberlist-enabled",
          `--memberlist-name=${name}`,
          `--memberlist-listen=${address}:${MEMBERLIST_PORT}`,
          `--memberlist-join=${managers}`,
        ]);
        replicas.push({ name, address, router });
      }
      const manager = await startPeer({ name: "sm-0", addr: managers, port: MEMBERLIST_PORT });
      const made = new Replicas(cluster, replicas, manager, network, ipCount);
      await eventually(async () => (await manager.members()).length === 3);
      await made.untilReady();
      return made;
    } catch (error) {
      for (const { router } of replicas) router.kill("SIGKILL");
      await cluster.stop();
      throw error;
    }
  }

  /** An address from which somebody else may push. */
  strangersAddress(number: number): string {
    return `${this.#network}.2.${number}`;
  }

  async untilReady(): Promise<void> {
    for (const { address } of this.replicas) {
      await eventually(async () => (await fetch(`http://${address}:${PUSH_PORT}/readyz`)).status === 200);
    }
  }

  // ---- sandboxes, as a manager and a node make them

  /** A sandbox with a pod of its own. Resolves when the API server has accepted that it runs. */
  async create(name: string): Promise<Running> {
    const { metadata } = await this.cluster.client.create(NAMESPACE, name, { phase: "Pending", ip: "" });
    return this.run(name, metadata.uid);
  }

  /** A new pod, on the address that was let go last, and the status that says so. The manager pushes it unless `silent`. */
  async run(name: string, uid: string, ip = this.takeIp()): Promise<Running> {
    const podUid = await this.startPod(name, uid, ip);
    const written = await this.cluster.client.setStatus(NAMESPACE, name, { ip });
    const running = { name, uid, resourceVersion: written.metadata.resourceVersion, ip, podUid };
    await this.push(running, "running");
    return running;
  }

  async startPod(name: string, uid: string, ip: string): Promise<string> {
    const podUid = `${uid}.${++this.#lives}`;
    this.oracle.begins(name, podUid);
    const tenant = { podUid, sandboxId: `${NAMESPACE}--${name}`, namespace: NAMESPACE, name };
    this.#pods.set(ip, await Pod.start(tenant, ip, [PORT]));
    return podUid;
  }

  /** Its pod is no longer its own. Resolves when the API server has accepted it. */
  async pause(running: Running): Promise<KubeObject> {
    const written = await this.cluster.client.setStatus(NAMESPACE, running.name, {
      phase: "Paused",
      ip: running.ip,
    });
    this.oracle.ends(running.podUid, performance.now());
    await this.push({ ...running, resourceVersion: written.metadata.resourceVersion }, "paused");
    return written;
  }

  /** Resolves when the API server has accepted the deletion. The manager tells it at the last version that it has seen. */
  async delete(running: Running, { tells = true }: { readonly tells?: boolean } = {}): Promise<void> {
    await this.cluster.client.delete(NAMESPACE, running.name);
    this.oracle.ends(running.podUid, performance.now());
    if (tells) await this.push(running, "dead");
  }

  /** Kills the pod. Its address may be given to another only when both replicas know its end: see {@link Replicas.freeIp}. */
  async killPod(ip: string): Promise<void> {
    await this.#pods.get(ip)?.kill();
    this.#pods.delete(ip);
  }

  /** The address that was let go last: it is taken again as soon as it can be. */
  takeIp(): string {
    const ip = this.#freeIps.pop();
    if (ip === undefined) throw new Error("no pod address is free");
    return ip;
  }

  freeIp(ip: string): void {
    this.#freeIps.push(ip);
  }

  // ---- pushes

  /** How many pushes the manager made, and how many of them a replica did not take. */
  get pushes(): { readonly made: number; readonly undelivered: number } {
    return { made: this.#pushes, undelivered: this.#undelivered };
  }

  /** What the manager pushed, oldest first; without repetitions. */
  get pushed(): readonly string[] {
    return this.#pushed;
  }

  /** The manager pushes what it has just changed. */
  async push(of: Running, state: "running" | "paused" | "dead"): Promise<void> {
    const route = encodePush(routeOf(of, state));
    this.#pushed.push(route);
    await this.pushAgain(route);
  }

  /** Pushes one of {@link Replicas.pushed} once more. */
  async pushAgain(route: string): Promise<void> {
    this.#pushes++;
    const answers = await this.manager.push(route);
    for (const { address } of this.replicas) if (answers[address] !== 204) this.#undelivered++;
  }

  // ---- requests

  /** One request, judged. */
  async ask(replica: Replica, name: string): Promise<Answer> {
    const sentMs = performance.now();
    const answer = await askRouter(replica.router.traffic, name, this.#agent);
    this.requests.count++;
    const witness = { replica: replica.name, name, sentMs, answeredMs: performance.now(), answer };
    const fault = this.oracle.judge(witness);
    if (fault !== undefined) this.requests.misrouted.push(fault);
    return answer;
  }

  /** Resolves when every replica serves this pod. */
  async served({ name, podUid }: Pick<Running, "name" | "podUid">): Promise<void> {
    await this.#untilAll(name, (answer) => answer.podUid === podUid);
  }

  /** Resolves when every replica answers with one of these reasons. */
  async refused(name: string, ...reasons: readonly string[]): Promise<void> {
    await this.#untilAll(name, ({ reason }) => reason !== undefined && reasons.includes(reason));
  }

  /**
   * Asks every replica for `steady` sandboxes, which a pod must answer, and for those that `others` returns at the time, which
   * must not be misrouted; until `end`.
   */
  load(
    steady: () => readonly string[],
    others: () => readonly string[],
  ): { readonly end: () => Promise<void> } {
    const over = new AbortController();
    const client = async (replica: Replica, first: number): Promise<void> => {
      for (let turn = first; !over.signal.aborted; turn++) {
        const mustAnswer = steady();
        const names = [...mustAnswer, ...others()];
        const name = names[turn % names.length] ?? "";
        const answer = await this.ask(replica, name).catch((error: unknown) => String(error));
        const isAnswered = typeof answer !== "string" && answer.podUid !== undefined;
        if (!isAnswered && mustAnswer.includes(name) && steady().includes(name))
          this.requests.failed.push(`${replica.name}: ${name}: ${JSON.stringify(answer)}`);
        await sleep(PAUSE_MS);
      }
    };
    const clients = Promise.all(
      this.replicas.flatMap((replica) =>
        Array.from({ length: CLIENTS }, (_, first) => client(replica, first)),
      ),
    );
    return {
      async end() {
        over.abort();
        await clients;
      },
    };
  }

  async #untilAll(name: string, isSo: (answer: Answer) => boolean): Promise<void> {
    await Promise.all(
      this.replicas.map((replica) =>
        eventually(async () => {
          const answer = await this.ask(replica, name);
          if (!isSo(answer)) throw new Error(`${replica.name} answers ${name}: ${JSON.stringify(answer)}`);
        }),
      ),
    );
  }

  // ---- what the routers count

  async peersOf({ router }: Replica): Promise<PeersView> {
    return (await (await fetch(`http://${router.admin}/api/peers`)).json()) as PeersView;
  }

  /** The value of one series of a router's metrics. */
  async metric({ router }: Replica, name: string, labels = ""): Promise<number> {
    return metricOf(await (await fetch(`http://${router.admin}/metrics`)).text(), name, labels);
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    for (const { router } of this.replicas) {
      router.kill("SIGKILL");
      await router.exited;
    }
    await Promise.all([...this.#pods.keys()].map((ip) => this.killPod(ip)));
    await this.cluster.stop();
  }
}

/** The route of a sandbox as managers push it. */
export function routeOf(
  { name, uid, resourceVersion, ip }: Pick<Running, "name" | "uid" | "resourceVersion" | "ip">,
  state: string,
): PushedRoute {
  return {
    ip,
    id: `${NAMESPACE}--${name}`,
    namespace: NAMESPACE,
    name,
    uid,
    owner: "550e8400-e29b-41d4-a716-446655440000",
    state,
    resourceVersion,
    accessToken: "",
    requireTrafficAuth: false,
  };
}
