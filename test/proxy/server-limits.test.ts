import { describe, expect, test } from "vitest";

import { systemClock } from "../../src/system/clock.ts";
import type { Clock } from "../../src/system/clock.ts";
import { silentLog } from "../../src/system/log.ts";
import type { Log, LogFields } from "../../src/system/log.ts";
import { eventually } from "../support/eventually.ts";
import { OK, RawPeer } from "./support/raw-peer.ts";
import { Router } from "./support/router.ts";
import { Scene } from "./support/scene.ts";

describe("what is not valid HTTP/1.1 is refused, closed, and never forwarded", () => {
  test.each([
    ["garbage", "garbage\r\n\r\n"],
    ["a bare LF", "GET / HTTP/1.1\nHost: x\n\n"],
    ["a space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n"],
    ["a folded field", "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n"],
    ["NUL in a field", "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"],
    ["two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
    [
      "a length and chunks",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    [
      "an encoding that is no framing",
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ],
    ["chunks twice", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"],
    ["a signed length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx"],
    ["chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    [
      "chunks in HTTP/1.0 that would go on",
      "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["a version of the past", "GET / HTTP/0.9\r\nHost: x\r\n\r\n"],
  ])("%s", async (_name, text) => {
    const scene = await Scene.open();
    scene.pod.answerAll(OK);
    const client = await scene.send(text.replace("Host: x\r\n", `Host: ${scene.host}\r\n`));
    await client.untilClosed();
    expect(client.received).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(client.received).toContain("x-lychgate-reason: bad_request\r\n");
    expect(client.received).toContain("Connection: close\r\n");
    expect(client.received.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
    expect(scene.pod.connections.map(({ received }) => received).join("")).toBe("");
    expect(await scene.router.record(0)).toMatchObject({ status: 400, reason: "bad_request" });
    expect(scene.router.records).toHaveLength(1);
    expect(scene.router.started).toBe(1);
  });

  test("two Hosts: 400, and the connection ends", async () => {
    const scene = await Scene.open();
    scene.pod.answerAll(OK);
    const client = await scene.send(`GET / HTTP/1.1\r\nHost: ${scene.host}\r\nHost: other\r\n\r\n`);
    await client.until(/^HTTP\/1\.1 400 /);
    expect(scene.pod.connections).toHaveLength(0);
  });

  test("no Host: our own reply, not node's", async () => {
    const scene = await Scene.open();
    const client = await scene.send("GET / HTTP/1.1\r\n\r\n");
    await client.until(/^HTTP\/1\.1 4\d\d [^]*x-lychgate-reason: /);
  });

  test("a body that breaks off its framing: the pod's connection is cut and the client is told", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("POST /", ["Transfer-Encoding: chunked"], "3\r\nabc\r\n");
    await inside.until("abc");
    client.write("zz\r\n");
    await client.until(/^HTTP\/1\.1 400 [^]*x-lychgate-reason: bad_request/);
    await client.untilClosed();
    await eventually(() => inside.ended || inside.closed);
    expect(scene.router.records).toMatchObject([{ status: 400, reason: "bad_request" }]);
  });

  test("garbage after a complete request: that one is answered first", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    client.write("garbage\r\n\r\n");
    inside.write(OK);
    await client.untilClosed();
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nokHTTP\/1\.1 400 Bad Request\r\n/);
    expect(scene.router.records.map(({ status }) => status)).toEqual([200, 400]);
  });
});

describe("limits", () => {
  test("a head that is too large: 431", async () => {
    const scene = await Scene.open({ server: { maxHeaderBytes: 2048 } });
    const client = await scene.send(scene.head("GET /", `X: ${"x".repeat(4096)}`));
    await client.until(/^HTTP\/1\.1 431 [^]*x-lychgate-reason: headers_too_large/);
    await client.untilClosed();
  });

  test("many small fields are forwarded, every one of them", async () => {
    const scene = await Scene.open();
    const { head } = await scene.begin(
      "GET /",
      Array.from({ length: 5000 }, (_, i) => `a${i}: b`),
    );
    expect(head.match(/\r\na\d+: b/g)).toHaveLength(5000);
  });

  test("a head that never ends: 408", async () => {
    const scene = await Scene.open({ server: { headerTimeoutMs: 100 } });
    const client = await scene.send("GET / HTTP/1.1\r\nHo");
    await client.until(/^HTTP\/1\.1 408 [^]*x-lychgate-reason: request_timeout/);
    await client.untilClosed();
    expect(await scene.router.record(0)).toMatchObject({ status: 408 });
  });

  test("a connection that never says anything is closed without a word", async () => {
    const scene = await Scene.open({ server: { headerTimeoutMs: 100 } });
    const client = await scene.router.client();
    await client.untilClosed();
    expect(client.received).toBe("");
    expect(scene.router.records).toEqual([]);
  });

  test("idle client connections are closed after keepAliveTimeoutMs", async () => {
    const scene = await Scene.open({ server: { keepAliveTimeoutMs: 50 } });
    scene.pod.answerAll(OK);
    const client = await scene.send(scene.head("GET /"));
    await client.until("\r\n\r\nok");
    await client.untilClosed();
  });

  test("a client that does not read its responses is cut after idleTimeoutMs", async () => {
    const scene = await Scene.open({ server: { idleTimeoutMs: 200 } });
    const client = await scene.router.client();
    client.socket.pause();
    // Each is small enough to be taken over from the pod whole; all are more than the kernel keeps.
    scene.pod.answerAll(`HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n${"x".repeat(30_000)}`);
    client.write(scene.head("GET /").repeat(1_000));
    await eventually(() => scene.router.records.some(({ reason }) => reason === "request_timeout"));
    await eventually(() => scene.router.server.connections.open === 0);
    expect(scene.router.records).toHaveLength(scene.router.started);
  });

  test("a request that waits for longer than idleTimeoutMs for its pod is not cut by it", async () => {
    const scene = await Scene.open({ server: { idleTimeoutMs: 100, firstByteTimeoutMs: 5_000 } });
    const { client, inside } = await scene.begin("GET /");
    const startedMs = performance.now();
    await eventually(() => performance.now() - startedMs > 400);
    inside.write(OK);
    await client.until("\r\n\r\nok");
  });

  test("connections above maxConnections are closed at once", async () => {
    let dropped = 0;
    const scene = await Scene.open({
      server: { maxConnections: 1, observer: { connectionDropped: () => (dropped += 1) } },
    });
    scene.pod.answerAll(OK);
    const first = await scene.send(scene.head("GET /"));
    await first.until("\r\n\r\nok");
    const second = await RawPeer.connect(scene.router.port);
    await second.untilClosed();
    expect(dropped).toBe(1);
    first.take();
    first.write(scene.head("GET /"));
    await first.until("\r\n\r\nok");
  });

  test("a refused upload is not read to its end", async () => {
    const scene = await Scene.open();
    const client = await scene.send(
      "POST / HTTP/1.1\r\nHost: 80-nobody.example.com\r\nContent-Length: 100000000\r\n\r\nabc",
    );
    await client.until(/^HTTP\/1\.1 502 [^]*Connection: close\r\n[^]*sandbox not found: nobody$/);
    await client.untilClosed();
    expect(client.errorCode).toBeUndefined();
  });
});

test("refusals are told to the operational log once a second, with how many were not told", async () => {
  const lines: { message: string; fields: LogFields | undefined }[] = [];
  const log: Log = { ...silentLog, warn: (message, fields) => void lines.push({ message, fields }) };
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  const scene = await Scene.open({ clock, server: { log } });
  scene.router.routes.run("nowhere", "not an address");
  const refused = async (times: number) => {
    const client = await scene.router.client();
    const before = scene.router.records.length;
    client.write("GET / HTTP/1.1\r\nHost: 80-nowhere.example.com\r\n\r\n".repeat(times));
    await eventually(() => scene.router.records.length === before + times);
  };
  await refused(20);
  expect(lines).toHaveLength(1);
  nowMs = 1000;
  await refused(1);
  expect(lines.map(({ message, fields }) => [message, fields?.["untoldBefore"]])).toEqual([
    ["request refused: upstream_unreachable", undefined],
    ["request refused: upstream_unreachable", 19],
  ]);
});

test("a port that is taken: listen rejects", async () => {
  const scene = await Scene.open();
  const other = new Router({ server: { listen: { host: "127.0.0.1", port: scene.router.port } } });
  await expect(other.server.listen()).rejects.toMatchObject({ code: "EADDRINUSE" });
  await other.close();
});
