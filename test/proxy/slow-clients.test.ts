import { connect } from "node:net";

import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";

import { forwardedShareOf, shareOf } from "../../src/proxy/upstream/client-share.ts";
import { LeastRate } from "../../src/proxy/limits/least-rate.ts";
import type { ProxyServerOptions } from "../../src/proxy/server-options.ts";
import { podConnections } from "../../src/proxy/full/pod-connection.ts";
import { SmallBodies } from "../../src/proxy/limits/small-bodies.ts";
import { eventually } from "../support/eventually.ts";
import { incarnationAt } from "./support/fake-routes.ts";
import { SHARED_READ_BUFFER } from "./support/lane.ts";
import { SteppedClock } from "./support/stepped-clock.ts";
import { OK, RawPeer, RawPod } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";
import type { RouterOptions } from "./support/router.ts";
import { newUpstreams } from "../support/defaults.ts";
import { sendInPieces, untilStalled } from "./support/stalled.ts";

const PATIENCE = { timeoutMs: 60_000 };
const SECOND_MS = 1000;
const TOO_SLOW = /^HTTP\/1\.1 408 [^]*x-lychgate-reason: client_too_slow/;

/** A client at an address of the loopback net. */
async function clientAt(localAddress: string, port: number): Promise<RawPeer> {
  const socket = connect({ port, host: "127.0.0.1", localAddress, noDelay: true });
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return new RawPeer(socket);
}

async function send(scene: Scene, localAddress: string, text: string): Promise<RawPeer> {
  const client = await clientAt(localAddress, scene.router.port);
  onTestFinished(() => void client.socket.destroy());
  client.write(text);
  return client;
}

/** Waits until `count` bytes more have passed from the client to the record of what the router has read. */
async function untilRead(client: RawPeer): Promise<void> {
  await eventually(() => client.socket.writableLength === 0, PATIENCE);
}

const LANES = SHARED_READ_BUFFER === "off" ? (["fast"] as const) : (["fast", "full"] as const);

