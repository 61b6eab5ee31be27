import { expect, test } from "vitest";
import { CLIENT_TRANSITIONS } from "../../src/proxy/fast/client-phase.ts";
import { eventually } from "../support/eventually.ts";
import { OK } from "./support/raw-peer.ts";
import type { RawPeer } from "./support/raw-peer.ts";
import type { RouterOptions } from "./support/router.ts";
import { Scene } from "./support/scene.ts";
import { taken, waysOf } from "./support/transitions.ts";

// Each way in the table of a client connection's phases is one that a connection can take. That no other is taken, every
// test of the proxy sees.

const LONG = 100_000;
const UPLOAD = ["Transfer-Encoding: chunked"];
const HEAD_OF_TEN = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
const REFUSED = "HTTP/1.1 502 ";

/** Plays one connection, until the way was taken. */
interface Way {
  readonly ways: readonly string[];
  readonly options?: RouterOptions;
  play(scene: Scene): Promise<void>;
}

const onePod = { upstream: { maxConnectionsPerSandbox: 1 } };
const silent = (idleTimeoutMs: number) => ({ server: { idleTimeoutMs } });
const unknown = "Host: 1-nobody.example.com";
const get = (host: string, ...lines: string[]) => ["GET / HTTP/1.1", host, ...lines, "", ""].join("\r\n");

