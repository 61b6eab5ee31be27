import type { Socket } from "node:net";

import { expect, test } from "vitest";

import { eventually } from "../support/eventually.ts";
import { OK } from "./support/raw-peer.ts";
import { Scene } from "./support/scene.ts";
import { untilStalled } from "./support/stalled.ts";

// Long bodies are read into buffers that are written on as they are. What still waits to be written must not be read over,
// or one part of a body stands where another was, or a part of somebody else's.

const PIECE_BYTES = 32 * 1024;
const PIECES = 400;

/** Each piece is made of its own number, so that none can stand for another. */
const piece = (number: number) =>
  String(number)
    .padStart(8, "0")
    .repeat(PIECE_BYTES / 8);
const body = Array.from({ length: PIECES }, (_, number) => piece(number)).join("");

/** Sends piece by piece, each on its own as far as TCP lets it be; stands still when the way is full. */
async function sendPieces(socket: Socket, progress: { sent: number }): Promise<void> {
  for (let number = 0; number < PIECES; number++) {
    if (!socket.write(piece(number), "latin1") && socket.writableNeedDrain) {
      await new Promise((resolve) => {
        socket.once("drain", resolve);
      });
    }
    progress.sent += 1;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

test("a response to a client that reads late is what the pod sent, byte for byte", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("GET /");
  client.socket.pause();
  inside.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
  const progress = { sent: 0 };
  const sending = sendPieces(inside.socket, progress);
  await untilStalled(progress);
  client.socket.resume();
  await sending;
  await eventually(
    () => client.received.length >= body.length && client.received.endsWith(piece(PIECES - 1)),
  );
  expect(client.received.slice(client.received.indexOf("\r\n\r\n") + 4) === body).toBe(true);
});

test("a request to a pod that reads late is what the client sent, byte for byte", async () => {
  const scene = await Scene.open();
  const { client, inside } = await scene.begin("POST /", [`Content-Length: ${body.length}`]);
  inside.socket.pause();
  const progress = { sent: 0 };
  const sending = sendPieces(client.socket, progress);
  await untilStalled(progress);
  inside.socket.resume();
  await sending;
  await eventually(() => inside.received.endsWith(piece(PIECES - 1)));
  expect(inside.received.slice(inside.received.indexOf("\r\n\r\n") + 4) === body).toBe(true);
  inside.write(OK);
  await client.until("\r\n\r\nok");
});
