import { describe, expect, test } from "vitest";

import type { Lessee } from "../../src/proxy/upstream/incarnation-pool.ts";
import { podConnections } from "../../src/proxy/full/pod-connection.ts";
import type { PodConnection } from "../../src/proxy/full/pod-connection.ts";
import type { EndReason } from "../../src/routes/lookup.ts";
import { eventually } from "../support/eventually.ts";
import { incarnationAt } from "./support/fake-routes.ts";
import { OK, RawPod } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";
import { newUpstreams } from "../support/defaults.ts";

const FINAL: EndReason[] = ["dead", "replaced", "ip_moved", "ip_reassigned", "not_running"];

describe("when an incarnation ends", () => {
  test.each<EndReason>(["paused", ...FINAL])(
    "%s: its idle connections are closed at once",
    async (reason) => {
      const scene = await Scene.open();
      scene.pod.answerAll(OK);
      const client = await scene.send(scene.head("GET /"));
      await client.until("\r\n\r\nok");
      scene.end(reason);
      await eventually(() => scene.pod.connections[0]?.ended === true);
      expect(scene.router.upstreams.stats).toMatchObject({ pools: 0, idle: 0 });
      expect(scene.router.counts.resets).toEqual([]);
    },
  );

  test.each(FINAL)(
    "%s: a request without a response gets 502, and the pod's connection is reset",
    async (reason) => {
      const scene = await Scene.open();
      const { client, inside } = await scene.begin("GET /");
      scene.end(reason);
      await client.until(/^HTTP\/1\.1 502 [^]*x-lychgate-reason: incarnation_ended/);
      await inside.untilClosed();
      expect(inside.errorCode).toBe("ECONNRESET");
      expect(scene.router.counts.resets).toEqual([reason]);
      expect(await scene.router.record(0)).toMatchObject({ status: 502, reason: "incarnation_ended" });
    },
  );

  test("dead: a response on its way is cut, never ended cleanly", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    inside.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await client.until("abc");
    scene.end("dead");
    await client.untilClosed();
    expect(client.received).not.toMatch(/0\r\n\r\n$/);
    await inside.untilClosed();
    expect(await scene.router.record(0)).toMatchObject({ status: 200, reason: "incarnation_ended" });
  });

  test("dead: an upload on its way is answered 502 and cut", async () => {
    const scene = await Scene.open({ server: { smallBodyBytes: 0 } });
    const { client, inside } = await scene.begin("POST /", ["Content-Length: 100"], "abc");
    await inside.until("abc");
    scene.end("dead");
    await client.until("x-lychgate-reason: incarnation_ended");
    await inside.untilClosed();
    expect(inside.errorCode).toBe("ECONNRESET");
  });

  test("paused: a request under way may finish, and its connection is not kept", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    scene.end("paused");
    inside.write(OK);
    await client.until("\r\n\r\nok");
    await eventually(() => inside.ended);
    expect(inside.errorCode).toBeUndefined();
    expect(scene.router.counts.resets).toEqual([]);
  });

  test("paused, then dead: what still lingers is reset, requests and tunnels", async () => {
    const scene = await Scene.open();
    const request = await scene.begin("GET /");
    request.inside.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
    await request.client.until("part");
    const tunnel = await scene.begin("GET /", ["Connection: Upgrade", "Upgrade: websocket"]);
    tunnel.inside.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    await tunnel.client.until("101");
    scene.end("paused");
    expect(scene.router.upstreams.stats).toMatchObject({ pools: 1, open: 2 });
    scene.router.upstreams.pauseEnded(scene.incarnation, "dead");
    for (const { client, inside } of [request, tunnel]) {
      await client.untilClosed();
      await inside.untilClosed();
      expect(inside.errorCode).toBe("ECONNRESET");
    }
    expect(scene.router.counts.resets).toEqual(["dead", "dead"]);
    await eventually(() => scene.router.upstreams.size === 0);
  });

  test("paused: nothing is kept of it once its requests are over", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    scene.end("paused");
    expect(scene.router.upstreams.size).toBe(1);
    inside.write(OK);
    await client.until("\r\n\r\nok");
    await eventually(() => scene.router.upstreams.size === 0);
    scene.router.upstreams.pauseEnded(scene.incarnation, "dead");
    expect(scene.router.counts.resets).toEqual([]);
  });

  test.each<EndReason>(["paused", "dead"])(
    "%s: requests that wait for a connection fail and never connect",
    async (reason) => {
      const scene = await Scene.open({ upstream: { maxConnectionsPerSandbox: 1 } });
      const first = await scene.begin("GET /1");
      const waiting = await scene.send(scene.head("GET /2"));
      await eventually(() => scene.router.upstreams.stats.waiting === 1);
      scene.end(reason);
      await waiting.until("x-lychgate-reason: incarnation_ended");
      if (reason === "paused") {
        first.inside.write(OK);
        await first.client.until("\r\n\r\nok");
      }
      expect(scene.pod.connections).toHaveLength(1);
    },
  );

  test("the next life of the sandbox, at the same address, has connections of its own", async () => {
    const scene = await Scene.open();
    scene.pod.answerAll(OK);
    const client = await scene.send(scene.head("GET /"));
    await client.until("\r\n\r\nok");
    client.take();
    scene.end("replaced");
    const next = scene.router.routes.run("box");
    client.write(scene.head("GET /"));
    await client.until("\r\n\r\nok");
    expect(scene.pod.connections).toHaveLength(2);
    expect((await scene.router.record(1)).incarnation).toBe(next.number);
  });
});

