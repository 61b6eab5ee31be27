import { connect } from "node:http2";
import { describe, expect, onTestFinished, test } from "vitest";

import { eventually } from "../../support/eventually.ts";
import { fieldBlock, FLAG, FRAME, frame, get, post, PREFACE, RawHttp2 } from "../support/raw-http2.ts";
import { RawPeer } from "../support/raw-peer.ts";
import { Scene } from "../support/scene.ts";

/*
 * What a client sends before it has heard anything is read by the lane of HTTP/1.1, up to the moment when it is known to be HTTP/2.
 * None of it must be lost, come twice or stall, wherever the reads cut it.
 */

const KIB = 1024;
const MAX_REQUEST_BYTES = 16_000;

/** The preface, SETTINGS, and requests that are padded so that all of it is `size` bytes; and how many requests these are. */
function flightOf(host: string, size: number): { bytes: Buffer; requests: number } {
  const begin = Buffer.concat([Buffer.from(PREFACE), frame(FRAME.SETTINGS, 0, 0)]);
  const requests = Math.ceil((size - begin.length) / MAX_REQUEST_BYTES);
  const request = (number: number, padding: number): Buffer => {
    const fields = fieldBlock([...get(host, `/${number}`), ["x-padding", "x".repeat(padding)]]);
    return frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, 2 * number + 1, fields);
  };
  let bytes = begin;
  for (let number = 0; number < requests; number++) {
    const share = Math.floor((size - bytes.length) / (requests - number));
    const overhead = request(number, 500).length - 500;
    bytes = Buffer.concat([bytes, request(number, share - overhead)]);
  }
  return { bytes, requests };
}

describe.each(["auto", "off"] as const)("client.sharedReadBuffer %s", (sharedReadBuffer) => {
  const open = () => Scene.open({ server: { sharedReadBuffer } });

  test.each([1, 63, 64, 65, 100, 256, 1024])(
    "a first flight of %i KiB: every request is answered once",
    async (kib) => {
      for (const off of kib === 64 ? [-1, 0, 1] : [0]) {
        for (const pieceBytes of [Infinity, 16 * KIB]) {
          const scene = await open();
          const paths: string[] = [];
          scene.pod.answerAll((head) => {
            paths.push(/^GET \/(\d+)/.exec(head)?.[1] ?? head);
            return "HTTP/1.1 204 No Content\r\n\r\n";
          });
          const { bytes, requests } = flightOf(scene.host, kib * KIB + off);
          const client = new RawHttp2(await RawPeer.connect(scene.router.port));
          for (let at = 0; at < bytes.length; at += pieceBytes) {
            client.write(bytes.subarray(at, Math.min(bytes.length, at + pieceBytes)));
            // The router has read what came so far.
            if (pieceBytes < Infinity) await new Promise((resolve) => setImmediate(resolve));
          }
          await eventually(() => client.framesOf(FRAME.HEADERS).length === requests, { everyMs: 2 });
          expect(paths.map(Number).toSorted((a, b) => a - b)).toEqual([...Array(requests).keys()]);
          // And it is read on.
          await client.roundTrip();
          client.request(2 * requests + 1, get(scene.host, `/${requests}`));
          await client.until(FRAME.HEADERS, 2 * requests + 1);
          client.peer.socket.destroy();
        }
      }
    },
  );

  test("a first flight that fills the windows: the body comes to the pod as it was sent", async () => {
    const scene = await open();
    const body = Buffer.alloc(65_535, "0123456789abcdef");
    const parts = [
      Buffer.from(PREFACE),
      frame(FRAME.SETTINGS, 0, 0),
      frame(
        FRAME.HEADERS,
        FLAG.END_HEADERS,
        1,
        fieldBlock([...post(scene.host), ["content-length", "65535"]]),
      ),
    ];
    for (let at = 0; at < body.length; at += 16_384) {
      const isLast = at + 16_384 >= body.length;
      parts.push(frame(FRAME.DATA, isLast ? FLAG.END_STREAM : 0, 1, body.subarray(at, at + 16_384)));
    }
    const client = new RawHttp2(await RawPeer.connect(scene.router.port));
    client.write(...parts);
    const inside = await scene.pod.connection(0);
    await eventually(() => inside.received.endsWith(body.toString("latin1")), { everyMs: 2 });
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await client.until(FRAME.DATA, 1);
  });

  test.each([1, 64, 100, 1024, 4096])("Node's client sends %i KiB at once, and 8 of them", async (kib) => {
    const scene = await open();
    scene.pod.onConnection = (peer) => {
      peer.socket.on("data", () => {
        const end = peer.received.indexOf("\r\n\r\n");
        if (end === -1 || peer.received.length < end + 4 + kib * KIB) return;
        const whole = peer.received.slice(end + 4);
        const isGood = whole === "x".repeat(kib * KIB);
        peer.received = "";
        peer.write(`HTTP/1.1 ${isGood ? 200 : 500} OK\r\nContent-Length: 0\r\n\r\n`);
      });
    };
    const session = connect(`http://127.0.0.1:${scene.router.port}`, { maxSessionMemory: 100 });
    onTestFinished(() => session.destroy());
    const statuses = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const stream = session.request({
          ":method": "POST",
          ":authority": scene.host,
          "content-length": String(kib * KIB),
        });
        stream.end("x".repeat(kib * KIB));
        stream.resume();
        return new Promise((resolve, reject) => {
          stream.once("response", (headers) => resolve(headers[":status"]));
          stream.once("error", reject);
        });
      }),
    );
    expect(statuses).toEqual(Array.from({ length: 8 }, () => 200));
  });
});
