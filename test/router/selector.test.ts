import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { routeToPush } from "../../lab/devcluster/pushed-route.ts";
import { SANDBOX_ID_LABEL, type StoredSandbox } from "../../lab/devcluster/sandbox.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf } from "../support/router-process.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// Rule 14 over sockets: two routers share a cluster by label, and managers push every sandbox to both.

let cluster: DevCluster;
let router: TestRouter;

beforeAll(async () => {
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.76.1", ipCount: 8, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 2 }],
    delays: { start: { minMs: 1, maxMs: 5 } },
  });
});
afterAll(() => cluster.stop());
afterEach(() => router.router.stop());

describe.each(["verify", "serve"] as const)("with peers.trust: %s", (trust) => {
  test("a push does not pass `selector`, however often, and its sender is not blamed", async () => {
    const names = { gold: `gold-${trust}`, tin: `tin-${trust}` };
    const gold = await cluster.claim({ id: names.gold, owner: "ada" });
    const tin = await cluster.claim({ id: names.tin, owner: "bob" });
    router = await startTestRouter(
      { accessLog: "off", selector: `${SANDBOX_ID_LABEL}=${names.gold}`, peers: { trust } },
      { apiServer: new URL(cluster.apiUrl) },
    );
    await router.router.synced();
    await eventually(async () => expect((await router.ask(names.gold)).status).toBe(200));
    const push = ({ metadata: { namespace, name } }: StoredSandbox, ahead: number) => {
      const route = routeToPush(cluster.store.get(namespace, name) as StoredSandbox, Date.now());
      return router.push({ ...route, resourceVersion: String(Number(route.resourceVersion) + ahead) });
    };
    for (let ahead = 1_000; ahead < 1_006; ahead++) {
      expect(await push(tin, ahead)).toBe(204);
      expect(await router.ask(names.tin)).toMatchObject({ status: 502, reason: "sandbox_not_found" });
    }
    await eventually(() =>
      expect(router.router.table.stats()).toMatchObject({ hints: 0, tombstones: 0, doubtful: 0 }),
    );
    expect(router.router.table.inspect(`team-a/${tin.metadata.name}`)?.inEffect).toBeUndefined();
    // What the metrics say is at most a second old.
    await eventually(async () => {
      const metrics = await router.metrics();
      const mutations = (outcome: string) =>
        metricOf(metrics, "lychgate_route_mutations_total", `source="peer",outcome="${outcome}"`);
      expect(mutations("unsettled")).toBe(6);
      expect(mutations("ignored_unselected")).toBeGreaterThan(0);
      expect(mutations("ignored_refuted") + mutations("ignored_distrusted")).toBe(0);
    });
    // One that the selector lets through is served as ever.
    expect(await push(gold, 0)).toBe(204);
    expect((await router.ask(names.gold)).status).toBe(200);
  });
});
