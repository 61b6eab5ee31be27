import { afterEach, describe, expect, it } from "vitest";
import { startDevCluster, type DevCluster, type DevClusterOptions } from "../../../lab/devcluster/cluster.ts";
import { describeClusterEvent, type ClusterEvent } from "../../../lab/devcluster/cluster-event.ts";
import { isReady, type Sandbox, type StoredSandbox } from "../../../lab/devcluster/sandbox.ts";
import { eventually } from "../../support/eventually.ts";
import { call, manifest, sandboxPath } from "./support.ts";

const fast = { minMs: 1, maxMs: 5 };
let cluster: DevCluster;
let events: ClusterEvent[];

const start = async (options: DevClusterOptions = {}): Promise<void> => {
  events = [];
  cluster = await startDevCluster({
    pods: { firstIp: "127.71.2.1", ipCount: 16 },
    delays: { start: fast, pause: fast, end: fast, notice: fast },
    pools: [],
    listener: (event) => events.push(event),
    ...options,
  });
};
afterEach(() => cluster.stop());

const get = (name: string): StoredSandbox | undefined => cluster.store.get("ns", name);
const phase = (name: string): string | undefined => get(name)?.status?.phase;
const running = async (name: string): Promise<StoredSandbox> =>
  eventually(() => {
    const sandbox = get(name);
    return sandbox && phase(name) === "Running" && isReady(sandbox) ? sandbox : false;
  }) as Promise<StoredSandbox>;
const story = (name: string): string[] =>
  events.filter((event) => event.name === name).map(({ kind }) => kind);
const ipOf = (sandbox: StoredSandbox): string => sandbox.status?.podInfo?.podIP ?? "";
const podAnswer = async (ip: string): ReturnType<typeof call> => call({ url: `http://${ip}:3000` }, "/");
const merge = (name: string, body: unknown): ReturnType<typeof call> =>
  call({ url: cluster.apiUrl }, sandboxPath("ns", name), {
    method: "PATCH",
    body,
    headers: { "content-type": "application/merge-patch+json" },
  });

describe("a sandbox's life", () => {
  it("goes through every phase, as kubectl asks for it", async () => {
    await start();
    const phases: string[] = [];
    cluster.store.subscribe(({ object }) => {
      const now = object.metadata.deletionTimestamp === undefined ? (object.status?.phase ?? "") : "deleted";
      if (phases.at(-1) !== now) phases.push(now);
    });
    await call({ url: cluster.apiUrl }, sandboxPath("ns"), { method: "POST", body: manifest("a") });
    const first = await running("a");
    expect((await podAnswer(ipOf(first))).body).toMatchObject({
      podUid: first.status?.podInfo?.podUID,
      sandboxId: "ns--a",
      name: "a",
    });
    await merge("a", { spec: { paused: true } });
    await eventually(() => story("a").includes("paused"));
    await expect(podAnswer(ipOf(first))).rejects.toMatchObject({ code: "ECONNREFUSED" });
    // As in life: the status goes on naming an address that may belong to another by now.
    expect(get("a")?.status?.podInfo?.podIP).toBe(ipOf(first));
    expect(cluster.pods.living.size).toBe(0);
    await merge("a", { spec: { paused: false } });
    const second = await running("a");
    expect(second.status?.podInfo?.podUID).not.toBe(first.status?.podInfo?.podUID);
    await call({ url: cluster.apiUrl }, sandboxPath("ns", "a"), { method: "DELETE" });
    await eventually(() => get("a") === undefined);
    expect(phases).toEqual(["", "Pending", "Running", "Paused", "Resuming", "Running", "deleted"]);
    expect(story("a")).toEqual([
      "created",
      "running",
      "pausing",
      "pod-stopped",
      "paused",
      "resuming",
      "running",
      "terminating",
      "pod-stopped",
      "gone",
    ]);
    expect(cluster.pods.living.size).toBe(0);
  });

  it("leaves its address to the next sandbox, who answers there", async () => {
    await start();
    cluster.store.create(manifest("old"));
    const old = await running("old");
    cluster.store.delete("ns", "old");
    await eventually(() => get("old") === undefined);
    cluster.store.create(manifest("new"));
    const next = await running("new");
    expect(ipOf(next)).toBe(ipOf(old));
    expect((await podAnswer(ipOf(next))).body.name).toBe("new");
    const event = events.find(({ kind, name }) => kind === "running" && name === "new");
    expect(event && describeClusterEvent(event)).toBe(
      `new is running at ${ipOf(next)} (the address of old before)`,
    );
  });

  it("gets another address after a pause when its own was taken", async () => {
    await start();
    cluster.store.create(manifest("a"));
    const before = await running("a");
    await merge("a", { spec: { paused: true } });
    await eventually(() => story("a").includes("paused"));
    cluster.store.create(manifest("b"));
    expect(ipOf(await running("b"))).toBe(ipOf(before));
    await merge("a", { spec: { paused: false } });
    const after = await running("a");
    expect(ipOf(after)).not.toBe(ipOf(before));
  });

  it("ends at its shutdownTime", async () => {
    await start();
    const shutdownTime = new Date(Date.now() + 100).toISOString();
    cluster.store.create({ ...manifest("a"), spec: { shutdownTime } });
    await eventually(() => story("a").includes("gone"));
    expect(story("a")).toContain("shutdown-time");
  });

  it("ends when it is deleted while its pod starts, and leaves no pod", async () => {
    await start({ delays: { start: { minMs: 20, maxMs: 20 }, end: fast, notice: fast } });
    cluster.store.create(manifest("a"));
    await eventually(() => phase("a") === "Pending");
    cluster.store.delete("ns", "a");
    await eventually(() => get("a") === undefined);
    await eventually(() => cluster.pods.living.size === 0);
  });

  it("loses its pod when the object is removed by force", async () => {
    await start();
    cluster.store.create(manifest("a"));
    await running("a");
    await merge("a", { metadata: { finalizers: null } });
    cluster.store.delete("ns", "a");
    expect(get("a")).toBeUndefined();
    await eventually(() => cluster.pods.living.size === 0);
  });

  it("waits while no address is free, and says so", async () => {
    await start({ pods: { firstIp: "127.71.2.100", ipCount: 1 } });
    cluster.store.create(manifest("a"));
    await running("a");
    cluster.store.create(manifest("b"));
    await eventually(() => story("b").includes("trouble"));
    expect(phase("b")).toBe("Pending");
    cluster.store.delete("ns", "a");
    expect(ipOf(await running("b"))).toBe("127.71.2.100");
  });
});

