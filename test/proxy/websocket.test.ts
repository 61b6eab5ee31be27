import { randomBytes } from "node:crypto";
import type { AddressInfo } from "node:net";

import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";

import { eventually } from "../support/eventually.ts";
import { LANE } from "./support/lane.ts";
import type { RawPeer } from "./support/raw-peer.ts";
import { turns } from "./support/station.ts";
import { Scene } from "./support/scene.ts";
import type { RouterOptions } from "./support/router.ts";

const HANDSHAKE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
/** More than the kernel keeps of a connection that nobody reads. */
const FLOOD_BYTES = 64 * 1024 * 1024;
const SWITCHING =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-WS: yes\r\n\r\n";

/** A pod that is a real WebSocket server, as sandbox `echo`. */
async function echoPod(
  scene: Scene,
): Promise<{ wss: WebSocketServer; url: string; headers: { Host: string } }> {
  const wss = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 32 * 1024 * 1024 });
  await new Promise((resolve) => {
    wss.once("listening", resolve);
  });
  wss.on("connection", (ws) => {
    ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
    ws.on("error", () => {});
  });
  onTestFinished(() => {
    for (const ws of wss.clients) ws.terminate();
    wss.close();
  });
  scene.router.routes.run("echo");
  const { port } = wss.address() as AddressInfo;
  return {
    wss,
    url: `ws://127.0.0.1:${scene.router.port}/some/../path?q=1`,
    headers: { Host: `${port}-echo.example.com` },
  };
}

async function opened(url: string, headers: Record<string, string>): Promise<WebSocket> {
  const ws = new WebSocket(url, { headers, maxPayload: 32 * 1024 * 1024 });
  await new Promise((resolve, reject) => {
    ws.once("open", resolve);
    ws.once("error", reject);
  });
  return ws;
}

/** Nothing is left of any tunnel, on either side. */
async function nothingLeft(scene: Scene): Promise<void> {
  await eventually(() => {
    expect(scene.router.server.connections).toEqual({ open: 0, tunnels: 0 });
    expect(scene.router.upstreams.stats).toMatchObject({ pools: 0, open: 0, waiting: 0 });
    expect(scene.router.counts.closes).toBe(scene.router.counts.connects);
  });
}

async function tunnel(
  options: RouterOptions = {},
): Promise<{ scene: Scene; client: RawPeer; inside: RawPeer }> {
  const scene = await Scene.open(options);
  const { client, inside } = await scene.begin("GET /ws", HANDSHAKE);
  inside.take();
  inside.write(SWITCHING);
  await client.until("\r\n\r\n");
  client.take();
  return { scene, client, inside };
}

