import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { routeToPush } from "../../lab/devcluster/pushed-route.ts";
import type { StoredSandbox } from "../../lab/devcluster/sandbox.ts";
import { eventually } from "../support/eventually.ts";
import { type Answer, startTestRouter, type TestRouter } from "./support.ts";

// The race of the OpenKruise issue, end to end: a real API server protocol, real pushes, real pods, and requests that
// flow all the time. "Dead" is told once; from then on no request may reach the pod, whoever says otherwise.

describe.each([
  { trust: "serve", guard: "tombstone" },
  { trust: "verify", guard: "read" },
] as const)("peers.trust: $trust", ({ trust, guard }) => {
  let cluster: DevCluster;
  let router: TestRouter;
  let sandbox: StoredSandbox;

  beforeEach(async () => {
    cluster = await startDevCluster({
      pods: { firstIp: "127.0.72.1", ipCount: 8, ports: [3000] },
      pools: [{ namespace: "team-a", name: "code", size: 1 }],
      delays: {
        start: { minMs: 1, maxMs: 5 },
        pause: { minMs: 1, maxMs: 5 },
        // The pod outlives its sandbox: a route that came back would be answered.
        end: { minMs: 3_000, maxMs: 3_000 },
        notice: { minMs: 1, maxMs: 2 },
      },
    });
    router = await startTestRouter(
      { peers: { trust }, tombstones: { ttlMs: 1_000 } },
      { apiServer: new URL(cluster.apiUrl) },
    );
    await router.router.synced();
    sandbox = await cluster.claim({ id: "victim", owner: "ada" });
    await eventually(async () => (await router.ask("victim")).status === 200);
  });

  afterEach(async () => {
    await router.router.stop();
    await cluster.stop();
  });

  interface Asking {
    readonly answers: readonly { readonly begunMs: number; readonly answer: Answer }[];
    stop(): Promise<void>;
  }

  /** Sends requests one after another until `stop`, each with the time at which it was begun. The pod answers at first. */
  async function keepAsking(): Promise<Asking> {
    const answers: { begunMs: number; answer: Answer }[] = [];
    const stopping = new AbortController();
    const loop = (async () => {
      while (!stopping.signal.aborted) {
        const begunMs = performance.now();
        answers.push({ begunMs, answer: await router.ask("victim") });
        await sleep(1);
      }
    })();
    await eventually(() => answers.some(({ answer }) => answer.status === 200));
    return {
      answers,
      async stop() {
        stopping.abort();
        await loop;
      },
    };
  }

  const route = () =>
    routeToPush(cluster.store.get("team-a", sandbox.metadata.name) as StoredSandbox, Date.now());
  const dead = () => ({ ...route(), state: "dead" });
  const attempts = async (source: string, guard: string): Promise<number> => {
    // The text of the metrics is at most a second old.
    const line = (await router.metrics())
      .split("\n")
      .find((each) =>
        each.startsWith(`lychgate_resurrection_attempts_total{source="${source}",guard="${guard}"}`),
      );
    return Number(line?.split(" ").at(-1) ?? Number.NaN);
  };

  async function expectAttempt(source: string, guard: string): Promise<void> {
    await eventually(async () => expect(await attempts(source, guard)).toBeGreaterThan(0));
  }

  /** Some requests began after `fromMs`, and the pod answered none of them. */
  async function expectNoneServed(asking: Asking, fromMs: number): Promise<void> {
    const after = () => asking.answers.filter(({ begunMs }) => begunMs > fromMs);
    await eventually(() => after().length > 10);
    await asking.stop();
    expect(after().filter(({ answer }) => answer.podUid !== undefined)).toEqual([]);
  }

  const edit = (annotation: string): StoredSandbox =>
    cluster.store.modify("team-a", sandbox.metadata.name, (draft) => {
      draft.metadata.annotations = { ...draft.metadata.annotations, [annotation]: "yes" };
    });

  test(`a dead push, then an informer that lags writes running: refused by the ${guard}`, async () => {
    cluster.api.setWatchDelayMs(300);
    const asking = await keepAsking();
    // The manager's version of the sandbox is newer than what the informer has said so far.
    edit("newer");
    const told = dead();
    await cluster.remove("team-a", sandbox.metadata.name);
    expect(await router.push(told)).toBe(204);
    const toldMs = performance.now();
    // Now the informer says "running", at the very version of the deletion; the tombstone, or a read, stands against it.
    await expectAttempt("informer", guard);
    await expectNoneServed(asking, toldMs);
    expect(await router.ask("victim")).toMatchObject({ status: 502, body: "sandbox not found: victim" });
  });

  test("a stale push after the deletion: refused by the watermark", async () => {
    const old = route();
    const asking = await keepAsking();
    await cluster.remove("team-a", sandbox.metadata.name);
    await eventually(async () => (await router.ask("victim")).reason === "sandbox_not_found");
    const toldMs = performance.now();
    expect(await router.push(old)).toBe(204);
    await expectAttempt("peer", "watermark");
    await expectNoneServed(asking, toldMs);
  });

  test("a push after the tombstone was forgotten: the watermark refuses it all the same", async () => {
    const old = route();
    const asking = await keepAsking();
    expect(await router.push(dead())).toBe(204);
    const toldMs = performance.now();
    await cluster.remove("team-a", sandbox.metadata.name);
    await eventually(() => cluster.store.get("team-a", sandbox.metadata.name) === undefined);
    await eventually(() => router.router.table.stats().tombstones === 0);
    expect(await router.push(old)).toBe(204);
    await expectAttempt("peer", "watermark");
    await expectNoneServed(asking, toldMs);
  });

  test("a new life of the same name is served, and its old pushes are not", async () => {
    const old = route();
    await cluster.remove("team-a", sandbox.metadata.name);
    await eventually(() => cluster.store.get("team-a", sandbox.metadata.name) === undefined);
    const next = await cluster.claim({ id: "victim", owner: "grace" });
    await eventually(async () => (await router.ask("victim")).status === 200);
    const served = await router.ask("victim");
    expect(await router.push(old)).toBe(204);
    await expectAttempt("peer", "watermark");
    const still = await router.ask("victim");
    expect(still).toMatchObject({ status: 200, podUid: served.podUid });
    expect(JSON.parse(still.body)).toMatchObject({ name: next.metadata.name });
  });
});
