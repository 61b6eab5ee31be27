import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf, type RouterProcess, startRouterProcess } from "../support/router-process.ts";

// docs/architecture.md#what-is-measured: misroutes must be 0 while pods die and their addresses are taken by others at once.
// The oracle is the pod itself, which answers with the UID and the name of the sandbox that it belongs to.

const RUN_MS = 30_000;
const CONNECTIONS = 12;

let cluster: DevCluster;
let router: RouterProcess;
let folder: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "lychgate-"));
  cluster = await startDevCluster({
    seed: 20_261_121,
    // Hardly more addresses than pods: each that is let go is taken again soon.
    pods: { firstIp: "127.0.80.1", ipCount: 24, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 6 }],
    churn: { actionsPerSecond: 25, targetClaimed: 14, shortLived: 0.2 },
    kubeconfigPath: join(folder, "kubeconfig"),
    delays: {
      start: { minMs: 20, maxMs: 100 },
      pause: { minMs: 50, maxMs: 100 },
      end: { minMs: 50, maxMs: 100 },
      notice: { minMs: 1, maxMs: 5 },
    },
  });
});

async function startRouter(trust: "verify" | "serve"): Promise<void> {
  const kubeconfig = join(folder, "kubeconfig");
  router = await startRouterProcess([
    "--kubeconfig",
    kubeconfig,
    "--access-log",
    "off",
    "--peers-trust",
    trust,
  ]);
  cluster.pusher.setPeers([`http://${router.peers}`]);
  await eventually(async () => (await fetch(`http://${router.peers}/readyz`)).status === 200);
}

afterEach(async () => {
  router.kill("SIGKILL");
  await router.exited;
  await cluster.stop();
  rmSync(folder, { recursive: true });
});

interface Tally {
  requests: number;
  answered: number;
  readonly misroutes: string[];
  readonly statuses: Map<number, number>;
  readonly pods: Set<string>;
}

interface Answer {
  readonly status: number;
  readonly body: {
    readonly sandboxId?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly podUid?: string;
  };
}

/** Sends requests for sandboxes that live, lived or are about to, on kept connections, until `untilMs`. */
async function load(tally: Tally, untilMs: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const known: { id: string; name: string }[] = [];
  const stop = cluster.on(({ kind, id, name }) => {
    if (kind === "claimed") known.push({ id, name });
    if (known.length > 40) known.shift();
  });
  const client = async (): Promise<void> => {
    for (let turn = 0; performance.now() < untilMs; turn++) {
      const wanted = known[Math.floor(Math.random() * known.length)];
      if (!wanted) {
        await sleep(5);
        continue;
      }
      const answer = await ask(agent, wanted.id).catch(() => undefined);
      tally.requests++;
      if (!answer) continue;
      tally.statuses.set(answer.status, (tally.statuses.get(answer.status) ?? 0) + 1);
      if (answer.status !== 200) continue;
      tally.answered++;
      tally.pods.add(answer.body.podUid ?? "");
      if (answer.body.name !== wanted.name || answer.body.sandboxId !== wanted.id) {
        tally.misroutes.push(`${wanted.id} (${wanted.name}) was answered by ${JSON.stringify(answer.body)}`);
      }
      // Give the cluster in this process its turn.
      if (turn % 8 === 0) await sleep(1);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
  stop();
  agent.destroy();
}

function ask(agent: Agent, id: string): Promise<Answer> {
  const [host, port] = router.traffic.split(":");
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host, port, agent, path: "/who", headers: { host: `3000-${id}.example.com` }, timeout: 10_000 },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("error", reject);
        response.on("end", () => {
          const status = response.statusCode ?? 0;
          resolve({ status, body: status === 200 ? (JSON.parse(text) as Answer["body"]) : {} });
        });
      },
    );
    request.on("timeout", () => request.destroy(new Error("timeout")));
    request.on("error", reject);
    request.end();
  });
}

/** Runs the load and checks that what it means to prove could have gone wrong. */
async function proveNoMisroute(): Promise<string> {
  let deaths = 0;
  let reuses = 0;
  const stop = cluster.on(({ kind, previousTenant }) => {
    if (kind === "pod-stopped") deaths++;
    if (previousTenant !== undefined) reuses++;
  });
  const tally: Tally = { requests: 0, answered: 0, misroutes: [], statuses: new Map(), pods: new Set() };
  await load(tally, performance.now() + RUN_MS);
  stop();
  const metrics = await (await fetch(`http://${router.admin}/metrics`)).text();
  const reused = metricOf(metrics, "lychgate_upstream_reuse_total");
  console.log(
    `${tally.requests} requests, ${tally.answered} answered by ${tally.pods.size} pods, ${deaths} pods died, ` +
      `${reuses} addresses reused, ${reused} requests on kept connections, statuses ${JSON.stringify([...tally.statuses])}`,
  );
  expect(tally.misroutes).toEqual([]);
  expect(tally.answered).toBeGreaterThan(2_000);
  expect(tally.pods.size).toBeGreaterThan(50);
  expect(deaths).toBeGreaterThan(50);
  expect(reuses).toBeGreaterThan(50);
  expect(reused).toBeGreaterThan(1_000);
  return metrics;
}

test("0 misroutes in 30 s while addresses change hands: a prompt informer, and pushes that are late, lost, doubled and stale", async () => {
  await startRouter("verify");
  cluster.pusher.setFaults({ late: 0.2, lost: 0.1, twice: 0.2, reordered: 0.2, stale: 0.3, lateMs: 3_000 });
  const metrics = await proveNoMisroute();
  const attempts = ["stale", "tombstone", "watermark", "ended"].map((guard) =>
    metricOf(metrics, "lychgate_resurrection_attempts_total", `source="peer",guard="${guard}"`),
  );
  expect(attempts.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
});

test.each([
  { trust: "verify", guard: "read" },
  { trust: "serve", guard: "tombstone" },
] as const)(
  "0 misroutes in 30 s while addresses change hands, peers.trust $trust: prompt pushes, some doubled or stale, and an informer that lags",
  async ({ trust, guard }) => {
    await startRouter(trust);
    cluster.api.setWatchDelayMs(400);
    cluster.pusher.setFaults({ twice: 0.2, stale: 0.3, lateMs: 1_000 });
    const metrics = await proveNoMisroute();
    const stopped = metricOf(
      metrics,
      "lychgate_resurrection_attempts_total",
      `source="informer",guard="${guard}"`,
    );
    expect(stopped).toBeGreaterThan(0);
  },
);
