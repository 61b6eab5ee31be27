import { request } from "undici";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import type { RequestRecord } from "../../src/proxy/record/request-record.ts";
import { eventually } from "../support/eventually.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// The whole router over real sockets: what a client sees of a sandbox's life.

let cluster: DevCluster;
let router: TestRouter;
let records: RequestRecord[];

beforeEach(async () => {
  records = [];
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.73.1", ipCount: 8, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
    delays: {
      start: { minMs: 1, maxMs: 5 },
      // Pods outlive their sandboxes for a while, so that it is the router which ends things.
      pause: { minMs: 2_000, maxMs: 2_000 },
      end: { minMs: 2_000, maxMs: 2_000 },
      notice: { minMs: 1, maxMs: 2 },
    },
  });
});

afterEach(async () => {
  await router.router.stop();
  await cluster.stop();
});

async function start(config: ConfigInput = {}): Promise<void> {
  router = await startTestRouter(config, {
    apiServer: new URL(cluster.apiUrl),
    accessLog: (record) => void records.push(record),
  });
  await router.router.synced();
}

async function claim(fields: { shutdownAtMs?: number; accessToken?: string } = {}): Promise<string> {
  const { metadata } = await cluster.claim({ id: "box", owner: "ada", ...fields });
  await eventually(() => router.router.table.lookup("box").kind === "found");
  return metadata.name;
}

/** Opens a stream of events; the returned promise tells how it ended. */
async function openStream(): Promise<{ readonly ended: Promise<"cleanly" | "cut">; close(): void }> {
  const { body, statusCode } = await request(`${router.trafficUrl}/events?everyMs=20`, {
    headers: { host: "3000-box.example.com" },
  });
  expect(statusCode).toBe(200);
  const ended = (async () => {
    try {
      for await (const _ of body) {
        // Each event shows that the stream moves.
      }
      return "cleanly";
    } catch {
      return "cut";
    }
  })();
  return { ended, close: () => body.destroy() };
}

test("a sandbox ends at its shutdownTime, though the informer says nothing: new requests and open streams", async () => {
  await start();
  const name = await claim();
  expect((await router.ask("box")).status).toBe(200);
  const stream = await openStream();
  // Kubernetes writes times in whole seconds.
  const shutdownAtMs = Math.ceil(Date.now() / 1_000) * 1_000 + 2_000;
  const { statusCode } = await request(
    new URL(`/apis/agents.kruise.io/v1alpha1/namespaces/team-a/sandboxes/${name}`, cluster.apiUrl),
    {
      method: "PATCH",
      headers: { "content-type": "application/merge-patch+json" },
      body: JSON.stringify({ spec: { shutdownTime: new Date(shutdownAtMs).toISOString() } }),
    },
  );
  expect(statusCode).toBe(200);
  await eventually(() => {
    const found = router.router.table.lookup("box");
    return found.kind === "found" && found.route.shutdownAtMs === shutdownAtMs;
  });
  // Its deletion, which follows, is told long after.
  cluster.api.setWatchDelayMs(600_000);
  expect(await stream.ended).toBe("cut");
  expect(Date.now()).toBeGreaterThanOrEqual(shutdownAtMs);
  expect(await router.ask("box")).toMatchObject({ status: 502, reason: "sandbox_dead" });
});

test("a paused sandbox takes no new request; what is under way may finish", async () => {
  await start();
  const name = await claim();
  const slow = router.ask("box", "/slow?ms=700");
  await eventually(async () => (await router.metrics()).includes("lychgate_requests_in_flight 1"));
  await cluster.pause("team-a", name);
  await eventually(async () => (await router.ask("box")).reason === "sandbox_paused");
  expect(await slow).toMatchObject({ status: 200 });
});

test("a deleted sandbox's streams are cut at once, not when its pod dies", async () => {
  await start();
  const name = await claim();
  const stream = await openStream();
  await cluster.remove("team-a", name);
  expect(await stream.ended).toBe("cut");
  expect(cluster.pods.living.size).toBeGreaterThan(0);
  await eventually(() => records.some(({ reason }) => reason === "incarnation_ended"));
});

test("with auth.accessToken nobody learns anything of a sandbox without its token, which goes nowhere else", async () => {
  await start({ auth: { accessToken: true } });
  const secret = "sekrit-1f2e3d";
  const name = await claim({ accessToken: secret });
  const refused = {
    status: 401,
    reason: "unauthorized",
    body: "unauthorized: invalid or missing access token",
  };
  expect(await router.ask("box")).toMatchObject(refused);
  expect(await router.ask("box", "/", { "x-access-token": "wrong" })).toMatchObject(refused);
  expect(await router.ask("box", "/", { "x-access-token": secret })).toMatchObject({ status: 200 });
  await cluster.pause("team-a", name);
  await eventually(
    async () => (await router.ask("box", "/", { "x-access-token": secret })).reason === "sandbox_paused",
  );
  expect(await router.ask("box")).toMatchObject(refused);

  const pages = ["/metrics", "/api/routes", "/api/overview", "/api/explain?host=3000-box.example.com"];
  for (const page of pages) {
    const { body } = await request(`${router.adminUrl}${page}`);
    expect(await body.text(), page).not.toContain(secret);
  }
  expect(JSON.stringify(records)).not.toContain(secret);
});

test("while the API server is away the table keeps serving, and says how old it is", async () => {
  await start({ watch: { backoffMinMs: 50, backoffMaxMs: 100 } });
  const name = await claim();
  await cluster.api.setOutage("refuse");
  await eventually(async () => {
    const metrics = await router.metrics();
    expect(metrics).toContain('lychgate_watch_connected{scope=""} 0');
    expect(Number(/lychgate_watermark_age_seconds\{scope=""\} (\S+)/.exec(metrics)?.[1])).toBeGreaterThan(0);
  });
  expect((await router.ask("box")).status).toBe(200);
  expect((await request(`${router.peersUrl}/readyz`)).statusCode).toBe(200);
  await cluster.remove("team-a", name);
  await cluster.api.setOutage("none");
  await eventually(async () => (await router.ask("box")).status === 502);
});

test("a drain: not ready at once, still serving for a while, then gone", async () => {
  await start({ drain: { delayMs: 600, timeoutMs: 2_000 } });
  await claim();
  const drained = router.router.drain();
  const ready = await request(`${router.peersUrl}/readyz`);
  expect([ready.statusCode, await ready.body.text()]).toEqual([503, "gateway is not ready\n"]);
  expect((await router.ask("box")).status).toBe(200);
  await drained;
  await expect(router.ask("box")).rejects.toThrow();
});

test("without an informer pushes alone make routes, and a port that is taken is a clear error", async () => {
  router = await startTestRouter({ source: "none" });
  expect((await router.ask("box")).status).toBe(502);
  const pod = await cluster.claim({ id: "box", owner: "ada" });
  const push = {
    ip: pod.status?.podInfo?.podIP,
    id: "box",
    namespace: "team-a",
    name: pod.metadata.name,
    uid: pod.metadata.uid,
    owner: "",
    state: "running",
    resourceVersion: "7",
  };
  expect(await router.push(push)).toBe(204);
  expect((await router.ask("box")).status).toBe(200);
  expect(await router.push({ ...push, state: "dead" })).toBe(204);
  expect(await router.ask("box")).toMatchObject({ status: 502, body: "sandbox not found: box" });
  const taken = `127.0.0.1:${router.router.addresses.traffic.port}`;
  await expect(startTestRouter({ source: "none", listen: taken })).rejects.toThrow(
    /^listen \(--listen\): .*EADDRINUSE/,
  );
});
