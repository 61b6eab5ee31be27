import { expect, test } from "vitest";
import { startDevCluster } from "../../../lab/devcluster/cluster.ts";

test("claims that wait at the same time get a sandbox each", async () => {
  const cluster = await startDevCluster({
    pods: { firstIp: "127.0.71.1", ipCount: 16, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
  });
  try {
    const claims = await Promise.all(["a", "b", "c", "d"].map((id) => cluster.claim({ id, owner: "ada" })));
    expect(new Set(claims.map(({ metadata }) => metadata.uid)).size).toBe(4);
    expect(claims.map(({ metadata }) => metadata.labels?.["agents.kruise.io/sandbox-id"])).toEqual([
      "a",
      "b",
      "c",
      "d",
    ]);
  } finally {
    await cluster.stop();
  }
});
