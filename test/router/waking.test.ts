import { request } from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { type Answer, startTestRouter, type TestRouter } from "./support.ts";

// docs/wake.md with an API server and pods: whole routers over real sockets.

let cluster: DevCluster;
let routers: TestRouter[];

beforeEach(async () => {
  routers = [];
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.74.1", ipCount: 8, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 2 }],
    delays: {
      start: { minMs: 20, maxMs: 60 },
      pause: { minMs: 1, maxMs: 5 },
      end: { minMs: 1, maxMs: 5 },
      notice: { minMs: 1, maxMs: 2 },
    },
  });
});

afterEach(async () => {
  await Promise.all(routers.map(({ router }) => router.stop()));
  await cluster.stop();
});

async function start(count: number, config: ConfigInput = {}): Promise<void> {
  const options = { apiServer: new URL(cluster.apiUrl), accessLog: () => {} };
  const wake = { enabled: true, ...config.wake };
  routers = await Promise.all(
    Array.from({ length: count }, () => startTestRouter({ ...config, wake }, options)),
  );
  await Promise.all(routers.map(({ router }) => router.synced()));
}

const path = (name: string) =>
  new URL(`/apis/agents.kruise.io/v1alpha1/namespaces/team-a/sandboxes/${name}`, cluster.apiUrl);

async function patch(name: string, body: object): Promise<void> {
  const { statusCode, body: answer } = await request(path(name), {
    method: "PATCH",
    headers: { "content-type": "application/merge-patch+json" },
    body: JSON.stringify(body),
  });
  await answer.dump();
  expect(statusCode).toBe(200);
}

async function specOf(name: string): Promise<Record<string, unknown>> {
  const { body } = await request(path(name));
  return ((await body.json()) as { spec: Record<string, unknown> }).spec;
}

const WAKES = { spec: { autoPausePolicy: { resume: { onIngressTraffic: { pauseTimeout: "10m" } } } } };

/** A sandbox that traffic may wake, and that every router knows to be asleep. */
async function sleeping(id: string, may: object = WAKES): Promise<string> {
  const { metadata } = await cluster.claim({ id, owner: "ada" });
  await patch(metadata.name, may);
  await pause(id, metadata.name);
  return metadata.name;
}

async function pause(id: string, name: string): Promise<void> {
  await cluster.pause("team-a", name);
  await eventually(() => {
    for (const { router } of routers) {
      const found = router.table.lookup(id);
      expect(found).toMatchObject({ kind: "found", state: "paused", incarnation: undefined });
    }
  });
  // Its pod has gone, and with it its address: another may have that now.
  await eventually(async () => {
    const { body } = await request(path(name));
    const { status } = (await body.json()) as { status: { phase: string } };
    expect(status.phase).toBe("Paused");
  });
}

async function countOf(metric: string, labels: string): Promise<number> {
  const texts = await Promise.all(routers.map((router) => router.metrics()));
  return texts
    .map((text) => new RegExp(`^${metric}\\{${labels}\\} (\\d+)$`, "m").exec(text)?.[1])
    .reduce((sum, count) => sum + Number(count ?? 0), 0);
}

const patches = () => countOf("lychgate_wake_attempts_total", 'result="patched"');

const woken = (answers: readonly Answer[]) => answers.map(({ status, podUid }) => ({ status, podUid }));

describe("a paused sandbox whose owner allows it", () => {
  test("is woken once by many requests through three routers, and each is answered by the new pod", async () => {
    await start(3);
    const name = await sleeping("box");
    for (let cycle = 1; cycle <= 3; cycle++) {
      const asked = routers.flatMap((router) => Array.from({ length: 40 }, () => router.ask("box")));
      const answers = woken(await Promise.all(asked));
      const { status } = (await (await request(path(name))).body.json()) as {
        status: { podInfo: { podUID: string } };
      };
      expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(
        new Set([JSON.stringify({ status: 200, podUid: status.podInfo.podUID })]),
      );
      // A scrape may be a second old.
      await eventually(async () => expect(await patches()).toBe(cycle));
      await pause("box", name);
    }
  });

  test("gets its times as its rule says", async () => {
    await start(1);
    const { metadata } = await cluster.claim({ id: "box", owner: "ada" });
    await patch(metadata.name, { spec: { ...WAKES.spec, pauseTime: "2026-01-01T00:00:00Z" } });
    await pause("box", metadata.name);
    const beforeMs = Date.now();
    expect((await routers[0]?.ask("box"))?.status).toBe(200);
    const { paused, pauseTime, shutdownTime } = await specOf(metadata.name);
    expect(paused).toBe(false);
    const inMs = Date.parse(String(pauseTime)) - beforeMs;
    expect(inMs).toBeGreaterThan(590_000);
    expect(inMs).toBeLessThan(700_000);
    expect(Date.parse(String(shutdownTime)) - beforeMs).toBeGreaterThan(90 * 365 * 86_400_000);
  });

  test("is woken by the older annotation too, and through workers", async () => {
    await start(1, { workers: 2, accessLog: "off" });
    await sleeping("box", { metadata: { annotations: { "agents.kruise.io/wake-on-traffic": "true" } } });
    const router = routers[0];
    const answers = await Promise.all(Array.from({ length: 30 }, async () => router?.ask("box")));
    expect(new Set(answers.map((answer) => answer?.status))).toEqual(new Set([200]));
    await eventually(async () => expect(await patches()).toBe(1));
  });

  test("stays asleep when nobody wakes, and when its owner has changed his mind", async () => {
    await start(1);
    const name = await sleeping("box");
    const silent = await startTestRouter({}, { apiServer: new URL(cluster.apiUrl) });
    routers.push(silent);
    await silent.router.synced();
    expect(await silent.ask("box")).toMatchObject({ status: 502, reason: "sandbox_paused" });
    // The informer is slower than the owner: what counts is the object.
    cluster.api.setWatchDelayMs(600_000);
    await patch(name, { spec: { autoPausePolicy: null } });
    expect(await routers[0]?.ask("box")).toMatchObject({ status: 503, reason: "wake_failed" });
    expect((await specOf(name))["paused"]).toBe(true);
  });
});

