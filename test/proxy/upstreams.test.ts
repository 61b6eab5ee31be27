import { expect, onTestFinished, test } from "vitest";

import type { LeaseOptions, Lessee } from "../../src/proxy/upstream/incarnation-pool.ts";
import { podConnections } from "../../src/proxy/full/pod-connection.ts";
import type { PodConnection } from "../../src/proxy/full/pod-connection.ts";
import { UpstreamError } from "../../src/proxy/upstream/upstream-error.ts";
import type { ConnectionKind } from "../../src/proxy/upstream/pooled-connection.ts";
import { noUpstreamObserver } from "../../src/proxy/upstream/upstream-observer.ts";
import { type UpstreamOptions } from "../../src/proxy/upstream/upstreams.ts";
import type { Incarnation } from "../../src/routes/lookup.ts";
import { eventually } from "../support/eventually.ts";
import { incarnationAt } from "./support/fake-routes.ts";
import { RawPod } from "./support/raw-peer.ts";
import { newUpstreams } from "../support/defaults.ts";

// Which connections there are to which incarnation, and until when.

class Noting implements Lessee<PodConnection> {
  readonly client: string;
  connection: PodConnection | undefined;
  error: UpstreamError | undefined;
  cutBy: UpstreamError | undefined;
  constructor(client: string) {
    this.client = client;
  }
  granted(connection: PodConnection): void {
    this.connection = connection;
  }
  refused(error: UpstreamError): void {
    this.error = error;
  }
  cut(error: UpstreamError): void {
    this.cutBy = error;
  }
}

async function scene(options: Partial<UpstreamOptions> = {}) {
  const pod = await RawPod.listen();
  const upstreams = newUpstreams({ clientSharePercent: 100, ...options });
  onTestFinished(async () => {
    upstreams.close();
    await pod.close();
  });
  const kind = podConnections({ keepAliveTimeoutMs: 60_000, maxResponseHeaderBytes: 65_536 });
  const ask = (
    incarnation: Incarnation,
    want: LeaseOptions<PodConnection>["want"] = "kept",
    client = "192.0.2.1",
  ) => {
    const lessee = new Noting(client);
    const cancel = upstreams.lease(incarnation, { kind, port: pod.port, want }, lessee);
    return { lessee, cancel };
  };
  /** A request that has its connection. */
  const lease = async (incarnation: Incarnation) => {
    const { lessee } = ask(incarnation);
    await eventually(() => lessee.connection !== undefined);
    return { lessee, connection: lessee.connection as PodConnection };
  };
  const take = (incarnation: Incarnation) =>
    upstreams.take(incarnation, kind, pod.port, new Noting("192.0.2.1"));
  return { pod, upstreams, ask, lease, take };
}

/** Another one at each call. */
let lastNumber = 0;
const incarnation = (): Incarnation => ({ ...incarnationAt("127.0.0.1"), number: ++lastNumber });

test("a connection that was given back is lent again, to its own incarnation only", async () => {
  const { upstreams, lease, take } = await scene();
  const [one, other] = [incarnation(), incarnation()];
  const { connection } = await lease(one);
  expect(take(one)).toBeUndefined();
  connection.release();
  expect(upstreams.statsOf(one)).toEqual({ open: 1, idle: 1, waiting: 0 });
  expect(take(other)).toBeUndefined();
  expect(take(one)).toBe(connection);
  expect(upstreams.statsOf(other)).toBeUndefined();
});

test("pools and connections are counted over all incarnations, and an empty pool is forgotten", async () => {
  const { upstreams, ask, lease } = await scene({ maxConnectionsPerSandbox: 1 });
  const [one, two] = [incarnation(), incarnation()];
  const first = await lease(one);
  const second = await lease(two);
  const waiting = ask(two);
  first.connection.release();
  expect(upstreams.stats).toEqual({ pools: 2, open: 2, idle: 1, waiting: 1 });
  expect([upstreams.size, upstreams.statsOf(two)]).toEqual([2, { open: 1, idle: 0, waiting: 1 }]);
  waiting.cancel();
  second.connection.discard();
  await eventually(() => upstreams.size === 1);
  expect(upstreams.stats).toEqual({ pools: 1, open: 1, idle: 1, waiting: 0 });
  expect(upstreams.statsOf(two)).toBeUndefined();
});

