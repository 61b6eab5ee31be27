import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { request } from "undici";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Explanation, Overview } from "../../src/admin/api-types.ts";
import type { Status } from "../../src/admin/status-types.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import type { Log } from "../../src/system/log.ts";
import { snapshotPath } from "../snapshot/support.ts";
import { eventually } from "../support/eventually.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// A router that starts while the API server is away serves what it knew before, and says so (docs/route-table.md#snapshots).

const TOKEN = "t0ken-of-the-box";

let cluster: DevCluster;
let path: string;
/** The name of the sandbox that {@link leaveSnapshot} made. */
let box: string;
const routers: TestRouter[] = [];

beforeEach(async () => {
  path = await snapshotPath();
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.74.1", ipCount: 8, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
    delays: {
      start: { minMs: 1, maxMs: 5 },
      pause: { minMs: 1, maxMs: 5 },
      end: { minMs: 1, maxMs: 5 },
      notice: { minMs: 1, maxMs: 2 },
    },
  });
});

afterEach(async () => {
  for (const { router } of routers.splice(0)) await router.stop();
  await cluster.stop();
});

interface Logged {
  readonly level: string;
  readonly message: string;
  readonly fields: string;
}

async function start(
  snapshot: ConfigInput["snapshot"] = {},
): Promise<{ router: TestRouter; lines: Logged[] }> {
  const lines: Logged[] = [];
  const at = (level: string) => (message: string, fields?: object) =>
    void lines.push({ level, message, fields: JSON.stringify(fields ?? {}) });
  const log = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  } as unknown as Log;
  const router = await startTestRouter(
    { snapshot: { path, loadAfterMs: 0, ...snapshot } },
    { apiServer: new URL(cluster.apiUrl), log },
  );
  routers.push(router);
  return { router, lines };
}

/** Runs a router until it serves `box`, and drains it: its snapshot is on the disk. */
async function leaveSnapshot(): Promise<void> {
  const { router } = await start();
  await router.router.synced();
  box = (await cluster.claim({ id: "box", owner: "ada", accessToken: TOKEN })).metadata.name;
  await eventually(async () => (await router.ask("box")).status === 200);
  await router.router.drain();
  routers.splice(0);
}

const json = async <T>(url: string): Promise<T> => (await (await request(url)).body.json()) as T;

test("the drain leaves a snapshot that only its owner reads", async () => {
  await leaveSnapshot();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readFile(path, "utf8")).toContain(TOKEN);
});

test("it is served while the API server is away, marked as old everywhere, and replaced whole by the first list", async () => {
  await leaveSnapshot();
  await cluster.api.setOutage("refuse");
  const { router, lines } = await start();
  await eventually(async () => (await router.ask("box")).status === 200);

  const readyz = await request(`${router.peersUrl}/readyz`);
  expect(readyz.statusCode).toBe(200);
  expect(await readyz.body.text()).toMatch(/^ok, but routes are those of a snapshot, \d+ s old: .*\n$/);
  const overview = await json<Overview>(`${router.adminUrl}/api/overview`);
  expect(overview).toMatchObject({ ready: true, synced: true });
  expect(overview.snapshot?.ageSeconds).toBeGreaterThanOrEqual(0);
  const { health } = await json<Status>(`${router.adminUrl}/api/status`);
  expect(health.level).toBe("degraded");
  expect(health.findings.map(({ text }) => text).join()).toContain("the routes are those of a snapshot");
  const explained = await json<Explanation>(`${router.adminUrl}/api/explain?host=3000-box.example.com`);
  expect(explained.steps.find(({ step }) => step === "snapshot")?.result).toContain("s old");
  expect(await router.metrics()).toMatch(/^lychgate_snapshot_served_age_seconds 0?\.?\d*[1-9]/m);
  expect(await router.metrics()).toContain('lychgate_snapshot_loads_total{result="loaded"} 1');
  expect(lines.filter(({ message }) => message.includes("routes are those of the snapshot"))).toHaveLength(1);
  expect(lines.map(({ fields }) => fields).join()).not.toContain(TOKEN);

  // What happens while nobody hears it: the list tells.
  await cluster.remove("team-a", box);
  // Its pod may be gone already: the router does not know.
  expect((await router.ask("box")).reason).not.toBe("sandbox_not_found");
  await cluster.api.setOutage("none");
  await eventually(async () => (await router.ask("box")).reason === "sandbox_not_found");
  const after = await request(`${router.peersUrl}/readyz`);
  expect(await after.body.text()).toBe("ok\n");
  expect(await json<Overview>(`${router.adminUrl}/api/overview`)).not.toHaveProperty("snapshot");
  // The text of the metrics is up to a second old.
  await eventually(async () => /^lychgate_snapshot_served_age_seconds 0$/m.test(await router.metrics()));
});

test("with snapshot.ready off the router serves it and is not ready", async () => {
  await leaveSnapshot();
  await cluster.api.setOutage("refuse");
  const { router } = await start({ ready: false });
  await eventually(async () => (await router.ask("box")).status === 200);
  expect((await request(`${router.peersUrl}/readyz`)).statusCode).toBe(503);
  const verbose = await (await request(`${router.peersUrl}/readyz?verbose`)).body.text();
  expect(verbose).toMatch(/^\[-\]snapshot failed: routes are those of a snapshot, \d+ s old/m);
});

test("a damaged one is refused with its reason in the log, and nothing of it is served", async () => {
  await leaveSnapshot();
  const text = await readFile(path, "utf8");
  await writeFile(path, text.replace(/127\.0\.74\.\d+/, "127.0.74.99"));
  await cluster.api.setOutage("refuse");
  const { router, lines } = await start();
  const refused = await eventually(
    () => lines.find(({ message }) => message.includes("is not used")) ?? false,
  );
  expect(refused).toMatchObject({ level: "error" });
  if (refused) expect(refused.fields).toContain('"code":"damaged"');
  expect((await router.ask("box")).reason).toBe("not_ready");
  expect((await request(`${router.peersUrl}/readyz`)).statusCode).toBe(503);
  expect(await router.metrics()).toContain('lychgate_snapshot_loads_total{result="damaged"} 1');
  expect(router.router.table.stats().entries).toBe(0);
});

test("without a file the router waits for the API server, as ever", async () => {
  await leaveSnapshot();
  await rm(path);
  await cluster.api.setOutage("refuse");
  const { router, lines } = await start();
  await eventually(() => lines.some(({ message }) => message.includes("there is no snapshot")));
  expect((await router.ask("box")).reason).toBe("not_ready");
});

test("it is not looked at when the list is in, and is saved again while things change", async () => {
  await leaveSnapshot();
  const { router } = await start({ loadAfterMs: 600_000, intervalMs: 1_000 });
  await router.router.synced();
  const { mtimeMs } = await stat(path);
  await cluster.claim({ id: "other", owner: "ada" });
  await eventually(async () => (await stat(path)).mtimeMs > mtimeMs);
  expect(await router.metrics()).toContain('lychgate_snapshot_loads_total{result="loaded"} 0');
});
