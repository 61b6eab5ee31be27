import { expect, test } from "vitest";

import { systemClock } from "../../src/system/clock.ts";
import type { Clock } from "../../src/system/clock.ts";
import { eventually } from "../support/eventually.ts";
import { arriveInOneTurn } from "./support/kernel-sockets.ts";
import { ManualClock } from "./support/manual-clock.ts";
import { OK, RawPod } from "./support/raw-peer.ts";
import type { RawPeer } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

test("connections are kept between requests and counted", async () => {
  const scene = await Scene.open();
  scene.pod.answerAll(OK);
  const client = await scene.router.client();
  for (let i = 0; i < 5; i += 1) {
    client.take();
    client.write(scene.head("GET /"));
    await client.until("\r\n\r\nok");
    await scene.router.record(i);
  }
  expect(scene.pod.connections).toHaveLength(1);
  expect(scene.router.counts).toMatchObject({ connects: 1, reuses: 4, closes: 0, retries: 0 });
  expect(scene.router.records.map(({ reusedConnection }) => reusedConnection)).toEqual([
    false,
    true,
    true,
    true,
    true,
  ]);
  expect(scene.router.records[0]?.connectMs).toBeTypeOf("number");
  expect(scene.router.records[1]?.connectMs).toBeUndefined();
});

