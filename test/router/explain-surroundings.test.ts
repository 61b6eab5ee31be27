import { request } from "undici";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// What `explain` says beside the route: how old the table may be, and whether the pod has a connection to spare.

let cluster: DevCluster;
let router: TestRouter;

beforeEach(async () => {
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.76.1", ipCount: 8, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
    delays: { start: { minMs: 1, maxMs: 5 }, notice: { minMs: 1, maxMs: 2 } },
  });
  router = await startTestRouter(
    { upstream: { maxConnectionsPerSandbox: 1 } },
    { apiServer: new URL(cluster.apiUrl) },
  );
  await router.router.synced();
  await cluster.claim({ id: "box", owner: "ada" });
  await eventually(() => router.router.table.lookup("box").kind === "found");
});
afterEach(async () => {
  await router.router.stop();
  await cluster.stop();
});

async function explain(host: string): Promise<Readonly<Record<string, string>>> {
  const { body } = await request(`${router.adminUrl}/api/explain?host=${host}`);
  const { steps } = (await body.json()) as { steps: readonly { step: string; result: string }[] };
  return Object.fromEntries(steps.map(({ step, result }) => [step, result]));
}

test("the watch: connected, and when the API server was heard; without it why not", async () => {
  expect((await explain("3000-box.example.com"))["watch"]).toMatch(
    /^connected, the API server was heard \d+ s ago$/,
  );
  await cluster.api.setOutage("refuse");
  await eventually(async () =>
    expect((await explain("3000-box.example.com"))["watch"]).toMatch(
      /^not connected, the API server was heard \d+ s ago: .*\S$/,
    ),
  );
  expect((await explain("www.example.com"))["watch"]).toMatch(/^not connected/);
});

test("connections to the pod: in use, idle, and requests that wait", async () => {
  expect((await explain("3000-box.example.com"))["to the pod"]).toBe(
    "0 in use of at most 1, 0 idle, 0 requests wait",
  );
  await router.ask("box");
  expect((await explain("3000-box.example.com"))["to the pod"]).toBe(
    "0 in use of at most 1, 1 idle, 0 requests wait",
  );
  const slow = [router.ask("box", "/slow?ms=300"), router.ask("box", "/slow?ms=1")];
  await eventually(async () =>
    expect((await explain("3000-box.example.com"))["to the pod"]).toBe(
      "1 in use of at most 1, 0 idle, 1 requests wait",
    ),
  );
  expect((await Promise.all(slow)).map(({ status }) => status)).toEqual([200, 200]);
  // A Host that names no sandbox leads to no pod.
  expect(await explain("3000-nobody.example.com")).not.toHaveProperty("to the pod");
});

test("the dead: what had the ID, how it ended, who told and when; and the query without its values", async () => {
  const living = await explain("3000-box.example.com&path=/a%3Fb=sekrit%26c%26d=");
  expect(living["target"]).toContain("path for the pod: /a?b=…&…&d=…");
  expect(JSON.stringify(living)).not.toContain("sekrit");
  expect(living).not.toHaveProperty("it was");

  const box = [...cluster.store.values()].find(({ metadata }) =>
    Object.values(metadata.labels ?? {}).includes("box"),
  );
  const name = box?.metadata.name ?? "";
  await cluster.remove("team-a", name);
  await eventually(async () =>
    // In another case of letters, as a Host may have it.
    expect((await explain("3000-BOX.example.com"))["it was"]).toMatch(
      new RegExp(
        `^team-a/${name} \\(running on 127\\.0\\.76\\.\\d+\\), (being deleted \\(deletionTimestamp\\)|deleted) at version \\d+, told by (the informer|peer \\S+) \\d+ s ago$`,
      ),
    ),
  );
  const { body } = await request(`${router.adminUrl}/api/explain?host=3000-box.example.com`);
  expect(await body.json()).toMatchObject({
    verdict: { reason: "sandbox_not_found" },
    former: { namespace: "team-a", name, state: "running" },
  });
  expect(await explain("3000-nobody.example.com")).not.toHaveProperty("it was");
});
