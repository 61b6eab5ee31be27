import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { PodIdentity } from "../../../lab/devcluster/pod-handler.ts";
import { Pod } from "../../../lab/devcluster/pods.ts";
import { eventually } from "../../support/eventually.ts";
import { metricOf, type RouterProcess, startRouterProcess } from "../../support/router-process.ts";
import type { ClusterKind } from "./clusters.ts";
import type { TestCluster } from "./test-cluster.ts";

/** Where the sandboxes of these tests live, and what their pods listen on. */
export const NAMESPACE = "team-a";
export const PORT = 3000;

/** What a client got. `from`: the sandbox whose pod answered. `podUid`: what that pod is. */
export interface Answer {
  readonly status: number;
  readonly reason: string | undefined;
  readonly from: string | undefined;
  readonly podUid: string | undefined;
}

/** One request for a sandbox to the traffic port of a router. Rejects when there is no whole answer. */
export function askRouter(traffic: string, sandbox: string, agent: Agent): Promise<Answer> {
  const [host, port] = traffic.split(":");
  return new Promise((resolve, reject) => {
    const headers = { host: `${PORT}-${NAMESPACE}--${sandbox}.example.com` };
    const asked = request({ host, port, agent, path: "/", headers, timeout: 30_000 });
    asked.on("timeout", () => asked.destroy(new Error("timeout"))).on("error", reject);
    asked.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("error", reject).on("end", () => {
        const reason = response.headers["x-lychgate-reason"];
        const pod = response.statusCode === 200 ? (JSON.parse(text) as PodIdentity) : undefined;
        resolve({
          status: response.statusCode ?? 0,
          reason: typeof reason === "string" ? reason : undefined,
          from: pod?.name,
          podUid: pod?.podUid,
        });
      });
    });
    asked.end();
  });
}

/** What came of the requests of {@link RoutedCluster.load}. */
export interface Tally {
  requests: number;
  /** Requests that were not answered by a pod, of sandboxes that live all along. */
  readonly failed: string[];
  /** Answers of another sandbox's pod. */
  readonly misrouted: string[];
}

/** A cluster, a router in a process of its own that watches it, and pods that say whose they are. */
export class RoutedCluster {
  readonly cluster: TestCluster;
  readonly router: RouterProcess;
  readonly #pods = new Map<string, Pod>();
  readonly #agent = new Agent({ keepAlive: true });

  private constructor(cluster: TestCluster, router: RouterProcess) {
    this.cluster = cluster;
    this.router = router;
  }

  static async start(kind: ClusterKind): Promise<RoutedCluster> {
    const cluster = await kind.start();
    let router: RouterProcess | undefined;
    try {
      const { peers } = (router = await startRouterProcess([
        "--kubeconfig",
        cluster.kubeconfig,
        "--access-log=off",
      ]));
      await eventually(async () => (await fetch(`http://${peers}/readyz`)).status === 200);
      return new RoutedCluster(cluster, router);
    } catch (error) {
      router?.kill("SIGKILL");
      await cluster.stop();
      throw error;
    }
  }

  /** A pod of this sandbox at `ip`; the one that was there is killed. */
  async startPod(name: string, ip: string): Promise<void> {
    await this.killPod(ip);
    const tenant = { podUid: `pod-of-${name}`, sandboxId: name, namespace: NAMESPACE, name };
    this.#pods.set(ip, await Pod.start(tenant, ip, [PORT]));
  }

  async killPod(ip: string): Promise<void> {
    await this.#pods.get(ip)?.kill();
    this.#pods.delete(ip);
  }

  /** A sandbox and its pod. */
  async create(name: string, ip: string): Promise<void> {
    await this.startPod(name, ip);
    await this.cluster.client.create(NAMESPACE, name, { ip });
  }

  /** Sandbox first, then its pod. */
  async delete(name: string, ip: string): Promise<void> {
    await this.cluster.client.delete(NAMESPACE, name);
    await this.killPod(ip);
  }

  ask(name: string): Promise<Answer> {
    return askRouter(this.router.traffic, name, this.#agent);
  }

  /** Resolves when the sandbox is served by its own pod. */
  served(name: string): Promise<unknown> {
    return eventually(async () => (await this.ask(name)).from === name);
  }

  /** Resolves when the router says that there is no such sandbox. */
  unknown(name: string): Promise<unknown> {
    return eventually(async () => (await this.ask(name)).reason === "sandbox_not_found");
  }

  /**
   * Asks for `steady` sandboxes, which must be answered, and for those that `others` tells at the time, of which only misroutes
   * count; some hundred requests a second, until `end`.
   */
  load(
    steady: readonly string[],
    others: () => readonly string[],
  ): { readonly tally: Tally; readonly end: () => Promise<void> } {
    const tally: Tally = { requests: 0, failed: [], misrouted: [] };
    const over = new AbortController();
    const client = async (first: number): Promise<void> => {
      for (let turn = first; !over.signal.aborted; turn++) {
        const names = [...steady, ...others()];
        const name = names[turn % names.length] ?? "";
        const answer = await this.ask(name).catch((error: unknown) => String(error));
        tally.requests += 1;
        const from = typeof answer === "string" ? undefined : answer.from;
        if (from !== undefined && from !== name) tally.misrouted.push(`${name} was answered by ${from}`);
        if (from === undefined && steady.includes(name))
          tally.failed.push(`${name}: ${JSON.stringify(answer)}`);
        await sleep(5);
      }
    };
    const clients = Promise.all(Array.from({ length: 4 }, (_, first) => client(first)));
    return {
      tally,
      async end() {
        over.abort();
        await clients;
      },
    };
  }

  /** The value of one series of the router's metrics. */
  async metric(name: string, labels = ""): Promise<number> {
    return metricOf(await (await fetch(`http://${this.router.admin}/metrics`)).text(), name, labels);
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    this.router.kill("SIGKILL");
    await this.router.exited;
    await Promise.all([...this.#pods.keys()].map((ip) => this.killPod(ip)));
    await this.cluster.stop();
  }
}
