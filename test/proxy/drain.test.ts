import { randomBytes } from "node:crypto";
import type { AddressInfo } from "node:net";

import { describe, expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";

import { systemClock } from "../../src/system/clock.ts";
import type { Clock } from "../../src/system/clock.ts";
import { eventually } from "../support/eventually.ts";
import { OK, RawPeer } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";

const WS = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
const SWITCHING = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const GOING_AWAY = "\x88\x02\x03\xe9";

async function rawTunnel(scene: Scene): Promise<{ client: RawPeer; inside: RawPeer }> {
  const { client, inside } = await scene.begin("GET /ws", WS);
  inside.take();
  inside.write(SWITCHING);
  await client.until("\r\n\r\n");
  client.take();
  return { client, inside };
}

describe("draining", () => {
  test("accepts no more, closes idle connections, lets requests end and asks their clients to close", async () => {
    const scene = await Scene.open();
    const busy = await scene.begin("GET /busy");
    const idle = await scene.begin("GET /idle");
    idle.inside.write(OK);
    await idle.client.until("\r\n\r\nok");
    const silent = await scene.router.client();
    await eventually(() => scene.router.server.connections.open === 3);
    let drained = false;
    const draining = scene.router.server.drain(10_000).then(() => {
      drained = true;
    });
    await idle.client.untilClosed();
    await silent.untilClosed();
    await expect(RawPeer.connect(scene.router.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(drained).toBe(false);
    busy.inside.write(OK);
    expect(await busy.client.until("\r\n\r\nok")).toContain("Connection: close\r\n");
    await draining;
    await busy.client.untilClosed();
    expect(scene.router.records.map(({ reason }) => reason)).toEqual(["ok", "ok"]);
  });

  test("answers a client that has sent half a head when it begins", async () => {
    const scene = await Scene.open();
    scene.pod.answerAll(OK);
    const head = scene.head("GET /");
    const client = await scene.send(head.slice(0, 20));
    // Others that came later are served: so it was read.
    const other = await scene.send(scene.head("GET /"));
    await other.until("\r\n\r\nok");
    const draining = scene.router.server.drain(60_000);
    client.write(head.slice(20));
    expect(await client.until("\r\n\r\nok")).toContain("Connection: close\r\n");
    await draining;
  });

  test("cuts what is left at the deadline", async () => {
    const scene = await Scene.open();
    const busy = await scene.begin("GET /busy");
    const tunnel = await rawTunnel(scene);
    await Promise.all([scene.router.server.drain(50), scene.router.server.drain(60_000)]);
    await busy.client.untilClosed();
    await tunnel.client.untilClosed();
    await eventually(() => scene.router.records.length === 2);
  });

  test("with nothing open resolves at once", async () => {
    const pending = new Set<number>();
    const clock: Clock = {
      ...systemClock,
      setTimeout(callback, delayMs) {
        pending.add(delayMs);
        const timer = systemClock.setTimeout(callback, delayMs);
        return {
          clear() {
            pending.delete(delayMs);
            timer.clear();
          },
        };
      },
    };
    const scene = await Scene.open({ clock });
    // The test would hang, did it wait for this.
    await scene.router.server.drain(600_000);
    expect(pending).not.toContain(600_000);
    await expect(RawPeer.connect(scene.router.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("close cuts everything at once", async () => {
    const scene = await Scene.open();
    const busy = await scene.begin("GET /busy");
    const tunnel = await rawTunnel(scene);
    await scene.router.server.close();
    await busy.client.untilClosed();
    await tunnel.client.untilClosed();
    await eventually(() => busy.inside.ended || busy.inside.closed);
  });
});

describe("draining a WebSocket", () => {
  test("real clients see 1001, real pods see it too, and all is over soon", async () => {
    const scene = await Scene.open();
    const wss = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await new Promise((resolve) => {
      wss.once("listening", resolve);
    });
    onTestFinished(() => {
      wss.close();
    });
    const podCodes: number[] = [];
    wss.on("connection", (ws) => {
      ws.on("close", (code) => podCodes.push(code));
      // Talks all the time, in frames of all sizes: the close frame must find its way between them.
      const talk = () => {
        if (ws.readyState !== WebSocket.OPEN) return;
        ws.send(randomBytes(Math.floor(Math.random() * 200_000)));
        setImmediate(talk);
      };
      talk();
    });
    scene.router.routes.run("talker");
    const { port } = wss.address() as AddressInfo;
    const codes: number[] = [];
    const errors: Error[] = [];
    const clients = Array.from({ length: 5 }, () => {
      const ws = new WebSocket(`ws://127.0.0.1:${scene.router.port}/`, {
        headers: { Host: `${port}-talker.example.com` },
      });
      ws.on("close", (code) => codes.push(code));
      ws.on("error", (error) => errors.push(error));
      return ws;
    });
    let heard = 0;
    for (const ws of clients) ws.on("message", () => (heard += 1));
    await eventually(() => heard > 50);
    await scene.router.server.drain(10_000);
    await eventually(() => codes.length === 5 && podCodes.length === 5);
    expect(errors).toEqual([]);
    expect(codes).toEqual(Array(5).fill(1001));
    expect(podCodes).toEqual(Array(5).fill(1001));
    expect(scene.router.records).toHaveLength(5);
    expect(scene.router.records.every(({ reason }) => reason === "draining")).toBe(true);
  });

  test("waits for the end of the frame on its way", async () => {
    const scene = await Scene.open();
    const { client, inside } = await rawTunnel(scene);
    inside.write("\x82\x05ab");
    await client.until("ab");
    const draining = scene.router.server.drain(10_000);
    inside.write("cde\x82\x03xyz");
    await client.until("cde");
    await eventually(() => client.received.endsWith(GOING_AWAY));
    expect(client.received).toBe(`\x82\x05abcde${GOING_AWAY}`);
    // The client's answer reaches the pod, which then closes.
    client.write("\x88\x82\0\0\0\0\x03\xe9");
    await inside.until("\x88\x82\0\0\0\0\x03\xe9");
    inside.write("\x88\x02\x03\xe9");
    inside.end();
    await draining;
    expect(client.received).toBe(`\x82\x05abcde${GOING_AWAY}`);
  });

  test("says nothing after the pod's own close frame", async () => {
    const scene = await Scene.open();
    const { client, inside } = await rawTunnel(scene);
    inside.write("\x88\x02\x03\xe8");
    await client.until("\x88\x02\x03\xe8");
    const draining = scene.router.server.drain(10_000);
    inside.end();
    await draining;
    expect(client.received).toBe("\x88\x02\x03\xe8");
  });

  test("lets a handshake under way finish, and then says 1001 before anything else", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /ws", WS);
    const draining = scene.router.server.drain(10_000);
    inside.write(`${SWITCHING}\x82\x03abc`);
    await client.until(/\r\n\r\n[^]/);
    expect(client.received.slice(client.received.indexOf("\r\n\r\n") + 4)).toBe(GOING_AWAY);
    client.end();
    inside.end();
    await draining;
  });

  test("refuses new ones", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    const kept = await scene.begin("GET /kept");
    const draining = scene.router.server.drain(10_000);
    inside.write(OK);
    await client.until("\r\n\r\nok");
    kept.client.write(scene.head("GET /ws", ...WS));
    kept.inside.write(OK);
    await kept.client.untilClosed();
    expect(kept.client.received).not.toContain("101");
    await draining;
  });

  test("lets another protocol go on until the deadline", async () => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /", ["Connection: Upgrade", "Upgrade: tcp"]);
    inside.take();
    inside.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    await client.until("\r\n\r\n");
    client.take();
    const draining = scene.router.server.drain(10_000);
    inside.write("still");
    await client.until("still");
    expect(client.received).toBe("still");
    inside.end();
    client.end();
    await draining;
  });
});