describe.each(LANES)("%s lane", { timeout: 110_000 }, (lane) => {
  const open = (server: Partial<ProxyServerOptions> = {}, rest: Omit<RouterOptions, "server"> = {}) =>
    Scene.open({ ...rest, server: { fastLane: lane === "fast", ...server } });

  describe("slow uploads of one client do not take a sandbox from others", () => {
    test.each([
      { name: "long ones", fields: ["Content-Length: 100000"], body: "x" },
      { name: "chunked ones", fields: ["Transfer-Encoding: chunked"], body: "1\r\nx\r\n" },
      { name: "short ones", fields: ["Content-Length: 1000"], body: "x" },
    ])("520 $name: another client is answered", async ({ name, fields, body }) => {
      const scene = await open();
      const uploads = Array.from({ length: 520 }, () =>
        send(scene, "127.0.0.2", scene.head("POST /slow", ...fields) + body),
      );
      const slow = await Promise.all(uploads);
      await eventually(() => scene.router.started === 520, PATIENCE);
      if (name === "short ones") {
        expect(scene.pod.connections).toHaveLength(0);
      } else {
        await eventually(() => scene.router.upstreams.stats.open === 128, PATIENCE);
        await eventually(() => scene.router.upstreams.stats.waiting <= 128, PATIENCE);
        await eventually(() => slow.some(({ received }) => received.includes("overloaded")), PATIENCE);
      }
      const inside = scene.pod.connections.length;
      const other = await send(scene, "127.0.0.3", scene.head("GET /"));
      const peer = await scene.pod.connection(inside);
      await peer.until("GET / ");
      peer.write(OK);
      expect(await other.until("\r\n\r\nok")).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    });
  });

  describe("the share of a client", () => {
    const limits = { maxConnectionsPerSandbox: 4, maxWaitingPerSandbox: 4, maxTunnelsPerSandbox: 2 };

    test("its requests above it wait for its own, those of others pass them; then 503", async () => {
      const scene = await open({}, { upstream: limits });
      const a1 = await send(scene, "127.0.0.2", scene.head("GET /a1"));
      const a1Inside = await scene.pod.connection(0);
      await send(scene, "127.0.0.2", scene.head("GET /a2"));
      await scene.pod.connection(1);
      const a3 = await send(scene, "127.0.0.2", scene.head("GET /a3"));
      await eventually(() => scene.router.upstreams.stats.waiting === 1, PATIENCE);
      await send(scene, "127.0.0.2", scene.head("GET /a4"));
      await eventually(() => scene.router.upstreams.stats.waiting === 2, PATIENCE);
      // Its share of the waiting places is taken too.
      const a5 = await send(scene, "127.0.0.2", scene.head("GET /a5"));
      expect(await a5.until("x-lychgate-reason: overloaded")).toMatch(/^HTTP\/1\.1 503 /);

      const b1 = await send(scene, "127.0.0.3", scene.head("GET /b1"));
      const b1Inside = await scene.pod.connection(2);
      expect(await b1Inside.until("\r\n\r\n")).toContain("GET /b1");
      await send(scene, "127.0.0.3", scene.head("GET /b2"));
      const b2Inside = await scene.pod.connection(3);
      const b3 = await send(scene, "127.0.0.3", scene.head("GET /b3"));
      await eventually(() => scene.router.upstreams.stats.waiting === 3, PATIENCE);

      // What B gives back is not for A, which waits longer, but for B.
      b1Inside.take();
      b1Inside.write(OK);
      await b1.until("\r\n\r\nok");
      expect(await b1Inside.until("\r\n\r\n")).toContain("GET /b3");
      b1Inside.write(OK);
      await b3.until("\r\n\r\nok");
      // There is an idle connection now, and A may still not have it.
      expect(scene.router.upstreams.stats).toMatchObject({ open: 4, idle: 1, waiting: 2 });
      a1Inside.take();
      a1Inside.write(OK);
      await a1.until("\r\n\r\nok");
      await eventually(
        () => [a1Inside, b1Inside, b2Inside].some(({ received }) => received.includes("GET /a3")),
        PATIENCE,
      );
      expect(scene.router.upstreams.stats).toMatchObject({ open: 4, idle: 1, waiting: 1 });
      expect(a3.received).toBe("");
    });

    test("counts kept connections that it takes over", async () => {
      const scene = await open({}, { upstream: limits });
      const clients = await Promise.all(
        ["127.0.0.3", "127.0.0.3", "127.0.0.4"].map((from) => send(scene, from, scene.head("GET /"))),
      );
      await scene.pod.connection(2);
      for (const inside of scene.pod.connections) {
        await inside.until("\r\n\r\n");
        inside.take();
        inside.write(OK);
      }
      for (const client of clients) await client.until("\r\n\r\nok");
      await eventually(() => scene.router.upstreams.stats.idle === 3, PATIENCE);
      await send(scene, "127.0.0.2", scene.head("GET /a1"));
      await send(scene, "127.0.0.2", scene.head("GET /a2"));
      await eventually(() => scene.router.upstreams.stats.idle === 1, PATIENCE);
      await send(scene, "127.0.0.2", scene.head("GET /a3"));
      await eventually(() => scene.router.upstreams.stats.waiting === 1, PATIENCE);
      expect(scene.router.upstreams.stats).toMatchObject({ open: 3, idle: 1, waiting: 1 });
    });

    test("of tunnels: 503 for the client, none for others", async () => {
      const scene = await open({}, { upstream: limits });
      const upgrade = scene.head("GET /", "Connection: Upgrade", "Upgrade: x");
      await send(scene, "127.0.0.2", upgrade);
      await scene.pod.connection(0);
      const second = await send(scene, "127.0.0.2", upgrade);
      await second.until("x-lychgate-reason: overloaded");
      await send(scene, "127.0.0.3", upgrade);
      await (await scene.pod.connection(1)).until("Upgrade: x");
    });

    test("with trustForwarded is that of the last address in X-Forwarded-For", async () => {
      const scene = await open({ trustForwarded: true }, { upstream: limits });
      const get = (client: string) =>
        send(scene, "127.0.0.2", scene.head("GET /", `X-Forwarded-For: 9.9.9.9, ${client}`));
      await get("192.0.2.1");
      await get("192.0.2.1");
      await scene.pod.connection(1);
      await get("192.0.2.1");
      await eventually(() => scene.router.upstreams.stats.waiting === 1, PATIENCE);
      await get("192.0.2.2");
      await (await scene.pod.connection(2)).until("192.0.2.2");
      expect(scene.router.upstreams.stats.waiting).toBe(1);
    });

    test("with trustForwarded is told anew for each request of a connection", async () => {
      const settings = { ...limits, maxConnectionsPerSandbox: 2 };
      const scene = await open({ trustForwarded: true }, { upstream: settings });
      const get = (client: string) => scene.head("GET /", `X-Forwarded-For: ${client}`);
      const one = await send(scene, "127.0.0.2", get("192.0.2.1"));
      const inside = await scene.pod.connection(0);
      await inside.until("\r\n\r\n");
      const two = await send(scene, "127.0.0.2", get("192.0.2.1"));
      await eventually(() => scene.router.upstreams.stats.waiting === 1, PATIENCE);
      inside.take();
      inside.write(OK);
      await one.until("\r\n\r\nok");
      await inside.until("\r\n\r\n");
      inside.take();
      inside.write(OK);
      await two.until("\r\n\r\nok");
      one.write(get("192.0.2.1"));
      await inside.until("\r\n\r\n");
      two.write(get("192.0.2.2"));
      await (await scene.pod.connection(1)).until("192.0.2.2");
    });

    test("100 percent is no limit", async () => {
      const scene = await open({}, { upstream: { ...limits, clientSharePercent: 100 } });
      for (let i = 0; i < 4; i++) await send(scene, "127.0.0.2", scene.head("GET /"));
      await scene.pod.connection(3);
    });
  });

  describe("the least rate of an upload", () => {
    const slow = { minUploadBytesPerSecond: 100, slowClientWindowMs: 10 * SECOND_MS, idleTimeoutMs: 0 };

    test.each([
      { name: "with a length", fields: ["Content-Length: 100000"], piece: "xxxxx" },
      { name: "in chunks", fields: ["Transfer-Encoding: chunked"], piece: "5\r\nxxxxx\r\n" },
    ])("$name: 408, closed, and the pod's connection is reset", async ({ fields, piece }) => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      const { client, inside } = await scene.begin("POST /", fields, piece);
      for (let i = 0; i < 100 && !client.received; i++) {
        const before = inside.received.length;
        client.write(piece);
        await eventually(() => inside.received.length > before || client.received !== "", PATIENCE);
        clock.advance(SECOND_MS);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await client.until(TOO_SLOW);
      clock.advance(2 * SECOND_MS);
      await eventually(() => client.closed, PATIENCE);
      await eventually(() => inside.closed, PATIENCE);
      expect(inside.errorCode).toBe("ECONNRESET");
      const record = await scene.router.record(0);
      expect(record).toMatchObject({ status: 408, reason: "client_too_slow" });
      // Ten seconds of grace, and 50 ms for each of some 50 bytes.
      expect(record.durationMs).toBeGreaterThanOrEqual(10 * SECOND_MS - 500);
      expect(record.durationMs).toBeLessThan(15 * SECOND_MS);
      await eventually(() => scene.router.upstreams.stats.open === 0, PATIENCE);
    });

    test("of a small body: 408, and the pod hears nothing of it", async () => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      const client = await scene.send(scene.head("POST /", "Content-Length: 10") + "abc");
      await eventually(() => scene.router.started === 1, PATIENCE);
      await untilRead(client);
      await eventually(() => {
        clock.advance(SECOND_MS);
        return client.received !== "";
      }, PATIENCE);
      await client.until(TOO_SLOW);
      clock.advance(2 * SECOND_MS);
      await eventually(() => client.closed, PATIENCE);
      expect(scene.pod.connections).toHaveLength(0);
      expect(scene.router.records).toMatchObject([{ status: 408, reason: "client_too_slow", bytesIn: 3 }]);
    });

    test("a bad line is no slow client: long stalls, and a low rate in between", async () => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      scene.pod.onConnection = undefined;
      const pieces = 30;
      const fields = [`Content-Length: ${pieces * 1000}`];
      const { client, inside } = await scene.begin("POST /", fields, "x".repeat(1000));
      for (let i = 2; i <= pieces; i++) {
        // 1,000 bytes after 9 seconds: more than 100 per second, in bursts.
        clock.advance(9 * SECOND_MS);
        client.write("x".repeat(1000));
        await eventually(() => inside.received.split("\r\n\r\n")[1]?.length === i * 1000, PATIENCE);
      }
      inside.write(OK);
      await client.until("\r\n\r\nok");
      expect(scene.router.records).toMatchObject([{ status: 200, reason: "ok", bytesIn: pieces * 1000 }]);
    });

    test("a bad line is no slow client: a small body in pieces, far apart", async () => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      scene.pod.answerAll(OK);
      const other = await scene.router.client();
      const client = await scene.send(scene.head("POST /", "Content-Length: 6000"));
      for (let i = 0; i < 6; i++) {
        clock.advance(8 * SECOND_MS);
        client.write("x".repeat(1000));
        await untilRead(client);
        // Another request goes to and fro: the router has read what came before it.
        other.take();
        other.write(scene.head("GET /"));
        await other.until("\r\n\r\nok");
      }
      await client.until("\r\n\r\nok");
    });

    test("a pod that does not read is not the client's fault", async () => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      const length = 60_000_000;
      const { client, inside } = await scene.begin("POST /", [`Content-Length: ${length}`], "x");
      inside.socket.pause();
      const progress = sendInPieces(client.socket, length - 1);
      expect(await untilStalled(progress)).toBeLessThan(length - 1);
      clock.advance(1000 * SECOND_MS);
      await new Promise((resolve) => setImmediate(resolve));
      expect(client.received).toBe("");
      inside.socket.resume();
      await eventually(() => inside.received.length > length, PATIENCE);
      inside.write(OK);
      await client.until("\r\n\r\nok");
    });

    test("an upload that the pod answers while it runs may be as slow as it likes", async () => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      const { client, inside } = await scene.begin("POST /", ["Transfer-Encoding: chunked"], "1\r\na\r\n");
      inside.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
      await client.until("1\r\nx\r\n");
      clock.advance(1000 * SECOND_MS);
      client.write("1\r\nb\r\n");
      await inside.until("1\r\nb");
      inside.write("1\r\ny\r\n");
      await client.until("1\r\ny\r\n");
      // Not even when the pod kept it waiting meanwhile.
      inside.socket.pause();
      const size = 20_000_000;
      client.write(`${size.toString(16)}\r\n`);
      const progress = sendInPieces(client.socket, size);
      expect(await untilStalled(progress)).toBeLessThan(size);
      inside.socket.resume();
      await eventually(() => progress.sent === size, PATIENCE);
      client.write("\r\n");
      await eventually(() => inside.received.length > size, PATIENCE);
      clock.advance(1000 * SECOND_MS);
      client.write("1\r\nd\r\n");
      await inside.until(/1\r\nd(\r\n)?$/);
    });

    test("0 is no limit", async () => {
      const clock = new SteppedClock();
      const scene = await open({ ...slow, minUploadBytesPerSecond: 0 }, { clock });
      const { client, inside } = await scene.begin("POST /", ["Content-Length: 100000"], "a");
      await inside.until("\r\n\r\na");
      clock.advance(10_000 * SECOND_MS);
      client.write("b");
      await inside.until("\r\n\r\nab");
    });
  });

  describe("the least rate of a client that reads", () => {
    const slow = { minDownloadBytesPerSecond: 10_000, slowClientWindowMs: 10 * SECOND_MS, idleTimeoutMs: 0 };
    const LENGTH = 60_000_000;

    async function download(scene: Scene): Promise<{ client: RawPeer; inside: RawPeer }> {
      const { client, inside } = await scene.begin("GET /");
      client.socket.pause();
      inside.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LENGTH}\r\n\r\n`);
      expect(await untilStalled(sendInPieces(inside.socket, LENGTH))).toBeLessThan(LENGTH);
      return { client, inside };
    }

    test("takes nothing: reset, on both sides", async () => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      const { client, inside } = await download(scene);
      clock.advance(9 * SECOND_MS);
      await new Promise((resolve) => setImmediate(resolve));
      expect(scene.router.records).toEqual([]);
      // The window, and what some hundred KB may take.
      clock.advance(90 * SECOND_MS);
      expect(await scene.router.record(0)).toMatchObject({ status: 200, reason: "client_too_slow" });
      await eventually(() => inside.closed, PATIENCE);
      expect(inside.errorCode).toBe("ECONNRESET");
      client.socket.resume();
      await eventually(() => client.closed, PATIENCE);
      expect(client.errorCode).toBe("ECONNRESET");
      await eventually(() => scene.router.server.connections.open === 0, PATIENCE);
    });

    test("takes its answer in bursts with long stalls: gets it whole", async () => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      const { client, inside } = await download(scene);
      for (let i = 0; i < 4; i++) {
        clock.advance(9 * SECOND_MS);
        const before = inside.socket.writableLength;
        client.socket.resume();
        // So much that the router has drained what it held, and more than once.
        await eventually(() => client.received.length > (i + 1) * 8_000_000, PATIENCE);
        client.socket.pause();
        expect(before).toBeGreaterThan(0);
      }
      client.socket.resume();
      await eventually(() => client.received.length > LENGTH, PATIENCE);
      expect(await scene.router.record(0)).toMatchObject({ status: 200, reason: "ok" });
    });

    test("has nothing to read: is not slow, however long (server-sent events, long polls)", async () => {
      const clock = new SteppedClock();
      const scene = await open({ ...slow, firstByteTimeoutMs: 0 }, { clock });
      const { client, inside } = await scene.begin("GET /events");
      clock.advance(1000 * SECOND_MS);
      inside.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
      for (let i = 0; i < 5; i++) {
        inside.write(`data: ${i}\n\n`);
        await client.until(`data: ${i}\n\n`);
        clock.advance(1000 * SECOND_MS);
        await new Promise((resolve) => setImmediate(resolve));
      }
      inside.end();
      await eventually(() => client.ended || client.received.endsWith("0\r\n\r\n"), PATIENCE);
      expect(client.errorCode).toBeUndefined();
    });

    test("does not take the rest of an answer that the pod is done with: reset, the pod's connection is free", async () => {
      const clock = new SteppedClock();
      const scene = await open(slow, { clock });
      // Each is taken over from the pod whole; all are more than the kernel keeps.
      scene.pod.answerAll(`HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n${"x".repeat(30_000)}`);
      const client = await scene.router.client();
      client.socket.pause();
      client.write(scene.head("GET /").repeat(1_000));
      let before = -1;
      await eventually(
        () => {
          const isStill = scene.router.started === before && before > 0;
          before = scene.router.started;
          return isStill;
        },
        { everyMs: 200, ...PATIENCE },
      );
      await eventually(() => {
        clock.advance(5 * SECOND_MS);
        return scene.router.server.connections.open === 0;
      }, PATIENCE);
      expect(scene.router.records.map(({ reason }) => reason)).toContain("client_too_slow");
      expect(scene.router.records).toHaveLength(scene.router.started);
    });

    test("0 is no limit", async () => {
      const clock = new SteppedClock();
      const scene = await open({ ...slow, minDownloadBytesPerSecond: 0 }, { clock });
      const { client } = await download(scene);
      clock.advance(10_000 * SECOND_MS);
      client.socket.resume();
      await eventually(() => client.received.length > LENGTH, PATIENCE);
    });
  });

  describe("a small body", () => {
    test("is sent to the pod in one piece, with its head, when it is whole", async () => {
      const scene = await open();
      const connections = scene.pod.connections;
      const client = await scene.send(scene.head("POST /", "Content-Length: 10") + "hel");
      await eventually(() => scene.router.started === 1, PATIENCE);
      await untilRead(client);
      expect(connections).toHaveLength(0);
      client.write("loworld");
      const inside = await scene.pod.connection(0);
      expect(await inside.until("helloworld")).toMatch(/content-length: 10\r\n/i);
      inside.write(OK);
      await client.until("\r\n\r\nok");
      // And the next one, on kept connections.
      client.take();
      inside.take();
      client.write(scene.head("PUT /", "Content-Length: 4") + "a");
      await eventually(() => scene.router.started === 2, PATIENCE);
      client.write(`bcd${scene.head("GET /next")}`);
      await inside.until("abcd");
      inside.write(OK);
      await inside.until("GET /next");
      inside.write(OK);
      await client.until(/ok[^]*ok$/);
      expect(connections).toHaveLength(1);
      expect(scene.router.records.map(({ bytesIn }) => bytesIn)).toEqual([10, 4, 0]);
    });

    test("behind a head that is so long that reading paused is read on", async () => {
      const scene = await open();
      const { client, inside } = await scene.begin("GET /first");
      // Together more than is read ahead while an answer is awaited.
      const head = scene.head("POST /last", "Content-Length: 1000", `X-Filler: ${"x".repeat(65_000)}`);
      client.write(head + "a".repeat(900));
      await untilRead(client);
      scene.pod.answerAll(OK);
      inside.take();
      scene.pod.onConnection?.(inside);
      inside.write(OK);
      await eventually(() => scene.router.started === 2, PATIENCE);
      client.write("b".repeat(100));
      expect(await scene.router.record(1)).toMatchObject({ status: 200, bytesIn: 1000 });
    });

    test("of a client that leaves before it is whole: 499, and nothing reaches the pod", async () => {
      const scene = await open();
      const client = await scene.send(scene.head("POST /", "Content-Length: 10") + "abc");
      await eventually(() => scene.router.started === 1, PATIENCE);
      client.reset();
      expect(await scene.router.record(0)).toMatchObject({ status: 499, reason: "client_closed" });
      expect(scene.pod.connections).toHaveLength(0);
    });

    test("for a sandbox that ended meanwhile: 502, and nothing reaches the pod", async () => {
      const scene = await open();
      const client = await scene.send(scene.head("POST /", "Content-Length: 10") + "abc");
      await eventually(() => scene.router.started === 1, PATIENCE);
      scene.end("dead");
      client.write("defghij");
      await client.until(/^HTTP\/1\.1 502 [^]*incarnation_ended/);
      expect(scene.pod.connections).toHaveLength(0);
    });

    test("that is silent for idleTimeoutMs where no rate is asked for: 408 request_timeout", async () => {
      const scene = await open({ minUploadBytesPerSecond: 0, idleTimeoutMs: 100 });
      const client = await scene.send(scene.head("POST /", "Content-Length: 10") + "abc");
      await client.until(/^HTTP\/1\.1 408 [^]*request_timeout/);
      await eventually(() => client.closed, PATIENCE);
    });

    test("gives back its memory, however it ends", async () => {
      // Room for one that is held. What finds none is streamed, so the pod sees its head.
      const scene = await open({ smallBodyBytes: 20 * 1024 * 1024 });
      const length = 20 * 1024 * 1024;
      const begin = () => scene.send(scene.head("POST /", `Content-Length: ${length}`) + "a");
      for (let i = 0; i < 3; i++) {
        const first = await begin();
        await eventually(() => scene.router.started === 2 * i + 1, PATIENCE);
        const second = await begin();
        await (await scene.pod.connection(i)).until("\r\n\r\na");
        expect(scene.pod.connections).toHaveLength(i + 1);
        first.reset();
        second.reset();
        await eventually(() => scene.router.records.length === 2 * i + 2, PATIENCE);
      }
    });
  });
});

test("a client's share counts connections that are being opened", async () => {
  const pod = await RawPod.listen();
  const upstreams = newUpstreams({ maxConnectionsPerSandbox: 4 });
  onTestFinished(async () => {
    upstreams.close();
    await pod.close();
  });
  const incarnation = incarnationAt("127.0.0.1");
  const kind = podConnections({ keepAliveTimeoutMs: 60_000, maxResponseHeaderBytes: 65_536 });
  const lessee = { client: "192.0.2.1", granted() {}, refused() {}, cut() {} };
  for (let i = 0; i < 3; i++)
    upstreams.lease(incarnation, { kind, port: pod.port, want: "kept" }, { ...lessee });
  expect(upstreams.stats).toMatchObject({ open: 0, waiting: 1 });
  await eventually(() => upstreams.stats.open === 2, PATIENCE);
  expect(upstreams.stats.waiting).toBe(1);
});

describe("the rule", () => {
  const step = fc.record({
    bytes: fc.integer({ min: 0, max: 50_000 }),
    afterMs: fc.integer({ min: 1, max: 9000 }),
  });

  test("who sends at least the rate at every moment is never late; who is late was slow since some moment", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 80 }), (steps) => {
        const rate = new LeastRate({ bytesPerSecond: 1000, windowMs: 10_000 });
        let nowMs = 5000;
        let deadlineMs = rate.begin(nowMs);
        const history = [{ atMs: nowMs, bytes: 0 }];
        for (const { bytes, afterMs } of steps) {
          nowMs += afterMs;
          // Late exactly when, from some moment on, what came took longer than its bytes and the window allow.
          const isSlow = history.some(({ atMs }, i) => {
            const since = history.slice(i + 1).reduce((sum, each) => sum + each.bytes, 0);
            return nowMs - atMs > since + 10_000 + 1e-6;
          });
          expect(deadlineMs < nowMs - 1e-6).toBe(isSlow);
          if (isSlow) return;
          deadlineMs = rate.sent(deadlineMs, bytes, nowMs);
          history.push({ atMs: nowMs, bytes });
        }
      }),
    );
  });

  test("without a rate nobody is ever late", () => {
    const rate = new LeastRate({ bytesPerSecond: 0, windowMs: 10 });
    expect(rate.begin(1)).toBe(Infinity);
    expect(rate.sent(Infinity, 10, 1)).toBe(Infinity);
    expect(rate.take(10, 1)).toBe(Infinity);
  });
});

test("small bodies: as many as memory is set aside for, none without a length, none that is long", () => {
  const bodies = new SmallBodies({ maxBytes: 10, totalBytes: 15 });
  expect(bodies.reserve(-1)).toBe(false);
  expect(bodies.reserve(11)).toBe(false);
  expect(bodies.reserve(10)).toBe(true);
  expect(bodies.reserve(6)).toBe(false);
  expect(bodies.reserve(5)).toBe(true);
  bodies.release(10);
  bodies.release(5);
  expect(bodies.freeBytes).toBe(15);
});

describe("whose share a client uses", () => {
  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8::6", "2001:db8:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["2001:db8:1:2:3:4:5::", "2001:db8:1:2::/64"],
  ])("%s: %s", (address, share) => {
    expect(shareOf(address)).toBe(share);
  });

  test.each([
    [["X-Forwarded-For", "198.51.100.1, 192.0.2.7"], "192.0.2.7"],
    [["X-Forwarded-For", "192.0.2.7", "x-forwarded-for", "192.0.2.8"], "192.0.2.8"],
    [["X-Forwarded-For", "192.0.2.7:4711"], "192.0.2.7"],
    [["X-Forwarded-For", "[2001:db8::1]:4711"], "2001:db8:0:0::/64"],
    [["X-Forwarded-For", "::ffff:192.0.2.7"], "192.0.2.7"],
    [["X-Forwarded-For", "[::FFFF:192.0.2.7]:4711"], "192.0.2.7"],
    [["X-Forwarded-For", "64:ff9b::192.0.2.7"], "64:ff9b:0:0::/64"],
    [["X-Forwarded-For", "unknown"], "10.0.0.1"],
    [["X-Forwarded-For", "a:b:c:d:e:f:1:2:3::"], "10.0.0.1"],
    [["X-Forwarded-For", ""], "10.0.0.1"],
    [[], "10.0.0.1"],
  ])("with trusted %j: %s", (rawHeaders, share) => {
    expect(forwardedShareOf({ method: "GET", target: "/", rawHeaders }, "10.0.0.1")).toBe(share);
  });
});