describe("a WebSocket", () => {
  test("echoes, small and large, and leaves nothing behind", async () => {
    const scene = await Scene.open();
    const { wss, url, headers } = await echoPod(scene);
    let path: string | undefined;
    wss.once("connection", (_ws, request) => {
      path = request.url;
    });
    const ws = await opened(url, headers);
    // The WHATWG URL of the client normalises the path; what it sent arrives.
    expect(path).toBe("/path?q=1");
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 1024 * 1024 + 1, 16 * 1024 * 1024]) {
      const message = randomBytes(size);
      const echoed = new Promise<Buffer>((resolve) => {
        ws.once("message", (data) => resolve(data as Buffer));
      });
      ws.send(message);
      expect((await echoed).equals(message)).toBe(true);
    }
    ws.close(4001, "done");
    const code = await new Promise((resolve) => {
      ws.once("close", resolve);
    });
    expect(code).toBe(4001);
    await nothingLeft(scene);
    const record = await scene.router.record(0);
    expect(record).toMatchObject({ status: 101, reason: "ok", upgraded: true, sandbox: "echo" });
    expect(record.bytesIn).toBeGreaterThan(17 * 1024 * 1024);
    expect(record.bytesOut).toBeGreaterThan(17 * 1024 * 1024);
    expect(scene.router.records).toHaveLength(1);
    expect(scene.router.started).toBe(1);
  });

  test("path and fields reach the pod byte for byte, and the pod's reach the client", async () => {
    const scene = await Scene.open();
    const { client, inside, head } = await scene.begin("GET /a/../b//%2e?x?y&&=#".slice(0, -1), [
      ...HANDSHAKE,
      "X-CaSe: One",
      "X-Latin: \xff\xe9",
      "Keep-Alive: 5",
    ]);
    expect(head).toMatch(/^GET \/a\/\.\.\/b\/\/%2e\?x\?y&&= HTTP\/1\.1\r\n/);
    expect(head).toContain("\r\nX-CaSe: One\r\nX-Latin: \xff\xe9\r\n");
    expect(head).toContain("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    expect(head).toContain("X-Forwarded-For: 127.0.0.1\r\n");
    expect(head).not.toContain("Keep-Alive");
    inside.write(
      "HTTP/1.1 101 Switching\r\nupgrade: WebSocket\r\nConnection: upgrade, x-hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-OdD: \xc3\xa9\r\n\r\nearly",
    );
    const answer = await client.until("early");
    expect(answer).toContain("\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-OdD: \xc3\xa9\r\n");
    expect(answer).toMatch(/\r\nUpgrade: WebSocket\r\n/);
    expect(answer).not.toMatch(/x-hop/i);
    expect(answer).toMatch(/\r\n\r\nearly$/);
  });

  test("whatever the client sends before the pod has agreed is counted, once", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", HANDSHAKE, "with the head");
    inside.take();
    // More than is read ahead: part of it waits in the socket.
    client.socket.write(Buffer.alloc(300_000, "x"));
    await eventually(() => client.socket.writableLength === 0);
    inside.write(SWITCHING);
    await eventually(() => inside.received.length === 300_013);
    client.socket.destroy();
    inside.socket.once("end", () => inside.end());
    expect(await scene.router.record(0)).toMatchObject({ bytesIn: 300_013 });
  });

  test("a client that floods before the pod has agreed is read only so far, as long as that takes", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /ws", HANDSHAKE);
    const { socket } = client;
    socket.write(Buffer.alloc(FLOOD_BYTES));
    // Turns in which the router reads all that it would: at least 64 KiB in each.
    await turns((2 * FLOOD_BYTES) / 65_536);
    expect(socket.writableLength).toBeGreaterThan(0);
    inside.write(SWITCHING);
    await eventually(() => socket.writableLength === 0, { timeoutMs: 60_000 });
  });

  test("what the client sends before the pod has agreed arrives after it has", async () => {
    const scene = await Scene.open();
    const client = await scene.send(`${scene.head("GET /", ...HANDSHAKE)}early`);
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    client.write("bird");
    expect(inside.received).not.toContain("early");
    inside.take();
    inside.write(SWITCHING);
    await inside.until(/^earlybird$/);
    client.end();
    inside.end();
    expect(await scene.router.record(0)).toMatchObject({ bytesIn: 9, bytesOut: 0 });
  });
});

describe("an open tunnel", () => {
  test.each([
    ["the pod", true],
    ["the client", false],
  ])(
    "%s reads nothing: the other is read only so far; the other way goes on, and all arrives in order",
    async (_, isPod) => {
      const { client, inside } = await tunnel();
      const [sender, reader] = isPod ? [client, inside] : [inside, client];
      reader.socket.pause();
      const flood = Buffer.from(Uint32Array.from({ length: FLOOD_BYTES / 4 }, (_, index) => index).buffer);
      sender.socket.write(flood);
      await turns((2 * FLOOD_BYTES) / 65_536);
      expect(sender.socket.writableLength).toBeGreaterThan(0);
      reader.write("small");
      await sender.until("small");
      let at = 0;
      let isSame = true;
      reader.socket.removeAllListeners("data").on("data", (bytes: Buffer) => {
        isSame &&= bytes.equals(flood.subarray(at, at + bytes.length));
        at += bytes.length;
      });
      reader.socket.resume();
      await eventually(() => at === FLOOD_BYTES, { timeoutMs: 60_000 });
      expect(isSame).toBe(true);
    },
  );

  test("other protocols: the client's end reaches the pod, which may still send; the end of the pod ends the client", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /tcp", ["Connection: Upgrade", "Upgrade: tcp"]);
    inside.take();
    inside.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n");
    await client.until("\r\n\r\n");
    client.take();
    const podSawEnd = new Promise((resolve) => inside.socket.once("end", resolve));
    client.write("last words");
    client.socket.end();
    await inside.until("last words");
    await podSawEnd;
    inside.write("x".repeat(200_000));
    inside.end("done");
    await client.until("done");
    await client.untilClosed();
    expect(await scene.router.record(0)).toMatchObject({ bytesIn: 10, bytesOut: 200_004 });
  });
});

