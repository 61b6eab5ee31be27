import { describe, expect, test } from "vitest";

import type { RequestHead } from "../../src/proxy/http1/request-head.ts";
import type { TargetResult } from "../../src/proxy/target/target.ts";
import { eventually } from "../support/eventually.ts";
import { LANE } from "./support/lane.ts";
import { OK } from "./support/raw-peer.ts";
import type { RawPeer } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

describe("the client leaves", () => {
  test.each(["before the response", "in the middle of it"])(
    "%s: the pod's connection is cut at once",
    async (when) => {
      const scene = await Scene.open();
      const { client, inside } = await scene.begin("GET /");
      if (when !== "before the response") {
        inside.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        await client.until("abc");
      }
      client.socket.destroy();
      await eventually(() => inside.ended || inside.closed);
      const record = await scene.router.record(0);
      expect(record).toMatchObject({
        reason: "client_closed",
        status: when === "before the response" ? 499 : 200,
      });
      inside.end();
      await eventually(() => scene.router.upstreams.stats.open === 0 && scene.router.counts.closes === 1);
    },
  );

  test("in the middle of an upload: the pod does not take it for the whole", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("POST /", ["Transfer-Encoding: chunked"], "3\r\nabc\r\n");
    await inside.until("abc");
    client.reset();
    await eventually(() => inside.ended || inside.closed);
    expect(inside.received).not.toMatch(/\r\n0\r\n\r\n$/);
    expect((await scene.router.record(0)).reason).toBe("client_closed");
  });

  test("while its pipelined requests are under way: each that was begun is told once", async () => {
    const scene = await Scene.open();
    // The fast lane reads a request when its turn has come.
    const begun = LANE === "fast" ? 1 : 3;
    const client = await scene.send(scene.head("GET /1") + scene.head("GET /2") + scene.head("GET /3"));
    await scene.pod.connection(0);
    client.reset();
    await eventually(() => scene.router.records.length === begun);
    expect(scene.router.records.map(({ reason }) => reason)).toEqual(Array(begun).fill("client_closed"));
    await eventually(() => scene.pod.connections.every((peer) => peer.ended || peer.closed));
    expect(scene.router.started).toBe(begun);
    // Those whose turn had not come were never sent.
    expect(scene.pod.connections).toHaveLength(1);
  });

  test("while it waits for a connection: the wait ends", async () => {
    const scene = await Scene.open({ upstream: { maxConnectionsPerSandbox: 1 } });
    await scene.begin("GET /1");
    const waiting = await scene.send(scene.head("GET /2"));
    await eventually(() => scene.router.upstreams.stats.waiting === 1);
    waiting.reset();
    await eventually(() => scene.router.upstreams.stats.waiting === 0);
    expect((await scene.router.record(0)).reason).toBe("client_closed");
  });
});