describe("the UID fence", () => {
  test("a sandbox that was deleted and made again under its name is not woken for the old one's route", async () => {
    await start(1);
    const name = await sleeping("box");
    cluster.api.setWatchDelayMs(600_000);
    const { body } = await request(path(name));
    const { metadata, spec } = (await body.json()) as { metadata: Record<string, unknown>; spec: object };
    await cluster.remove("team-a", name);
    await eventually(async () => expect((await request(path(name))).statusCode).toBe(404));
    const { labels, annotations } = metadata;
    const again = await request(new URL("./", path(name)).href.replace(/\/$/, ""), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        apiVersion: "agents.kruise.io/v1alpha1",
        kind: "Sandbox",
        metadata: { namespace: "team-a", name, labels, annotations },
        spec: { ...spec, paused: true },
      }),
    });
    expect([again.statusCode, await again.body.text()]).toMatchObject([201, expect.any(String)]);
    expect(await routers[0]?.ask("box")).toMatchObject({ status: 503, reason: "wake_failed" });
    expect((await specOf(name))["paused"]).toBe(true);
    await eventually(async () =>
      expect(await countOf("lychgate_wake_attempts_total", 'result="replaced"')).toBe(1),
    );
  });
});

describe("while a sandbox is woken", () => {
  test("it is deleted: whoever waits gets an answer that says so, and nothing is sent anywhere", async () => {
    await start(2);
    const name = await sleeping("box");
    // It is told to run, and no pod of it ever starts.
    await cluster.controller.stop();
    const asked = routers.flatMap((router) => Array.from({ length: 20 }, () => router.ask("box")));
    await eventually(async () => expect(await patches()).toBe(1));
    await cluster.remove("team-a", name);
    const answers = await Promise.all(asked);
    for (const { status, reason, podUid } of answers) {
      expect({ status, podUid }).toEqual({ status: 502, podUid: undefined });
      expect(["sandbox_not_found", "sandbox_dead"]).toContain(reason);
    }
  });

  test("two sandboxes change their addresses: each request is answered by the pod that it meant", async () => {
    await start(1);
    const names = [await sleeping("box"), await sleeping("other")];
    const podUids = async (): Promise<unknown[]> =>
      Promise.all(
        names.map(async (name) => {
          const { status } = (await (await request(path(name))).body.json()) as {
            status: { podInfo: { podUID: string; podIP: string } };
          };
          return status.podInfo.podUID;
        }),
      );
    for (let cycle = 0; cycle < 5; cycle++) {
      const ids = cycle % 2 === 0 ? ["box", "other"] : ["other", "box"];
      const answers = await Promise.all(
        ids.flatMap((id) => Array.from({ length: 10 }, async () => [id, await routers[0]?.ask(id)] as const)),
      );
      const [box, other] = await podUids();
      for (const [id, answer] of answers) expect(answer?.podUid).toBe(id === "box" ? box : other);
      await Promise.all(names.map((name, i) => pause(i === 0 ? "box" : "other", name)));
    }
  });
});

describe("an API server that is away", () => {
  test("503 at once with a reason of its own, not after the time that a wake may take", async () => {
    await start(1);
    await sleeping("box");
    await cluster.api.stop();
    const answer = await routers[0]?.ask("box");
    expect(answer).toMatchObject({ status: 503, reason: "wake_unavailable" });
  });
});
