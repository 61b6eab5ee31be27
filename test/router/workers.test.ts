import { request } from "undici";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// A cluster, its informer in this process, and workers that serve: what happens to a sandbox reaches the connections that
// other processes hold.

let cluster: DevCluster;
let router: TestRouter;

beforeEach(async () => {
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.74.1", ipCount: 8, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
    delays: {
      start: { minMs: 1, maxMs: 5 },
      // Pods outlive their sandboxes for a while, so that it is the router which ends things.
      pause: { minMs: 3_000, maxMs: 3_000 },
      end: { minMs: 3_000, maxMs: 3_000 },
      notice: { minMs: 1, maxMs: 2 },
    },
  });
});

afterEach(async () => {
  await router.router.stop();
  await cluster.stop();
});

function start(): Promise<TestRouter> {
  return startTestRouter(
    { workers: 2, accessLog: "off", logLevel: "error", watch: { backoffMinMs: 20, backoffMaxMs: 50 } },
    { apiServer: new URL(cluster.apiUrl) },
  );
}

async function endOf(body: AsyncIterable<unknown>): Promise<"cleanly" | "cut"> {
  try {
    for await (const _ of body) {
      // Each event shows that the stream moves.
    }
    return "cleanly";
  } catch {
    return "cut";
  }
}

/** Streams of events on connections of their own; each promise tells how one ended. */
async function openStreams(count: number): Promise<Promise<"cleanly" | "cut">[]> {
  const streams: Promise<"cleanly" | "cut">[] = [];
  for (let opened = 0; opened < count; opened++) {
    const { body, statusCode } = await request(`${router.trafficUrl}/events?everyMs=20`, {
      headers: { host: "3000-box.example.com" },
      reset: true,
    });
    expect(statusCode).toBe(200);
    streams.push(endOf(body));
  }
  return streams;
}

test("nobody is served before the list is in; then all are; and a sandbox's end cuts its streams in every worker", async () => {
  await cluster.api.setOutage("refuse");
  router = await start();
  expect(await router.ask("box")).toMatchObject({ status: 503, reason: "not_ready" });
  expect((await request(`${router.peersUrl}/readyz`)).statusCode).toBe(503);
  await cluster.api.setOutage("none");
  await router.router.synced();
  await eventually(async () => (await request(`${router.peersUrl}/readyz`)).statusCode === 200);

  const { metadata } = await cluster.claim({ id: "box", owner: "ada" });
  await eventually(async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => router.ask("box")));
    for (const { status } of answers) expect(status).toBe(200);
  });
  const streams = await openStreams(12);
  await cluster.remove("team-a", metadata.name);
  expect(new Set(await Promise.all(streams))).toEqual(new Set(["cut"]));
  expect(cluster.pods.living.size).toBeGreaterThan(0);
  await eventually(async () => (await router.ask("box")).status === 502);
  await eventually(async () =>
    expect(await router.metrics()).toContain('lychgate_upstream_resets_total{reason="dead"} 12'),
  );
});
