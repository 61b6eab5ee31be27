import { setTimeout as sleep } from "node:timers/promises";
import { request } from "undici";
import { afterEach, expect, test } from "vitest";
import { type DevCluster, type DevClusterOptions, startDevCluster } from "../../lab/devcluster/cluster.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { eventually } from "../support/eventually.ts";
import { type Answer, startTestRouter, type TestRouter } from "./support.ts";

// One router, Sandboxes of two CRDs (docs/agent-sandbox.md), over real sockets.

const BOTH = ["agents.kruise.io", "agents.x-k8s.io"] as const;

let cluster: DevCluster;
let router: TestRouter;

afterEach(async () => {
  await router.router.stop();
  await cluster.stop();
});

async function start(options: DevClusterOptions = {}, config: ConfigInput = {}): Promise<void> {
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.74.1", ipCount: 8, ports: [3000, 8888] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
    delays: {
      start: { minMs: 1, maxMs: 5 },
      pause: { minMs: 60, maxMs: 100 },
      end: { minMs: 60, maxMs: 100 },
      notice: { minMs: 1, maxMs: 2 },
    },
    ...options,
  });
  router = await startTestRouter({ resources: [...BOTH], ...config }, { apiServer: new URL(cluster.apiUrl) });
  await router.router.synced();
}

/** Asks as a client of the kubernetes-sigs router does. */
const named = (name: string, namespace: string, headers: Record<string, string> = {}): Promise<Answer> =>
  router.ask("none", "/", {
    host: "router",
    "x-sandbox-id": name,
    "x-sandbox-namespace": namespace,
    ...headers,
  });

const explain = async (query: string): Promise<string> =>
  (await request(`${router.adminUrl}/api/explain?${query}`)).body.text();

const verboseReadiness = async () => {
  const { statusCode, body } = await request(`${router.peersUrl}/readyz?verbose`);
  return { status: statusCode, text: await body.text() };
};

async function runAgent(name: string, namespace = "team-b"): Promise<string> {
  cluster.agentSandboxes.create(namespace, name);
  await eventually(async () => (await named(name, namespace)).status === 200);
  return cluster.agentSandboxes.podOf(namespace, name)?.uid ?? "";
}

test("sandboxes of both are found, by ID and by object; the port of an object is 8888", async () => {
  await start();
  const { metadata } = await cluster.claim({ id: "box" });
  const uid = await runAgent("code");
  await eventually(async () => (await router.ask("box")).status === 200);
  expect(await named("code", "team-b")).toMatchObject({ status: 200, podUid: uid });
  expect(await router.ask("team-b--code")).toMatchObject({ status: 200, podUid: uid });
  expect((await named("code", "team-b", { "x-sandbox-port": "3000" })).body).toContain(uid);
  // An OpenKruise sandbox that is the only one of its name is found the same way.
  const kruise = cluster.controller.podOf("team-a", metadata.name)?.uid;
  expect(await named(metadata.name, "team-a")).toMatchObject({ status: 200, podUid: kruise });
  // The address that this field names is nobody's business.
  const forged = await named("code", "team-b", { "x-sandbox-pod-ip": "127.0.74.8" });
  expect(forged).toMatchObject({ status: 200, podUid: uid });
  expect(await named("nobody", "team-b")).toMatchObject({ status: 502, reason: "sandbox_not_found" });
});

test("a Host of its Service's DNS name finds it by a template", async () => {
  await start({}, { target: { templates: ["{name}.{namespace}.svc.cluster.local:8888"] } });
  const uid = await runAgent("code");
  const host = "code.team-b.svc.cluster.local";
  expect(await router.ask("none", "/", { host })).toMatchObject({ status: 200, podUid: uid });
});