describe("an upgrade is refused", () => {
  test.each([
    ["an unknown sandbox", "80-nobody.example.com", 502, "sandbox_not_found"],
    ["a wrong token", "80-locked.example.com", 401, "unauthorized"],
    ["no target", "nonsense", 404, "no_sandbox"],
  ])("by us, for %s: an ordinary reply", async (_name, host, status, reason) => {
    const scene = await Scene.open();
    scene.router.routes.run("locked", "127.0.0.1", "secret");
    const client = await scene.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n${HANDSHAKE.join("\r\n")}\r\n\r\n`);
    await client.untilClosed();
    expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*x-lychgate-reason: ${reason}\r\n`));
    expect(client.received).toContain("Connection: close\r\n");
    await nothingLeft(scene);
    expect(scene.router.records).toMatchObject([{ status, reason, upgraded: false }]);
  });

  test.each([
    ["with a length", "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-Why: no\r\n\r\nnope"],
    [
      "in chunks",
      "HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n",
    ],
  ])("by the pod, %s: its response is relayed", async (_name, response) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", HANDSHAKE);
    inside.write(response);
    await client.until("nope");
    await client.untilClosed();
    expect(client.received).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n[^]*X-Why: no\r\n/);
    expect(await scene.router.record(0)).toMatchObject({ status: 403, reason: "ok", bytesOut: 4 });
    await nothingLeft(scene);
  });

  test.each([
    ["FIN", (inside: RawPeer) => inside.end()],
    ["RST", (inside: RawPeer) => inside.reset()],
  ])(
    "by the pod, which dies by %s in the middle of its response: cut, never a clean end",
    async (_n, die) => {
      const scene = await Scene.open();
      const { client, inside } = await scene.begin("GET /", HANDSHAKE);
      inside.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nnope");
      await client.until("nope");
      die(inside);
      await client.untilClosed();
      expect(await scene.router.record(0)).toMatchObject({ status: 403, reason: "upstream_reset" });
      await nothingLeft(scene);
    },
  );

  test.each([
    ["FIN", (inside: RawPeer) => inside.end(), "upstream_reset"],
    ["RST", (inside: RawPeer) => inside.reset(), "upstream_reset"],
    ["garbage", (inside: RawPeer) => inside.write("garbage\r\n\r\n"), "upstream_protocol"],
    ["a 101 to nothing", (inside: RawPeer) => inside.write("HTTP/1.1 101 X\r\n\r\nx"), "upstream_protocol"],
  ])("by a pod that answers with %s: 502", async (_name, fail, reason) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", HANDSHAKE);
    fail(inside);
    await client.untilClosed();
    expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 502 [^]*x-lychgate-reason: ${reason}\r\n`));
    await nothingLeft(scene);
  });

  test.each([
    ["204 No Content", "Content-Length: 5\r\n", "0"],
    ["304 Not Modified", "Content-Length: 5\r\n", "5"],
    ["304 Not Modified", "", "0"],
  ])("with %s and %j, which has no body: one length, and no chunks", async (status, field, length) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", HANDSHAKE);
    inside.write(`HTTP/1.1 ${status}\r\n${field}\r\n`);
    await client.untilClosed();
    expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 ${status}\r\n`));
    expect(client.received.match(/content-length: \d+|transfer-encoding/gi)).toEqual([
      `content-length: ${length}`,
    ]);
    expect(client.received).toMatch(/\r\n\r\n$/);
  });

  test.each([
    ["to a protocol that was not asked for", "Upgrade: other\r\nConnection: Upgrade\r\n"],
    ["to another besides", "Upgrade: websocket, other\r\nConnection: Upgrade\r\n"],
    ["to none", "Connection: Upgrade\r\n"],
  ])("by a pod that changes %s: 502, and no tunnel (RFC 9110 7.8)", async (_name, fields) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", HANDSHAKE);
    inside.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\nbytes of it`);
    await client.untilClosed();
    expect(client.received).toMatch(/^HTTP\/1\.1 502 [^]*x-lychgate-reason: upstream_protocol\r\n/);
    expect(client.received).not.toContain("bytes of it");
    await nothingLeft(scene);
  });

  test("after a 100 and a 103: they are passed on, and so is the answer", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", HANDSHAKE);
    inside.write(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nA: 1\r\n\r\n${SWITCHING}`);
    await client.until("X-WS: yes");
    expect(client.received.match(/^HTTP\/1\.1 \d+/gm)).toEqual([
      "HTTP/1.1 100",
      "HTTP/1.1 103",
      "HTTP/1.1 101",
    ]);
  });

  test("by no pod at all: 502 upstream_refused", async () => {
    const scene = await Scene.open();
    const text = scene.head("GET /", ...HANDSHAKE);
    await scene.pod.close();
    const client = await scene.send(text);
    await client.until("x-lychgate-reason: upstream_refused");
    await nothingLeft(scene);
  });

  test("by a pod that says nothing: 504 after the handshake timeout", async () => {
    const scene = await Scene.open({ server: { handshakeTimeoutMs: 50 } });
    const { client, inside } = await scene.begin("GET /", HANDSHAKE);
    await client.until("x-lychgate-reason: first_byte_timeout");
    inside.end();
    await nothingLeft(scene);
  });
});