test("other limits hold from then on, and what waits goes on when there is more room", async () => {
  const limits = {
    maxConnectionsPerSandbox: 1,
    maxTunnelsPerSandbox: 1,
    maxWaitingPerSandbox: 1,
    waitTimeoutMs: 600_000,
  };
  const { upstreams, ask, lease } = await scene(limits);
  const one = incarnation();
  await lease(one);
  const waiting = ask(one);
  expect(ask(one).lessee.error).toMatchObject({ code: "overloaded" });
  upstreams.setLimits({ ...limits, maxConnectionsPerSandbox: 2, maxWaitingPerSandbox: 2 });
  await eventually(() => waiting.lessee.connection !== undefined);
  expect(upstreams.settings).toMatchObject({ maxConnectionsPerSandbox: 2, clientSharePercent: 100 });
  const others = [ask(one), ask(one), ask(one)];
  expect(others.map(({ lessee }) => lessee.error?.code)).toEqual([undefined, undefined, "overloaded"]);
});

test("an incarnation that ended is refused, by the reason that ended it first, and its connections are reset", async () => {
  const { upstreams, ask, lease, take, pod } = await scene();
  const one = incarnation();
  const { lessee, connection } = await lease(one);
  const kept = await lease(one);
  kept.connection.release();
  upstreams.incarnationEnded(one, "ip_moved");
  upstreams.incarnationEnded(one, "dead");
  expect(lessee.cutBy).toMatchObject({ code: "incarnation_ended" });
  expect(lessee.cutBy?.message).toContain("ip_moved");
  expect(ask(one).lessee.error?.message).toContain("ip_moved");
  expect(take(one)).toBeUndefined();
  connection.release();
  expect([upstreams.size, upstreams.statsOf(one)]).toEqual([0, undefined]);
  await eventually(() => pod.connections.every(({ ended, closed }) => ended || closed));
});

test("one that had no connections is refused too", async () => {
  const { upstreams, ask } = await scene();
  const one = incarnation();
  upstreams.incarnationEnded(one, "dead");
  expect(ask(one).lessee.error).toMatchObject({ code: "incarnation_ended" });
  expect(ask(incarnation()).lessee.error).toBeUndefined();
});

test("paused: what is idle is closed, what is under way may finish, and is reset when the pause ends", async () => {
  const { upstreams, ask, lease } = await scene();
  const one = incarnation();
  const active = await lease(one);
  const idle = await lease(one);
  idle.connection.release();
  upstreams.incarnationEnded(one, "paused");
  expect(active.lessee.cutBy).toBeUndefined();
  expect(ask(one).lessee.error?.message).toContain("paused");
  await eventually(() => upstreams.statsOf(one)?.open === 1);
  expect([upstreams.size, upstreams.stats.pools]).toEqual([1, 1]);
  upstreams.pauseEnded(one, "replaced");
  expect(active.lessee.cutBy?.message).toContain("replaced");
  expect([upstreams.size, upstreams.statsOf(one)]).toEqual([0, undefined]);
});

test("paused, and the last request finished: nothing is left, and the end of the pause ends nothing", async () => {
  const { upstreams, lease } = await scene();
  const one = incarnation();
  const { lessee, connection } = await lease(one);
  upstreams.incarnationEnded(one, "paused");
  connection.release();
  await eventually(() => upstreams.size === 0);
  upstreams.pauseEnded(one, "dead");
  expect(lessee.cutBy).toBeUndefined();
});

test("paused with nothing but idle connections: nothing is left to finish", async () => {
  const { upstreams, lease } = await scene();
  const one = incarnation();
  (await lease(one)).connection.release();
  upstreams.incarnationEnded(one, "paused");
  await eventually(() => upstreams.size === 0);
});

test("of more incarnations than are kept the least recently used loses its idle connections, and no request", async () => {
  const { upstreams, lease, take } = await scene({ maxPools: 2 });
  const [one, two, three] = [incarnation(), incarnation(), incarnation()];
  const busy = await lease(one);
  (await lease(one)).connection.release();
  (await lease(two)).connection.release();
  // A lookup by `take` is use: `two` is the older one now.
  take(one)?.release();
  const keptOfThree = await lease(three);
  keptOfThree.connection.release();
  await eventually(() => upstreams.statsOf(two) === undefined);
  expect(upstreams.statsOf(one)).toMatchObject({ open: 2, idle: 1 });
  // Now `one` has to go, with a request under way.
  (await lease(two)).connection.release();
  await eventually(() => upstreams.statsOf(one)?.open === 1);
  expect([busy.lessee.cutBy, upstreams.size]).toEqual([undefined, 3]);
  // When it has finished, its connection is not kept.
  busy.connection.release();
  await eventually(() => upstreams.statsOf(one) === undefined);
  expect(upstreams.size).toBe(2);
});

test("an evicted incarnation that ends is cut all the same", async () => {
  const { upstreams, lease } = await scene({ maxPools: 1 });
  const [one, two] = [incarnation(), incarnation()];
  const busy = await lease(one);
  await lease(two);
  expect(upstreams.stats.pools).toBe(2);
  upstreams.incarnationEnded(one, "dead");
  expect(busy.lessee.cutBy?.message).toContain("dead");
  expect([upstreams.size, upstreams.statsOf(one)]).toEqual([1, undefined]);
});