test("a connection that the pod closes after its response is not used again", async () => {
  const scene = await Scene.open();
  scene.pod.answerAll("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
  const client = await scene.router.client();
  for (let i = 0; i < 3; i += 1) {
    client.take();
    client.write(scene.head("GET /"));
    await client.until("\r\n\r\nok");
  }
  expect(scene.router.counts).toMatchObject({ connects: 3, reuses: 0 });
});

test("the pod's Keep-Alive hint is honoured: its connection is closed before the pod would close it", async () => {
  const scene = await Scene.open();
  scene.pod.answerAll("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok");
  const client = await scene.send(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  await eventually(() => scene.pod.connections[0]?.ended === true);
});

test.each([true, false])(
  "what a pod sends unasked ends its kept connection (fast lane: %s)",
  async (fastLane) => {
    const scene = await Scene.open({ server: { fastLane } });
    scene.pod.answerAll(OK);
    const client = await scene.send(scene.head("GET /"));
    await client.until("\r\n\r\nok");
    const inside = await scene.pod.connection(0);
    await eventually(() => scene.router.upstreams.stats.idle === 1);
    inside.write(OK);
    await eventually(() => inside.ended || inside.closed);
    expect(scene.router.upstreams.stats).toMatchObject({ open: 0, idle: 0 });
  },
);

// The full lane's timers are undici's own, so the clock of the test is the fast lane's.
test("and early enough that no request crosses the pod's FIN on its way", async () => {
  const clock = new ManualClock();
  const scene = await Scene.open({ clock, server: { fastLane: true } });
  scene.pod.answerAll("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=3\r\nContent-Length: 2\r\n\r\nok");
  const client = await scene.send(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  // A second before, and two ticks of the router's clock for these.
  for (let ms = 0; ms < 2600; ms += 50) {
    clock.stall(50);
    clock.fireDue();
  }
  await eventually(() => scene.pod.connections[0]?.ended === true);
});

test("a pool that was evicted while it was in use keeps connections again once it is asked again", async () => {
  const scene = await Scene.open({ upstream: { maxPools: 1 } });
  scene.router.routes.run("other");
  const held = await scene.begin("GET /held");
  scene.pod.answerAll(OK);
  const elsewhere = await scene.send(`GET / HTTP/1.1\r\nHost: ${scene.host.replace("box", "other")}\r\n\r\n`);
  await elsewhere.until("\r\n\r\nok");
  const client = await scene.send(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  for (let i = 0; i < 3; i++) {
    client.take();
    client.write(scene.head("GET /"));
    await client.until("\r\n\r\nok");
  }
  expect(scene.pod.connections).toHaveLength(3);
  held.inside.write(OK);
  await held.client.until("\r\n\r\nok");
});

test("idle connections are closed after keepAliveTimeoutMs", async () => {
  const scene = await Scene.open({ upstream: { keepAliveTimeoutMs: 50 } });
  scene.pod.answerAll(OK);
  const client = await scene.send(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  await eventually(() => scene.pod.connections[0]?.ended === true);
  await eventually(() => scene.router.upstreams.stats.pools === 0);
});

/** Several times: every one ends in the same way. */
async function askAgainWhilePodCloses(
  scene: Scene,
  client: RawPeer,
  rested: () => Promise<void>,
): Promise<void> {
  for (let i = 1; i <= 3; i += 1) {
    await rested();
    client.take();
    const inside = scene.pod.connections.at(-1);
    if (!inside) throw new Error("the pod has no connection");
    arriveInOneTurn(client, `${scene.head("POST /", "Content-Length: 2")}hi`, inside);
    await client.until("\r\n\r\nok");
    expect(await scene.router.record(i)).toMatchObject({ reason: "ok", retried: true });
    expect(scene.router.counts).toMatchObject({ connects: i + 1, retries: i });
  }
}

test.runIf(process.platform === "linux")(
  "a kept connection that fails before a byte of the request was sent: one retry on a new one",
  async () => {
    // Time as the fast lane counts it: in ticks.
    let ticks = 0;
    const clock: Clock = {
      ...systemClock,
      setTimeout: (callback, delayMs) =>
        systemClock.setTimeout(() => {
          if (delayMs === 250) ticks += 1;
          callback();
        }, delayMs),
    };
    const scene = await Scene.open({ clock, server: { fastLane: true } });
    scene.pod.answerAll(OK);
    const client = await scene.send(scene.head("GET /"));
    await client.until("\r\n\r\nok");
    await askAgainWhilePodCloses(scene, client, async () => {
      // Long enough for the pod to give it up.
      const before = ticks;
      await eventually(() => ticks >= before + 4);
    });
  },
);

test.runIf(process.platform === "linux")(
  "full lane: a kept connection that fails before a byte of the request was sent: one retry on a new one",
  async () => {
    const scene = await Scene.open({ server: { fastLane: false } });
    scene.pod.answerAll(OK);
    const client = await scene.send(scene.head("GET /"));
    await client.until("\r\n\r\nok");
    await askAgainWhilePodCloses(scene, client, async () => {
      await eventually(() => scene.router.upstreams.stats.idle === 1);
    });
  },
);

test("a kept connection that fails after the request was sent: no retry, whatever the method", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  inside.write(OK);
  await client.until("\r\n\r\nok");
  inside.take();
  client.take();
  client.write(scene.head("GET /again"));
  await inside.until("GET /again");
  inside.end();
  await client.until("x-lychgate-reason: upstream_reset");
  expect(scene.pod.connections).toHaveLength(1);
  expect(scene.router.counts.retries).toBe(0);
});

test("what undici refuses in a request can't make a sandbox unreachable", async () => {
  const scene = await Scene.open({ upstream: { maxConnectionsPerSandbox: 2, waitTimeoutMs: 500 } });
  scene.pod.answerAll(OK);
  const lines = [
    "Keep-Alive: timeout=5",
    "Expect: the-unexpected",
    "TE: gzip, trailers",
    "Transfer-Encoding: identity",
    "Upgrade: h2c",
    "Upgrade: TLS/1.0",
    "Connection: keep-alive, Upgrade, ,X",
    "Proxy-Connection: x",
    "Content-Length: 99999999999999999999999",
    "Host: again",
  ];
  for (const line of lines) {
    for (let i = 0; i < 3; i += 1) {
      const client = await scene.send(scene.head("GET /odd", line));
      await client.until(/^HTTP\/1\.1 (200|400) /).catch((error: unknown) => {
        throw new Error(line, { cause: error });
      });
      client.socket.destroy();
    }
  }
  const client = await scene.send(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  expect(scene.router.counts.wedges).toBe(0);
});

test("full lane: a connection that never begins its request is thrown away, counted, and the request goes to a new one", async () => {
  // The guard's clock strikes before undici has had the turn that it takes to look at a kept connection.
  let strike = false;
  const clock: Clock = {
    ...systemClock,
    setTimeout(callback, delayMs) {
      if (strike && delayMs === 77) {
        strike = false;
        queueMicrotask(callback);
        return { clear() {} };
      }
      return systemClock.setTimeout(callback, delayMs);
    },
  };
  const scene = await Scene.open({ clock, server: { wedgeTimeoutMs: 77, fastLane: false } });
  scene.pod.answerAll(OK);
  const client = await scene.send(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  await scene.router.record(0);
  client.take();
  strike = true;
  client.write(scene.head("POST /", "Content-Length: 2"));
  client.write("hi");
  await client.until("\r\n\r\nok");
  expect(scene.router.counts).toMatchObject({ wedges: 1, connects: 2, retries: 1 });
  expect(await scene.router.record(1)).toMatchObject({ status: 200, retried: true, bytesIn: 2 });
  await eventually(() => scene.pod.connections[0]?.ended === true);
});

test("connections to a sandbox are bounded, over all its ports; requests above wait in order", async () => {
  const scene = await Scene.open({ upstream: { maxConnectionsPerSandbox: 2, clientSharePercent: 100 } });
  const first = await scene.begin("GET /1");
  const second = await scene.begin("GET /2");
  const third = await scene.send(scene.head("GET /3"));
  await eventually(() => scene.router.upstreams.stats.waiting === 1);
  const fourth = await scene.send(scene.head("GET /4"));
  await eventually(() => scene.router.upstreams.stats.waiting === 2);
  expect(scene.pod.connections).toHaveLength(2);
  second.inside.take();
  second.inside.write(OK);
  await second.inside.until("GET /3");
  first.inside.take();
  first.inside.reset();
  const fresh = await scene.pod.connection(2);
  await fresh.until("GET /4");
  second.inside.write(OK);
  fresh.write(OK);
  await third.until("\r\n\r\nok");
  await fourth.until("\r\n\r\nok");
});

test("too many waiting, or waiting too long: 503 overloaded with Retry-After", async () => {
  const scene = await Scene.open({
    upstream: { maxConnectionsPerSandbox: 1, maxWaitingPerSandbox: 1, waitTimeoutMs: 100 },
  });
  await scene.begin("GET /1");
  const second = await scene.send(scene.head("GET /2"));
  await eventually(() => scene.router.upstreams.stats.waiting === 1);
  const third = await scene.send(scene.head("GET /3"));
  expect(await third.until("x-lychgate-reason: overloaded")).toMatch(/^HTTP\/1\.1 503 [^]*retry-after: /);
  await second.until("x-lychgate-reason: overloaded");
});

test("an idle connection to another port of the sandbox makes room", async () => {
  const scene = await Scene.open({ upstream: { maxConnectionsPerSandbox: 1 } });
  const other = await RawPod.listen();
  other.answerAll(OK);
  scene.pod.answerAll(OK);
  const client = await scene.send(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  client.take();
  client.write(`GET / HTTP/1.1\r\nHost: ${other.port}-box.example.com\r\n\r\n`);
  await client.until("\r\n\r\nok");
  await eventually(() => scene.pod.connections[0]?.ended === true);
  await other.close();
});

test("above maxPools the longest unused are closed, but never under a request", async () => {
  const scene = await Scene.open({ upstream: { maxPools: 1 } });
  const busy = await scene.begin("GET /busy");
  scene.router.routes.run("two");
  const client = await scene.send(`GET /two HTTP/1.1\r\nHost: ${scene.pod.port}-two.example.com\r\n\r\n`);
  const two = await scene.pod.connection(1);
  await two.until("GET /two");
  two.write(OK);
  await client.until("\r\n\r\nok");
  // `box` is evicted, and finishes.
  expect(busy.inside.ended).toBe(false);
  busy.inside.write(OK);
  await busy.client.until("\r\n\r\nok");
  await eventually(() => busy.inside.ended);
  // `two` was the one kept.
  expect(two.ended).toBe(false);
  // Back again: the pool of `box` takes the place of that of `two`, which is idle and closed.
  busy.client.take();
  busy.client.write(scene.head("GET /again"));
  await (await scene.pod.connection(2)).until("GET /again");
  await eventually(() => two.ended);
});
