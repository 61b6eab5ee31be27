import { afterEach, beforeEach, expect, test } from "vitest";
import type { Status } from "../../src/admin/status-types.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import { eventually } from "../support/eventually.ts";
import { metricOf } from "../support/router-process.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// The API server is away, for longer than anything waits: what the router knows is served on, and it says how old it is.

const HOUR_MS = 3_600_000;

let cluster: DevCluster;
let router: TestRouter;
let passedMs: number;

/** The machine's clock, and what the test lets pass. */
const clock: Clock = {
  nowMs: () => systemClock.nowMs() + passedMs,
  monotonicMs: () => systemClock.monotonicMs() + passedMs,
  setTimeout: (callback, delayMs, options) => systemClock.setTimeout(callback, delayMs, options),
};

beforeEach(async () => {
  passedMs = 0;
  cluster = await startDevCluster({
    api: { bookmarkIntervalMs: 50 },
    pods: { firstIp: "127.0.74.1", ipCount: 8, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 2 }],
    delays: { start: { minMs: 1, maxMs: 5 }, end: { minMs: 1, maxMs: 5 }, notice: { minMs: 1, maxMs: 2 } },
  });
});

afterEach(async () => {
  await router.router.stop();
  await cluster.stop();
});

async function start(config: ConfigInput = {}): Promise<void> {
  router = await startTestRouter(config, { apiServer: new URL(cluster.apiUrl), clock });
  await router.router.synced();
}

async function readyz(query = ""): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(`${router.peersUrl}/readyz${query}`);
  return { status: response.status, body: await response.text() };
}

async function status(): Promise<Status> {
  return (await (await fetch(`${router.adminUrl}/api/status`)).json()) as Status;
}

/** Takes the API server away, and lets an hour pass. */
async function loseApiServer(): Promise<void> {
  await cluster.api.setOutage("refuse");
  await eventually(async () => (await router.metrics()).includes('lychgate_watch_connected{scope=""} 0'));
  passedMs += HOUR_MS;
}

test("with the API server away for an hour, requests are answered, and the router is ready but stale", async () => {
  await start();
  await cluster.claim({ id: "box", owner: "ada" });
  await eventually(async () => (await router.ask("box")).status === 200);
  expect(await readyz()).toEqual({ status: 200, body: "ok\n" });
  expect((await readyz("?verbose")).body).toContain("[+]watch ok\n");

  await loseApiServer();
  for (let i = 0; i < 20; i++) expect((await router.ask("box")).status).toBe(200);
  const { status: code, body } = await readyz();
  expect(code).toBe(200);
  expect(body).toMatch(/^ok, but stale: the API server was last heard 36\d\d s ago\n$/);
  expect((await readyz("?verbose")).body).toMatch(/^\[\+\]watch ok: stale: .* 36\d\d s ago$/m);
  const text = await router.metrics();
  expect(metricOf(text, "lychgate_watermark_age_seconds", 'scope=""')).toBeGreaterThanOrEqual(3_600);
  expect(metricOf(text, "lychgate_ready")).toBe(1);
  // After the grace in which a watch is opened again.
  const health = await eventually(async () => {
    const now = (await status()).health;
    expect(now.level).toBe("degraded");
    return now;
  });
  expect(health.findings.map(({ text }) => text)).toContainEqual(
    expect.stringMatching(/^the API server was last heard 36\d\d s ago$/),
  );
});

test("when it is back the router catches up with all that happened meanwhile", async () => {
  await start();
  const stays = await cluster.claim({ id: "stays", owner: "ada" });
  const ends = await cluster.claim({ id: "ends", owner: "ada" });
  await eventually(async () => (await router.ask("stays")).status === 200);
  await eventually(async () => (await router.ask("ends")).status === 200);
  await loseApiServer();
  await cluster.remove("team-a", ends.metadata.name);
  await cluster.claim({ id: "comes", owner: "ada" });
  expect((await router.ask("comes")).reason).toBe("sandbox_not_found");
  // An API server that was started again holds no older events.
  cluster.store.compact();
  await cluster.api.setOutage("none");
  await eventually(async () => (await router.ask("comes")).status === 200);
  expect((await router.ask("ends")).status).toBe(502);
  expect((await router.ask("stays")).podUid).toBe(
    [...cluster.pods.living].find(({ identity }) => identity.name === stays.metadata.name)?.uid,
  );
  await eventually(async () => expect(await readyz()).toEqual({ status: 200, body: "ok\n" }));
});

test("with watch.readyWhenStale off the router is not ready while it is stale, and serves on", async () => {
  await start({ watch: { readyWhenStale: false, staleAfterMs: 600_000 } });
  await cluster.claim({ id: "box", owner: "ada" });
  await eventually(async () => (await router.ask("box")).status === 200);
  await loseApiServer();
  expect(await readyz()).toEqual({ status: 503, body: "gateway is not ready\n" });
  expect((await readyz("?verbose")).body).toMatch(/^\[-\]watch failed: stale: .* 36\d\d s ago$/m);
  expect((await status()).health.level).toBe("down");
  expect((await router.ask("box")).status).toBe(200);
  await cluster.api.setOutage("none");
  await eventually(async () => (await readyz()).status === 200);
});