describe("a pool", () => {
  it("keeps its size with sandboxes that wait, and what is claimed is the user's", async () => {
    await start({ pools: [{ namespace: "ns", name: "code", size: 2 }] });
    const claimed = await cluster.claim({ owner: "grace", id: "short-id" });
    expect(claimed.metadata).toMatchObject({
      labels: { "agents.kruise.io/sandbox-claimed": "true", "agents.kruise.io/sandbox-id": "short-id" },
      annotations: { "agents.kruise.io/owner": "grace" },
    });
    expect(claimed.metadata.ownerReferences).toBeUndefined();
    await eventually(() => cluster.store.size === 3 && cluster.pods.living.size === 3);
    expect((await podAnswer(ipOf(claimed))).body.sandboxId).toBe("short-id");
  });

  it("gives users what they ask for, also by clone", async () => {
    await start({ pools: [{ namespace: "ns", name: "code", size: 1 }] });
    const clone = await cluster.manager.clone({
      owner: "ada",
      namespace: "other",
      id: "legacy",
      accessToken: "",
    });
    expect(clone.metadata.labels).not.toHaveProperty("agents.kruise.io/sandbox-id");
    expect(clone.metadata.annotations).toEqual({ "agents.kruise.io/owner": "ada" });
    expect(isReady(clone)).toBe(true);
    await expect(cluster.claim({ pool: "none" })).rejects.toMatchObject({ code: "NO_POOL" });
    const two = await Promise.all([cluster.claim(), cluster.claim()]);
    expect(new Set(two.map(({ metadata }) => metadata.uid)).size).toBe(2);
  });

  it("gives one sandbox to a claim that waited, when several become ready at once", async () => {
    const slow = { minMs: 600_000, maxMs: 600_000 };
    await start({
      pools: [{ namespace: "ns", name: "code", size: 2 }],
      delays: { start: slow, notice: fast },
    });
    await eventually(() => [...cluster.store.values()].every(({ status }) => status?.phase === "Pending"));
    const first = cluster.claim();
    for (const { metadata } of cluster.store.snapshot().items) {
      const conditions = [{ type: "Ready", status: "True" as const }];
      const ready = (draft: Sandbox): void => void (draft.status = { phase: "Running", conditions });
      cluster.store.modify("ns", metadata.name, ready, { scope: "status" });
    }
    // No other would become ready: it must not have been taken along with the first.
    const second = await cluster.claim();
    expect(second.metadata.uid).not.toBe((await first).metadata.uid);
  });

  it("makes objects as bulky as real ones", async () => {
    await start({ pools: [{ namespace: "ns", name: "code", size: 1 }], bulkBytes: 8192 });
    const [sandbox] = cluster.store.values();
    expect(JSON.stringify(sandbox).length).toBeGreaterThan(7000);
    expect(sandbox?.metadata["managedFields"]).toHaveLength(1);
  });
});

describe("churn", () => {
  it("moves sandboxes through their lives by itself, and stops", async () => {
    await start({
      pools: [{ namespace: "ns", name: "code", size: 3 }],
      churn: { actionsPerSecond: 200, targetClaimed: 3 },
    });
    await eventually(() =>
      (["claimed", "paused", "resuming", "gone"] as const).every((kind) =>
        events.some((e) => e.kind === kind),
      ),
    );
    expect(events.some(({ previousTenant }) => previousTenant !== undefined)).toBe(true);
    cluster.churn.setRate(0);
    const { actions } = cluster.churn;
    await cluster.claim();
    expect(cluster.churn.actions).toBe(actions);
  });
});