test("its life: suspended, resumed in another pod, expired, deleted", async () => {
  await start();
  const uid = await runAgent("code");
  cluster.agentSandboxes.setMode("team-b", "code", "Suspended");
  await eventually(async () => (await named("code", "team-b")).reason === "sandbox_paused");
  await eventually(() => cluster.agentSandboxes.podOf("team-b", "code") === undefined);
  cluster.agentSandboxes.setMode("team-b", "code", "Running");
  await eventually(async () => (await named("code", "team-b")).status === 200);
  expect((await named("code", "team-b")).podUid).not.toBe(uid);
  cluster.agentSandboxes.remove("team-b", "code");
  await eventually(async () => (await named("code", "team-b")).reason === "sandbox_not_found");
  // Kubernetes writes times in whole seconds.
  const shutdownAtMs = Math.ceil(Date.now() / 1_000) * 1_000 + 2_000;
  cluster.agentSandboxes.create("team-b", "short", { shutdownAtMs });
  await eventually(async () => (await named("short", "team-b")).status === 200);
  await eventually(async () => (await named("short", "team-b")).reason === "sandbox_dead");
  expect(Date.now()).toBeGreaterThanOrEqual(shutdownAtMs);
});

test("an ID that a sandbox of each claims is served for neither, and explain names both", async () => {
  await start();
  const { metadata } = await cluster.claim({ id: "legacy" });
  const { name } = metadata;
  cluster.agentSandboxes.create("team-a", name);
  await eventually(async () => (await named(name, "team-a")).reason === "sandbox_id_conflict");
  expect(await router.ask(`team-a--${name}`)).toMatchObject({ status: 502, reason: "sandbox_id_conflict" });
  const text = await explain(`host=3000-team-a--${name}.example.com`);
  expect(text).toContain(`agents.x-k8s.io:team-a/${name}`);
  await cluster.remove("team-a", name);
  await eventually(async () => (await named(name, "team-a")).status === 200);
  expect((await named(name, "team-a")).podUid).toBe(cluster.agentSandboxes.podOf("team-a", name)?.uid);
});

test("a pod IP that a sandbox of each has is served for neither, until one lets go", async () => {
  await start();
  const { metadata } = await cluster.claim({ id: "box" });
  await eventually(async () => (await router.ask("box")).status === 200);
  await runAgent("code");
  // From now on this test is the controller: its status names the other's address, as after a pod's end that nobody noticed.
  await cluster.agentSandboxes.stop();
  const ip = cluster.controller.podOf("team-a", metadata.name)?.ip ?? "";
  const { store } = cluster.agentSandboxes;
  const write = (podIPs: string[]) =>
    store.modify("team-b", "code", (draft) => void (draft.status = { ...draft.status, podIPs }), {
      scope: "status",
    });
  write([ip]);
  await eventually(async () => (await named("code", "team-b")).reason === "pod_ip_reassigned");
  expect(await router.ask("box")).toMatchObject({ status: 502, reason: "pod_ip_reassigned" });
  write([]);
  await eventually(async () => (await router.ask("box")).status === 200);
  expect((await named("code", "team-b")).status).toBe(502);
});

test("a CRD that is not installed: the other is served, the router is ready and says what is missing", async () => {
  await start({ agentSandboxes: false });
  await cluster.claim({ id: "box" });
  await eventually(async () => (await router.ask("box")).status === 200);
  const ready = await verboseReadiness();
  expect(ready.status).toBe(200);
  expect(ready.text).toContain(
    "[+]synced ok: the API server does not serve sandboxes.agents.x-k8s.io v1beta1",
  );
  expect(await named("code", "team-b")).toMatchObject({ status: 502, reason: "sandbox_not_found" });
});

test("only a CRD that is not installed: not ready, and it says why", async () => {
  cluster = await startDevCluster({ agentSandboxes: false });
  router = await startTestRouter({ resources: ["agents.x-k8s.io"] }, { apiServer: new URL(cluster.apiUrl) });
  router.router.synced().catch(() => {});
  await eventually(async () =>
    (await verboseReadiness()).text.includes("does not serve sandboxes.agents.x-k8s.io"),
  );
  expect((await verboseReadiness()).status).toBe(503);
  expect(await named("code", "team-b")).toMatchObject({ status: 503, reason: "not_ready" });
});

test("an outage of the API server ends for both", async () => {
  await start({}, { watch: { backoffMinMs: 20, backoffMaxMs: 50 } });
  await runAgent("code");
  await cluster.api.setOutage("refuse");
  expect(await named("code", "team-b")).toMatchObject({ status: 200 });
  cluster.agentSandboxes.setMode("team-b", "code", "Suspended");
  await cluster.api.setOutage("none");
  await eventually(async () => (await named("code", "team-b")).reason === "sandbox_paused");
});