describe("whoever leaves first, at any moment, leaves no socket behind", () => {
  const leaving = [
    ["FIN", (peer: RawPeer) => peer.end()],
    ["RST", (peer: RawPeer) => peer.reset()],
    ["close", (peer: RawPeer) => peer.socket.destroy()],
  ] as const;

  test.each(leaving)("the client before the pod has answered: %s", async (_name, leave) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", HANDSHAKE);
    leave(client);
    await eventually(() => inside.ended || inside.closed);
    inside.end();
    await nothingLeft(scene);
    expect(await scene.router.record(0)).toMatchObject({ status: 499, reason: "client_closed" });
  });

  test("the client with its request: FIN, while the pod is being connected to", async () => {
    const scene = await Scene.open();
    scene.pod.onConnection = (inside) => inside.socket.once("data", () => inside.write(SWITCHING));
    const client = await scene.router.client(true);
    client.end(scene.head("GET /", ...HANDSHAKE));
    expect(await scene.router.record(0)).toMatchObject({ reason: "client_closed" });
    await nothingLeft(scene);
  });

  test.each(leaving)("the client of an open tunnel: %s", async (name, leave) => {
    const { scene, client, inside } = await tunnel();
    client.write("x");
    await inside.until("x");
    leave(client);
    await eventually(() => inside.ended || inside.closed);
    if (name === "RST") expect(inside.errorCode).toBe("ECONNRESET");
    inside.end();
    await nothingLeft(scene);
    expect(scene.router.records).toMatchObject([{ status: 101, bytesIn: 1 }]);
  });

  test.each(leaving)("the pod of an open tunnel: %s", async (name, leave) => {
    const { scene, client, inside } = await tunnel();
    inside.write("x");
    await client.until("x");
    leave(inside);
    await client.untilClosed();
    expect(client.errorCode).toBe(name === "RST" ? "ECONNRESET" : undefined);
    await nothingLeft(scene);
    expect(scene.router.records).toMatchObject([
      { status: 101, bytesOut: 1, reason: name === "RST" ? "upstream_reset" : "ok" },
    ]);
  });

  test("a pod that ignores the client's FIN", async () => {
    const { scene, client, inside } = await tunnel({ server: { closeTimeoutMs: 50 } });
    client.end();
    await eventually(() => inside.ended);
    await nothingLeft(scene);
  });

  test("a client that ignores the pod's FIN", async () => {
    const scene = await Scene.open({ server: { closeTimeoutMs: 50 } });
    const client = await scene.router.client(true);
    client.write(scene.head("GET /", ...HANDSHAKE));
    const inside = await scene.pod.connection(0);
    await inside.until("\r\n\r\n");
    inside.write(SWITCHING);
    await client.until("\r\n\r\n");
    inside.end();
    await eventually(() => client.ended);
    await nothingLeft(scene);
  });

  test("both silent: cut after the idle timeout, and not before", async () => {
    const { scene, client, inside } = await tunnel({ server: { idleTimeoutMs: 1_000 } });
    const startedMs = performance.now();
    while (performance.now() - startedMs < 2_300) {
      const before = client.received.length;
      inside.write("x");
      await eventually(() => client.received.length > before);
    }
    expect(client.closed).toBe(false);
    await client.untilClosed();
    await nothingLeft(scene);
    expect(await scene.router.record(0)).toMatchObject({ reason: "upstream_idle_timeout", status: 101 });
  });

  test("the sandbox: an open tunnel is reset on both sides", async () => {
    const { scene, client, inside } = await tunnel();
    scene.end("dead");
    await client.untilClosed();
    await inside.untilClosed();
    expect([client.errorCode, inside.errorCode]).toEqual(["ECONNRESET", "ECONNRESET"]);
    await nothingLeft(scene);
    expect(await scene.router.record(0)).toMatchObject({ reason: "incarnation_ended", status: 101 });
    expect(scene.router.counts.resets).toEqual(["dead"]);
  });

  test("the sandbox, before the pod has answered: 502", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", HANDSHAKE);
    scene.end("dead");
    await client.until("x-lychgate-reason: incarnation_ended");
    await inside.untilClosed();
    await nothingLeft(scene);
  });

  test("a hundred clients, at random moments", async () => {
    const scene = await Scene.open({ server: { closeTimeoutMs: 100 } });
    const { url, headers } = await echoPod(scene);
    const sockets = Array.from({ length: 100 }, () => new WebSocket(url, { headers }));
    for (const [i, ws] of sockets.entries()) {
      ws.on("error", () => {});
      ws.on("open", () => ws.send(randomBytes(10_000)));
      setTimeout(() => (i % 2 ? ws.terminate() : ws.close()), Math.random() * 150);
    }
    await eventually(() => sockets.every(({ readyState }) => readyState === WebSocket.CLOSED));
    await nothingLeft(scene);
    expect(scene.router.records).toHaveLength(scene.router.started);
    const sockets2 = process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap");
    expect(sockets2.length).toBeLessThan(5);
  });
});

