import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../../lab/devcluster/cluster.ts";
import { RUN_LABEL } from "../../../lab/load/sandbox-maker.ts";
import { provesEnough, runLoad, testFolder } from "./run-load.ts";

const FAST = { minMs: 5, maxMs: 20 };

let folder: string;
beforeEach(() => {
  folder = testFolder();
});

async function startCluster(firstIp: string): Promise<DevCluster> {
  const cluster = await startDevCluster({
    kubeconfigPath: join(folder, "kubeconfig"),
    pods: { firstIp, ipCount: 24, ports: [3000] },
    delays: { start: FAST, pause: FAST, end: FAST, notice: FAST },
  });
  onTestFinished(() => cluster.stop());
  return cluster;
}

/** A router that answers with what `answer` says for each routing ID, and that knows no others. */
async function startProxy(answer: (id: string) => object | undefined): Promise<string> {
  const server = createServer((request, response) => {
    const id = /^3000-(.*)\.example\.com$/.exec(request.headers.host ?? "")?.[1] ?? "";
    const said = answer(id);
    if (said) response.end(JSON.stringify(said));
    else response.writeHead(502, { "x-lychgate-reason": "sandbox_not_found" }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The pod that lives under a routing ID. */
function podOf(cluster: DevCluster, id: string) {
  return [...cluster.pods.living].find(({ identity }) => identity.sandboxId === id)?.identity;
}

test("a given router that answers with another sandbox's pod: exit 1, and both are named", async () => {
  const cluster = await startCluster("127.71.60.1");
  await cluster.claim({ id: "aaa" });
  await cluster.claim({ id: "bbb" });
  const url = await startProxy((id) => podOf(cluster, id === "aaa" ? "bbb" : id));
  const { code, said, stderr, html } = await runLoad(
    `--url ${url} --kubeconfig ${folder}/kubeconfig --load-namespace team-a --duration-s 1 --connections 2`,
  );
  expect(code, stderr).toBe(1);
  expect(said.violationCounts.misroute).toBeGreaterThan(0);
  const [a, b] = [podOf(cluster, "aaa"), podOf(cluster, "bbb")];
  expect(said.verdict.outcome).toBe("failed");
  expect(said.verdict.failures[0]).toContain(
    `aaa (team-a/${a?.name}) was answered by team-a/${b?.name} (pod ${b?.podUid})`,
  );
  expect(html).toContain("Failed: ");
});

test("a given router under --churn: only sandboxes of the run's own are asked, changed and deleted", async () => {
  const cluster = await startCluster("127.71.61.1");
  const theirs = await cluster.claim({ id: "theirs" });
  const before = [...cluster.store.values()].map(({ metadata }) => metadata.uid);
  const touched = new Set<string>();
  cluster.store.subscribe(({ type, object: { metadata }, previous }) => {
    // The controller writes statuses; a spec is changed by users alone.
    const isChange = type === "DELETED" || metadata.generation !== previous?.metadata.generation;
    if (type !== "ADDED" && isChange && metadata.labels?.[RUN_LABEL] === undefined)
      touched.add(metadata.name);
  });
  const asked = new Set<string>();
  const url = await startProxy((id) => {
    asked.add(id);
    return podOf(cluster, id);
  });
  const { code, said, stderr } = await runLoad(
    `--url ${url} --kubeconfig ${folder}/kubeconfig --load-namespace team-a --churn --sandboxes 3 --churn-per-second 10 --duration-s 2 --connections 2`,
  );
  const isEnough = provesEnough(said);
  expect(said?.verdict.outcome, stderr).toBe(isEnough ? "passed" : "inconclusive");
  expect(code).toBe(isEnough ? 0 : 1);
  expect(stderr).toContain("will make 3 Sandboxes named lychgate-load-… in namespace team-a");
  expect(Object.fromEntries(said.cluster.map(({ label, count }) => [label, count]))).toMatchObject({
    "sandboxes made": expect.any(Number),
    "sandboxes deleted": expect.any(Number),
  });
  expect([...asked].every((id) => id.startsWith("team-a--lychgate-load-"))).toBe(true);
  expect([...touched]).toEqual([]);
  const left = [...cluster.store.values()].filter(({ metadata }) => !metadata.deletionTimestamp);
  expect(left.map(({ metadata }) => metadata.uid)).toEqual(before);
  expect(before).toContain(theirs.metadata.uid);
});

test("nobody to ask is told, exit 1", async () => {
  await startCluster("127.71.62.1");
  const { code, stderr } = await runLoad(
    `--url http://127.0.0.1:1 --kubeconfig ${folder}/kubeconfig --load-namespace nobody-here`,
  );
  expect(code).toBe(1);
  expect(stderr).toContain(
    "0 of 1 sandboxes to ask are running in namespace nobody-here: start some, or let --churn make them",
  );
});