test("an evicted incarnation that is asked for again goes on in the same pool, within the same limits", async () => {
  const { upstreams, ask, lease } = await scene({ maxPools: 1, maxConnectionsPerSandbox: 1 });
  const [one, two] = [incarnation(), incarnation()];
  const busy = await lease(one);
  await lease(two);
  const waiting = ask(one);
  expect(upstreams.statsOf(one)).toEqual({ open: 1, idle: 0, waiting: 1 });
  busy.connection.release();
  await eventually(() => waiting.lessee.connection === busy.connection);
  expect(upstreams.size).toBe(2);
});

test("a wish that is given up once more does not take away the connections that came after it", async () => {
  const { upstreams, ask, lease } = await scene({ maxPools: 1, maxConnectionsPerSandbox: 1 });
  const [one, two] = [incarnation(), incarnation()];
  const first = await lease(one);
  const waiting = ask(one);
  waiting.cancel();
  first.connection.discard();
  await eventually(() => upstreams.size === 0);
  await lease(one);
  waiting.cancel();
  expect(upstreams.statsOf(one)).toMatchObject({ open: 1 });
  // Nor when it was evicted meanwhile.
  await lease(two);
  waiting.cancel();
  expect([upstreams.statsOf(one), upstreams.size]).toEqual([{ open: 1, idle: 0, waiting: 0 }, 2]);
});

test("incarnations whose requests were all refused leave nothing behind", async () => {
  const { upstreams, ask } = await scene({ maxPools: 1, maxTunnelsPerSandbox: 0 });
  for (let i = 0; i < 5; i++) {
    expect(ask(incarnation(), "tunnel").lessee.error).toMatchObject({ code: "overloaded" });
  }
  expect(upstreams.size).toBe(1);
});

test("when there is no file descriptor for a connection, idle ones of all sandboxes are closed, and no others", async () => {
  const { upstreams, lease, pod } = await scene({ maxPools: 2 });
  const [one, two, three] = [incarnation(), incarnation(), incarnation()];
  (await lease(one)).connection.release();
  const busy = await lease(two);
  (await lease(two)).connection.release();
  const real = podConnections({ keepAliveTimeoutMs: 60_000, maxResponseHeaderBytes: 65_536 });
  const failing: ConnectionKind<PodConnection> = {
    open(settings) {
      const connection = real.open(settings);
      connection.destroy();
      setImmediate(() =>
        settings.home.openFailed(connection, new UpstreamError("overloaded", "EMFILE: too many open files")),
      );
      return connection;
    },
  };
  const lessee = new Noting("192.0.2.1");
  upstreams.lease(three, { kind: failing, port: pod.port, want: "kept" }, lessee);
  await eventually(() => lessee.error !== undefined);
  expect(lessee.error).toMatchObject({ code: "overloaded" });
  await eventually(() => upstreams.stats.open === 1);
  expect([upstreams.statsOf(two), busy.lessee.cutBy]).toEqual([{ open: 1, idle: 0, waiting: 0 }, undefined]);
});

test("after close everything is closed, and nothing is lent", async () => {
  const { upstreams, ask, lease, pod } = await scene({ maxPools: 1 });
  const [retired, kept, paused] = [incarnation(), incarnation(), incarnation()];
  await lease(paused);
  upstreams.incarnationEnded(paused, "paused");
  await lease(retired);
  await lease(kept);
  expect(upstreams.stats).toMatchObject({ pools: 3, open: 3 });
  upstreams.close();
  expect([upstreams.size, ask(kept).lessee.error?.code]).toEqual([0, "incarnation_ended"]);
  expect(ask(kept).lessee.error?.message).toContain("not_running");
  await eventually(() => pod.connections.every(({ ended, closed }) => ended || closed));
});

test("connections are told of to the observer, and nobody need listen", async () => {
  let connected = 0;
  const observer = { ...noUpstreamObserver, connected: () => void connected++ };
  const { lease } = await scene({ observer });
  await lease(incarnation());
  expect(connected).toBe(1);
  const silent = await scene();
  expect(silent.upstreams.observer).toBe(noUpstreamObserver);
});

test("the defaults", () => {
  const upstreams = newUpstreams();
  onTestFinished(() => upstreams.close());
  expect(upstreams.settings).toMatchObject({
    connectTimeoutMs: 3_000,
    keepAliveTimeoutMs: 60_000,
    maxResponseHeaderBytes: 65_536,
    maxConnectionsPerSandbox: 256,
    maxTunnelsPerSandbox: 1_024,
    maxWaitingPerSandbox: 256,
    waitTimeoutMs: 10_000,
    clientSharePercent: 50,
  });
});