describe("an Upgrade that is no WebSocket", () => {
  test.each(["h2c", "TLS/1.0", "HTTP/2.0, h2c"])("%s is ignored: an ordinary request", async (protocol) => {
    const scene = await Scene.open();
    const { client, inside, head } = await scene.begin("GET /", [
      "Connection: Upgrade, HTTP2-Settings",
      `Upgrade: ${protocol}`,
      "HTTP2-Settings: x",
    ]);
    expect(head).not.toMatch(/upgrade|http2-settings/i);
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await client.until("\r\n\r\nok");
    expect(await scene.router.record(0)).toMatchObject({ upgraded: false, status: 200 });
  });

  test("on a request with a body is ignored: an ordinary request", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin(
      "POST /",
      ["Connection: Upgrade", "Upgrade: tcp", "Content-Length: 2"],
      "hi",
    );
    await inside.until("\r\n\r\nhi");
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await client.until("\r\n\r\nok");
  });

  test("is tunnelled, by any method, one way after the other side has ended", async () => {
    const scene = await Scene.open();
    const { client, inside, head } = await scene.begin("POST /attach", [
      "Connection: Upgrade",
      "Upgrade: tcp, h2c",
      "Content-Length: 0",
    ]);
    expect(head).toMatch(/^POST \/attach HTTP\/1\.1\r\n[^]*Upgrade: tcp\r\n/);
    inside.take();
    inside.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    await client.until(/101 [^]*Upgrade: tcp\r\n\r\n/);
    client.write("stdin");
    await inside.until("stdin");
    inside.write("stdout");
    await client.until("stdout");
    client.end();
    await eventually(() => inside.ended);
    inside.end();
    await client.untilClosed();
    await nothingLeft(scene);
  });

  test("behind a request that is still being answered never mixes with it", async () => {
    const scene = await Scene.open();
    const client = await scene.send(scene.head("GET /slow") + scene.head("GET /ws", ...HANDSHAKE));
    const inside = await scene.pod.connection(0);
    await inside.until("GET /slow");
    inside.take();
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    if (LANE === "fast") {
      // Its turn comes when that one is answered.
      const tunnel = await scene.pod.connection(1);
      await tunnel.until(/upgrade: /i);
      tunnel.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      expect(await client.until("101")).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nokHTTP\/1\.1 101 /);
      return;
    }
    // node:http has read it already: it is taken for an ordinary request.
    expect(await inside.until("\r\n\r\n")).not.toMatch(/upgrade/i);
    inside.write("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
    expect(await client.until("426")).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nokHTTP\/1\.1 426 /);
  });

  test("from an HTTP/1.0 client is ignored", async () => {
    const scene = await Scene.open();
    const client = await scene.send(
      `GET / HTTP/1.0\r\nHost: ${scene.host}\r\n${HANDSHAKE.join("\r\n")}\r\n\r\n`,
    );
    const inside = await scene.pod.connection(0);
    expect(await inside.until("\r\n\r\n")).not.toMatch(/upgrade/i);
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await client.until("\r\n\r\nok");
  });
});
