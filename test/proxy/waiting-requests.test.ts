import { expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { OK } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

// Requests that wait for a connection to their sandbox. The time that one may wait is long here: no test is decided by it.

test("one more than may wait is refused at once, and those that wait are served in order", async () => {
  const scene = await Scene.open({
    upstream: {
      maxConnectionsPerSandbox: 1,
      maxWaitingPerSandbox: 2,
      waitTimeoutMs: 600_000,
      clientSharePercent: 100,
    },
  });
  const first = await scene.begin("GET /1");
  const waiting = [];
  for (const number of [2, 3]) {
    waiting.push(await scene.send(scene.head(`GET /${number}`)));
    await eventually(() => scene.router.upstreams.stats.waiting === number - 1);
  }
  const refused = await scene.send(scene.head("GET /4"));
  await refused.until("x-lychgate-reason: overloaded");
  expect(scene.router.upstreams.stats.waiting).toBe(2);
  for (const [index, client] of waiting.entries()) {
    first.inside.take();
    first.inside.write(OK);
    await first.inside.until(`GET /${index + 2} `);
    expect(client.received).toBe("");
  }
  first.inside.write(OK);
  for (const client of waiting) await client.until("\r\n\r\nok");
});

test("a client that leaves while it waits gives up its place, and its request never reaches the pod", async () => {
  const scene = await Scene.open({
    upstream: {
      maxConnectionsPerSandbox: 1,
      maxWaitingPerSandbox: 1,
      waitTimeoutMs: 600_000,
      clientSharePercent: 100,
    },
  });
  const first = await scene.begin("GET /1");
  const leaving = await scene.send(scene.head("GET /2"));
  await eventually(() => scene.router.upstreams.stats.waiting === 1);
  leaving.reset();
  await eventually(() => scene.router.upstreams.stats.waiting === 0);
  const next = await scene.send(scene.head("GET /3"));
  await eventually(() => scene.router.upstreams.stats.waiting === 1);
  first.inside.take();
  first.inside.write(OK);
  expect(await first.inside.until("\r\n\r\n")).toMatch(/^GET \/3 /);
  first.inside.write(OK);
  await next.until("\r\n\r\nok");
});

test("an incarnation that ends refuses all that wait", async () => {
  const scene = await Scene.open({
    upstream: { maxConnectionsPerSandbox: 1, waitTimeoutMs: 600_000, clientSharePercent: 100 },
  });
  await scene.begin("GET /1");
  const waiting = await Promise.all([2, 3].map((number) => scene.send(scene.head(`GET /${number}`))));
  await eventually(() => scene.router.upstreams.stats.waiting === 2);
  scene.end("dead");
  for (const client of waiting) await client.until("x-lychgate-reason: incarnation_ended");
  expect(scene.router.upstreams.stats).toMatchObject({ waiting: 0, pools: 0 });
});

test("a client that leaves gives up its place, also when its request came behind one that was refused at once", async () => {
  const scene = await Scene.open({
    upstream: {
      maxConnectionsPerSandbox: 1,
      maxWaitingPerSandbox: 1,
      waitTimeoutMs: 600_000,
      clientSharePercent: 100,
    },
  });
  const { routes, upstreams } = scene.router;
  routes.run("full");
  const full = `GET / HTTP/1.1\r\nHost: ${scene.pod.port}-full.example.com\r\n\r\n`;
  await scene.begin("GET /");
  await scene.send(full);
  await eventually(() => scene.pod.connections.length === 2);
  await scene.send(full);
  await eventually(() => upstreams.stats.waiting === 1);
  const client = await scene.send(full + scene.head("GET /"));
  await client.until("x-lychgate-reason: overloaded");
  await eventually(() => upstreams.stats.waiting === 2);
  client.reset();
  await eventually(() => upstreams.stats.waiting === 1);
});