const connections = podConnections({ keepAliveTimeoutMs: 60_000, maxResponseHeaderBytes: 65_536 });

/** Notes what it is told. */
class Noting implements Lessee<PodConnection> {
  readonly client = "192.0.2.1";
  connection: PodConnection | undefined;
  told: string[] = [];
  granted(connection: PodConnection): void {
    this.connection = connection;
    this.told.push("granted");
  }
  refused(error: Error & { code?: string }): void {
    this.told.push(`refused ${error.code}`);
  }
  cut(error: Error & { code?: string }): void {
    this.told.push(`cut ${error.code}`);
  }
}

describe("a verdict that is older than the end", () => {
  test("gets no connection, whether or not there ever was one", () => {
    const upstreams = newUpstreams();
    const incarnation = incarnationAt("127.0.0.1");
    upstreams.incarnationEnded(incarnation, "dead");
    const lessee = new Noting();
    upstreams.lease(incarnation, { kind: connections, port: 80, want: "kept" }, lessee);
    expect(lessee.told).toEqual(["refused incarnation_ended"]);
    expect(upstreams.stats.pools).toBe(0);
  });

  test.each<EndReason>(["paused", "dead"])(
    "a connect on its way when it ends by %s fails, and its connection reaches no one",
    async (reason) => {
      const pod = await RawPod.listen();
      const upstreams = newUpstreams();
      const incarnation = incarnationAt("127.0.0.1");
      const lessee = new Noting();
      upstreams.lease(incarnation, { kind: connections, port: pod.port, want: "kept" }, lessee);
      upstreams.incarnationEnded(incarnation, reason);
      expect(lessee.told).toEqual(["refused incarnation_ended"]);
      // A connection of another incarnation, begun later, is there: so the first would be there too.
      const other = new Noting();
      upstreams.lease(incarnationAt("127.0.0.1"), { kind: connections, port: pod.port, want: "kept" }, other);
      await eventually(() => other.told.includes("granted") && pod.connections.length > 0);
      await eventually(
        () => pod.openConnections === 1 || pod.connections.filter((peer) => !peer.ended).length === 1,
      );
      expect(lessee.told).toHaveLength(1);
      upstreams.close();
      await pod.close();
    },
  );

  test("a connection given back after the end is not kept", async () => {
    const pod = await RawPod.listen();
    const upstreams = newUpstreams();
    const incarnation = incarnationAt("127.0.0.1");
    const lessee = new Noting();
    upstreams.lease(incarnation, { kind: connections, port: pod.port, want: "kept" }, lessee);
    await eventually(() => lessee.connection !== undefined);
    upstreams.incarnationEnded(incarnation, "paused");
    lessee.connection?.release();
    await eventually(() => pod.connections[0]?.ended === true);
    expect(upstreams.stats.pools).toBe(0);
    await pod.close();
  });

  test("an evicted pool with a request under way is ended too", async () => {
    const pod = await RawPod.listen();
    const upstreams = newUpstreams({ maxPools: 1 });
    const [first, second] = [incarnationAt("127.0.0.1"), incarnationAt("127.0.0.1")];
    const lessee = new Noting();
    upstreams.lease(first, { kind: connections, port: pod.port, want: "kept" }, lessee);
    await eventually(() => lessee.connection !== undefined);
    upstreams.lease(second, { kind: connections, port: pod.port, want: "kept" }, new Noting());
    upstreams.incarnationEnded(first, "dead");
    expect(lessee.told).toEqual(["granted", "cut incarnation_ended"]);
    await eventually(() => pod.connections[0]?.errorCode === "ECONNRESET");
    upstreams.close();
    await pod.close();
  });
});
