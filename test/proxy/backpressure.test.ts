import { createHash, randomBytes } from "node:crypto";
import type { Hash } from "node:crypto";
import type { Socket } from "node:net";

import { expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { Scene } from "./support/scene.ts";
import { untilStalled } from "./support/stalled.ts";

const MIB = 1024 * 1024;
const TOTAL = 64 * MIB;
const BLOCK = randomBytes(MIB);

/** Bytes that this process may hold for one stalled stream: socket buffers of both sides, and slack for other tests. */
const MAX_HELD = 24 * MIB;

async function writeAll(socket: Socket, hash: Hash, progress: { sent: number }) {
  while (progress.sent < TOTAL) {
    hash.update(BLOCK);
    progress.sent += BLOCK.length;
    if (!socket.write(BLOCK)) {
      await new Promise((resolve) => {
        socket.once("drain", resolve);
      });
    }
  }
}

test("a client that reads slowly slows the pod down; memory stays bounded and every byte arrives", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  client.socket.pause();
  client.socket.removeAllListeners("data");
  const sent = createHash("sha256");
  const progress = { sent: 0 };
  inside.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
  const writing = writeAll(inside.socket, sent, progress);
  expect(await untilStalled(progress)).toBeLessThan(MAX_HELD);

  const got = createHash("sha256");
  let received = 0;
  let head = Buffer.alloc(0);
  client.socket.on("data", (chunk: Buffer) => {
    let body = chunk;
    if (received === 0) {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end === -1) return;
      body = head.subarray(end + 4);
    }
    received += body.length;
    got.update(body);
  });
  client.socket.resume();
  await writing;
  await eventually(() => received === TOTAL);
  expect(got.digest("hex")).toBe(sent.digest("hex"));
  expect(await scene.router.record(0)).toMatchObject({ reason: "ok", bytesOut: TOTAL });
});

test("a pod that reads slowly slows the client down; memory stays bounded and every byte arrives", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("POST /", [`Content-Length: ${TOTAL + 1}`], "x");
  inside.socket.pause();
  inside.socket.removeAllListeners("data");
  inside.take();
  const sent = createHash("sha256");
  const progress = { sent: 0 };
  const writing = writeAll(client.socket, sent, progress).catch(() => {});
  expect(await untilStalled(progress)).toBeLessThan(MAX_HELD);

  let received = 0;
  inside.socket.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  inside.socket.resume();
  await eventually(() => received >= TOTAL);
  inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  await client.until("\r\n\r\nok");
  expect(await scene.router.record(0)).toMatchObject({ bytesIn: TOTAL + 1 });
  client.socket.destroy();
  await writing;
});

test.each([
  ["with a length", "Content-Length", false],
  ["with a length and Connection: close", "Connection: close\r\nContent-Length", false],
  ["until the end of the connection", "X-Length", false],
  ["until the end of the connection, by RST", "X-Length", true],
])(
  "a paused response, %s, whose pod closes meanwhile: no crash, and no byte is lost or made up",
  async (_n, field, rst) => {
    const scene = await Scene.open();
    const { client, inside } = await scene.begin("GET /");
    client.socket.pause();
    const total = 16 * MIB;
    inside.write(`HTTP/1.1 200 OK\r\n${field}: ${total}\r\n\r\n`);
    let written = 0;
    for (; written < total; written += MIB) inside.socket.write(BLOCK);
    if (rst) {
      await untilStalled({
        get sent() {
          return inside.socket.bytesWritten;
        },
      });
      inside.reset();
    } else {
      inside.socket.end();
    }
    let received = 0;
    client.socket.removeAllListeners("data");
    client.socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    client.socket.resume();
    const record = await scene.router.record(0);
    if (rst) {
      expect(["upstream_reset", "client_closed"]).toContain(record.reason);
      expect(record.bytesOut).toBeLessThan(total);
      await client.untilClosed();
    } else {
      expect(record).toMatchObject({ reason: "ok", bytesOut: total });
      await eventually(() => received > total);
    }
    expect(scene.router.errors).toEqual([]);
  },
);