test("workers know both, and find an object as one process does", async () => {
  await start({}, { workers: 2, accessLog: "off", logLevel: "error" });
  const { metadata } = await cluster.claim({ id: "legacy" });
  await eventually(async () => (await named(metadata.name, "team-a")).status === 200);
  const uid = await runAgent("code");
  expect(await router.ask("team-b--code")).toMatchObject({ status: 200, podUid: uid });
  cluster.agentSandboxes.create("team-a", metadata.name);
  await eventually(async () => (await named(metadata.name, "team-a")).reason === "sandbox_id_conflict");
});

test("under churn of both, who share few addresses, no answer comes from another's pod", async () => {
  // A pod outlives its sandbox for long enough that the router has heard of the end, however busy this machine is.
  const late = { minMs: 700, maxMs: 900 };
  await start({
    pods: { firstIp: "127.0.74.1", ipCount: 10, ports: [3000, 8888] },
    delays: { start: { minMs: 1, maxMs: 5 }, pause: late, end: late, notice: { minMs: 1, maxMs: 2 } },
    churn: { actionsPerSecond: 40, targetClaimed: 2, shortLived: 0 },
  });
  const claimed = () =>
    [...cluster.store.values()].flatMap(({ metadata: { labels, name } }) => {
      const id = labels?.["agents.kruise.io/sandbox-id"];
      return id === undefined ? [] : [{ id, name }];
    });
  /** The last that were made, most of which are gone: requests go on for these. */
  const names: string[] = [];
  const anyOf = <T>(list: readonly T[]): T | undefined => list[Math.floor(Math.random() * list.length)];
  const stop = new AbortController();
  let answered = { kruise: 0, agent: 0 };
  const misrouted: string[] = [];
  /** Who was served at each address. */
  const tenants = new Map<string, Set<string>>();
  const living = (): string[] => [...cluster.pods.living].map(({ uid }) => uid);
  const check = async (ask: () => Promise<Answer>, name: string, kind: keyof typeof answered) => {
    const before = living();
    const { status, body } = await ask();
    if (status !== 200) return;
    answered = { ...answered, [kind]: answered[kind] + 1 };
    const pod = JSON.parse(body) as { name: string; podUid: string; ip: string };
    tenants.set(pod.ip, (tenants.get(pod.ip) ?? new Set()).add(kind));
    if (pod.name !== name) misrouted.push(`${kind} ${name} was answered by ${pod.name}`);
    if (![...before, ...living()].includes(pod.podUid)) misrouted.push(`${kind} ${name}: from a dead pod`);
  };
  const until = async (act: () => Promise<void>): Promise<void> => {
    while (!stop.signal.aborted) await act();
  };
  let made = 0;
  const { agentSandboxes } = cluster;
  const churning = until(async () => {
    const living = [...agentSandboxes.store.values()];
    const { metadata, spec } = anyOf(living) ?? {};
    if (metadata === undefined || living.length < 3) {
      const name = `agent-${made++}`;
      agentSandboxes.create("team-b", name);
      names.push(name);
      if (names.length > 12) names.shift();
    } else if (Math.random() < 0.5) agentSandboxes.remove("team-b", metadata.name);
    else {
      const isSuspended = spec?.operatingMode === "Suspended";
      agentSandboxes.setMode("team-b", metadata.name, isSuspended ? "Running" : "Suspended");
    }
    await sleep(100);
  });
  const asking = [1, 2, 3, 4].map(() =>
    until(async () => {
      const agent = anyOf(names);
      if (agent) await check(() => named(agent, "team-b"), agent, "agent");
      const first = anyOf(claimed());
      if (first) await check(() => router.ask(first.id), first.name, "kruise");
      if (!agent && !first) await sleep(1);
    }),
  );
  const changedHands = (): number => [...tenants.values()].filter(({ size }) => size === 2).length;
  await eventually(() => answered.kruise > 300 && answered.agent > 300 && changedHands() >= 7);
  stop.abort();
  await Promise.all([churning, ...asking]);
  expect(misrouted).toEqual([]);
});