/** Responses that come in one piece each, more of them than the kernels hold for a client that reads nothing. */
async function unread(scene: Scene): Promise<RawPeer> {
  const body = "x".repeat(50_000);
  scene.pod.answerAll(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  const client = await scene.router.client(true);
  client.socket.pause();
  client.write(scene.head("GET /").repeat(600));
  let before = -1;
  await eventually(
    () => {
      const { length } = scene.router.records;
      const isStuck = length > 0 && length === before;
      before = length;
      return isStuck;
    },
    { everyMs: 150 },
  );
  return client;
}

const WAYS: readonly Way[] = [
  {
    ways: ["head → leasing", "leasing → awaiting", "awaiting → answering", "answering → head", "head → gone"],
    async play(scene) {
      const { client, inside } = await scene.begin("GET /");
      inside.write(OK);
      await client.until("ok");
      client.end();
    },
  },
  {
    ways: ["head → waiting", "waiting → head", "waiting → gone"],
    async play(scene) {
      const { routes, held } = scene.router;
      routes.held.add("box");
      const stays = await scene.send(scene.head("GET /"));
      const leaves = await scene.send(scene.head("GET /"));
      await eventually(() => held.size === 2);
      leaves.reset();
      await eventually(() => held.size === 1);
      routes.held.delete("box");
      held.doubtChanged();
      await scene.pod.connection(0);
      stays.reset();
    },
  },
  {
    ways: ["leasing → waiting"],
    options: { waking: {} },
    async play(scene) {
      scene.router.routes.sleep("box");
      const client = await scene.send(scene.head("GET /"));
      await eventually(() => scene.router.waking?.size === 1);
      client.reset();
      await eventually(() => scene.router.waking?.size === 0);
    },
  },
  {
    ways: ["head → ended", "ended → gone"],
    async play(scene) {
      const client = await scene.send("\0\r\n\r\n");
      await client.until("400");
    },
  },
  {
    ways: ["leasing → collecting", "collecting → leasing"],
    async play(scene) {
      const client = await scene.send(`${scene.head("POST /", "Content-Length: 10")}hello`);
      await eventually(() => scene.router.started === 1);
      client.write("hello");
      await scene.pod.connection(0);
    },
  },
  {
    ways: ["collecting → gone"],
    async play(scene) {
      const client = await scene.send(`${scene.head("POST /", "Content-Length: 10")}hello`);
      await eventually(() => scene.router.started === 1);
      client.reset();
    },
  },
  {
    ways: ["collecting → overrun", "overrun → ended"],
    options: silent(100),
    async play(scene) {
      const client = await scene.send(`${scene.head("POST /", "Content-Length: 10")}hello`);
      await client.until("408");
      client.write("hello");
    },
  },
  {
    ways: ["leasing → head"],
    async play(scene) {
      await (await scene.send(get(unknown))).until(REFUSED);
    },
  },
  {
    ways: ["leasing → flushing", "flushing → gone"],
    async play(scene) {
      const client = await scene.router.client();
      client.socket.pause();
      client.write(get(unknown).repeat(40_000));
      await eventually(() => taken.client.has("leasing → flushing"));
      client.reset();
    },
  },
  {
    ways: ["leasing → overrun", "overrun → gone"],
    async play(scene) {
      const client = await scene.send(get(unknown, `Content-Length: ${LONG}`));
      await client.until(REFUSED);
      client.reset();
    },
  },
  {
    ways: ["leasing → ended"],
    async play(scene) {
      await (await scene.send(get(unknown, "Connection: close"))).until(REFUSED);
    },
  },
  {
    ways: ["leasing → gone"],
    options: onePod,
    async play(scene) {
      await scene.begin("GET /");
      const client = await scene.send(scene.head("GET /"));
      await eventually(() => scene.router.upstreams.stats.waiting === 1);
      client.reset();
    },
  },
  {
    ways: ["leasing → body", "body → awaiting", "awaiting → head"],
    async play(scene) {
      const { client, inside } = await scene.begin("POST /", UPLOAD);
      client.write("5\r\nhello\r\n0\r\n\r\n");
      await inside.until("0\r\n\r\n");
      inside.reset();
      await client.until(REFUSED);
    },
  },
  {
    ways: ["body → trailers", "trailers → awaiting", "awaiting → gone"],
    async play(scene) {
      const { client, inside } = await scene.begin("POST /", UPLOAD);
      client.write("0\r\nX: y");
      await eventually(() => taken.client.has("body → trailers"));
      client.write("\r\n\r\n");
      await inside.until("0\r\nX: y\r\n\r\n");
      client.reset();
    },
  },
  {
    ways: ["leasing → trailers", "trailers → ended"],
    async play(scene) {
      const { client } = await scene.begin("POST /", UPLOAD, "0\r\nX: y");
      client.write("\r\n:\r\n\r\n");
      await client.until("400");
    },
  },
  {
    ways: ["trailers → answering", "answering → ended"],
    async play(scene) {
      const { client, inside } = await scene.begin("POST /", UPLOAD, "0\r\nX: y");
      inside.write(HEAD_OF_TEN);
      await client.until("hello");
      client.write("\r\n\r\n");
      await inside.until("X: y\r\n\r\n");
      inside.write("hello");
      await client.until("hellohello");
    },
  },
  {
    ways: ["trailers → overrun"],
    async play(scene) {
      const { client, inside } = await scene.begin("POST /", UPLOAD, "0\r\nX: y");
      inside.write(OK);
      await client.until("ok");
    },
  },
  {
    ways: ["trailers → gone"],
    async play(scene) {
      const { client } = await scene.begin("POST /", UPLOAD, "0\r\nX: y");
      client.reset();
    },
  },
  {
    ways: ["body → answering", "answering → gone"],
    async play(scene) {
      const { client, inside } = await scene.begin("POST /", UPLOAD, "5\r\nhello\r\n");
      inside.write(HEAD_OF_TEN);
      await client.until("hello");
      client.write("0\r\n\r\n");
      await inside.until("0\r\n\r\n");
      inside.reset();
      await client.untilClosed();
    },
  },
  {
    ways: ["body → overrun"],
    async play(scene) {
      const { client, inside } = await scene.begin("POST /", UPLOAD, "5\r\nhello\r\n");
      inside.write(OK);
      await client.until("ok");
    },
  },
  {
    ways: ["body → ended"],
    async play(scene) {
      const { client } = await scene.begin("POST /", UPLOAD, "5\r\nhello\r\n");
      client.write("no chunk\r\n");
      await client.until("400");
    },
  },
  {
    ways: ["body → gone"],
    async play(scene) {
      const { client } = await scene.begin("POST /", UPLOAD, "5\r\nhello\r\n");
      client.reset();
    },
  },
  {
    ways: ["awaiting → ended"],
    async play(scene) {
      const { client, inside } = await scene.begin("GET /", ["Connection: close"]);
      inside.reset();
      await client.until(REFUSED);
    },
  },
  {
    ways: ["awaiting → flushing"],
    options: { upstream: { maxResponseHeaderBytes: 1_000_000 } },
    async play(scene) {
      const { client, inside } = await scene.begin("GET /");
      client.socket.pause();
      // More than the kernels hold for a client that reads nothing: it has yet to take some when the pod fails.
      inside.write(`HTTP/1.1 103 Early Hints\r\nLink: ${"x".repeat(500_000)}\r\n\r\n`.repeat(40));
      await eventually(() => inside.socket.writableLength === 0);
      inside.end("garbage\r\n\r\n");
      await eventually(() => taken.client.has("awaiting → flushing"));
      client.socket.resume();
    },
  },
  {
    ways: ["answering → flushing", "flushing → head"],
    async play(scene) {
      const client = await unread(scene);
      client.socket.resume();
    },
  },
  {
    ways: ["flushing → ended"],
    async play(scene) {
      const client = await unread(scene);
      client.end();
      // Until this is answered, the router has seen the client's FIN.
      await (await scene.send(get(unknown))).until(REFUSED);
      client.socket.resume();
    },
  },
];

test.each(WAYS)("a client connection goes $ways", async ({ ways, options, play }) => {
  taken.client.clear();
  const scene = await Scene.open({ ...options, server: { ...options?.server, fastLane: true } });
  await play(scene);
  await eventually(() => {
    expect([...taken.client]).toEqual(expect.arrayContaining([...ways]));
  });
});

test("these are all the ways of its table", () => {
  expect(WAYS.flatMap(({ ways }) => ways).sort()).toEqual(waysOf(CLIENT_TRANSITIONS).sort());
});