describe("the pod fails in the middle of a response", () => {
  const endings = [
    ["chunked, FIN", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", (peer: RawPeer) => peer.end()],
    ["chunked, RST", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", (peer: RawPeer) => peer.reset()],
    ["with a length, FIN", "Content-Length: 10\r\n\r\nabc", (peer: RawPeer) => peer.end()],
    ["with a length, RST", "Content-Length: 10\r\n\r\nabc", (peer: RawPeer) => peer.reset()],
    ["bad chunk", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", (peer: RawPeer) => peer.write("zz\r\n")],
  ] as const;

  test.each(endings)("%s: the client's connection is cut, never a clean end", async (_name, rest, fail) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    inside.write(`HTTP/1.1 200 OK\r\n${rest}`);
    await client.until("abc");
    fail(inside);
    await client.untilClosed();
    expect(client.received).not.toMatch(/0\r\n\r\n$/);
    const { reason, status } = await scene.router.record(0);
    expect(["upstream_reset", "upstream_protocol"]).toContain(reason);
    expect(status).toBe(200);
  });

  test("towards an HTTP/1.0 client, for whom a FIN would be the end of the body: RST", async () => {
    const scene = await Scene.open();
    const client = await scene.send(`GET / HTTP/1.0\r\nHost: ${scene.host}\r\n\r\n`);
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    inside.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await client.until("abc");
    inside.reset();
    await client.untilClosed();
    expect(client.errorCode).toBe("ECONNRESET");
  });
});

describe("no response comes", () => {
  test("connection refused: 502 upstream_refused", async () => {
    const scene = await Scene.open();
    const port = scene.pod.port;
    await scene.pod.close();
    const client = await scene.send(`GET / HTTP/1.1\r\nHost: ${port}-box.example.com\r\n\r\n`);
    const reply = await client.until(/refused the connection on port \d+$/);
    expect(reply).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\nx-lychgate-reason: upstream_refused\r\n/);
    expect(scene.router.counts.failures).toEqual(["upstream_refused"]);
  });

  test("no way to the address: 502 upstream_unreachable", async () => {
    const scene = await Scene.open();
    scene.router.routes.run("far", "255.255.255.255");
    const client = await scene.send("GET / HTTP/1.1\r\nHost: 80-far.example.com\r\n\r\n");
    await client.until("x-lychgate-reason: upstream_unreachable");
  });

  test("an IP that is none is never resolved: 502 upstream_unreachable", async () => {
    const scene = await Scene.open();
    scene.router.routes.run("name", "localhost");
    const client = await scene.send(`GET / HTTP/1.1\r\nHost: ${scene.pod.port}-name.example.com\r\n\r\n`);
    await client.until("x-lychgate-reason: upstream_unreachable");
    expect(scene.pod.connections).toHaveLength(0);
  });

  test.each([
    ["FIN", (peer: RawPeer) => peer.end()],
    ["RST", (peer: RawPeer) => peer.reset()],
    ["half a head", (peer: RawPeer) => peer.end("HTTP/1.1 200 OK\r\nContent-")],
  ])("%s instead of a response: 502 upstream_reset, and no second try", async (_name, fail) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    fail(inside);
    await client.until("x-lychgate-reason: upstream_reset");
    expect(scene.pod.connections).toHaveLength(1);
  });

  test.each([
    ["SSH-2.0-OpenSSH\r\n"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
    ["HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n"],
    ["HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"],
    [`HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}\r\n\r\n`],
    ["HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(100)],
  ])("an invalid response: 502 upstream_protocol", async (response) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    inside.write(response);
    await client.until("x-lychgate-reason: upstream_protocol");
    expect((await scene.router.record(0)).status).toBe(502);
  });

  test("silence: 504 first_byte_timeout, and the pod's connection is cut", async () => {
    const scene = await Scene.open({ server: { firstByteTimeoutMs: 50 } });
    const { client, inside } = await scene.begin("GET /");
    await client.until(/^HTTP\/1\.1 504 [^]*x-lychgate-reason: first_byte_timeout/);
    await eventually(() => inside.ended || inside.closed);
  });
});

describe("silence in the middle", () => {
  test("of a response: both sides are cut", async () => {
    const scene = await Scene.open({ server: { idleTimeoutMs: 60 } });
    const { client, inside } = await scene.begin("GET /");
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    await client.untilClosed();
    expect(await scene.router.record(0)).toMatchObject({ reason: "upstream_idle_timeout", status: 200 });
    await eventually(() => inside.ended || inside.closed);
  });

  test("of an upload: 408, the client was the silent one", async () => {
    const scene = await Scene.open({ server: { idleTimeoutMs: 60, smallBodyBytes: 0 } });
    const { client } = await scene.begin("POST /", ["Content-Length: 10"], "abc");
    await client.until("x-lychgate-reason: request_timeout");
    await client.untilClosed();
  });

  test("a stream that moves lives on, in whichever direction it moves", async () => {
    const scene = await Scene.open({ server: { idleTimeoutMs: 1_000 } });
    const { client, inside } = await scene.begin("POST /", ["Transfer-Encoding: chunked"], "1\r\na\r\n");
    inside.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    const startedMs = performance.now();
    while (performance.now() - startedMs < 2_300) {
      client.write("1\r\nb\r\n");
      const before = inside.received.length;
      await eventually(() => inside.received.length > before);
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
    inside.write("0\r\n\r\n");
    client.write("0\r\n\r\n");
    await client.until(/0\r\n\r\n$/);
    expect((await scene.router.record(0)).reason).toBe("ok");
  });
});

describe("an early response to an upload", () => {
  test("is delivered, the upload is stopped and the connection closed", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("POST /", ["Content-Length: 1000000"], "abc");
    inside.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nbig!");
    await client.until(/^HTTP\/1\.1 413 [^]*Connection: close\r\n[^]*\r\n\r\nbig!$/);
    await eventually(() => inside.ended || inside.closed);
    await client.untilClosed();
    expect(await scene.router.record(0)).toMatchObject({ status: 413, reason: "ok" });
  });

  test("leaves a client that still sends the time to notice: no RST", async () => {
    const scene = await Scene.open({ server: { smallBodyBytes: 0 } });
    const { client, inside } = await scene.begin("POST /", ["Content-Length: 10"], "abc");
    inside.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nbig!");
    await client.until("big!");
    // Time passes: another request goes to and fro.
    scene.pod.answerAll(OK);
    const other = await scene.send(scene.head("GET /"));
    await other.until("\r\n\r\nok");
    expect(client.ended).toBe(false);
    client.write("defghij");
    await client.untilClosed();
    expect(client.errorCode).toBeUndefined();
  });

  test("does not end an upload that the pod still reads", async () => {
    const scene = await Scene.open({ server: { smallBodyBytes: 0 } });
    const { client, inside } = await scene.begin("POST /", ["Content-Length: 6"], "abc");
    inside.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    await client.until("hi");
    client.write("def");
    await inside.until("abcdef");
    inside.write("0\r\n\r\n");
    await client.until(/0\r\n\r\n$/);
  });
});

test("an exception in a request becomes 500 internal_error and nothing else is harmed", async () => {
  const scene = await Scene.open({
    server: {
      parseTarget: Object.assign(
        (head: RequestHead): TargetResult => {
          if (head.rawHeaders.includes("boom.test")) throw new Error("boom");
          return {
            kind: "target",
            target: {
              by: { kind: "id", id: "box" },
              label: "box",
              port: scene.pod.port,
              path: "/",
              source: "host",
            },
          };
        },
        { fields: new Set(["host"]), pathPrefix: "" },
      ),
    },
  });
  scene.pod.answerAll(OK);
  const client = await scene.send("GET / HTTP/1.1\r\nHost: boom.test\r\n\r\n");
  await client.until(/^HTTP\/1\.1 500 [^]*x-lychgate-reason: internal_error[^]*internal error$/);
  client.write(scene.head("GET /"));
  await client.until("\r\n\r\nok");
  expect(scene.router.records.map(({ status }) => status)).toEqual([500, 200]);
  expect(scene.router.errors).toHaveLength(1);
});
