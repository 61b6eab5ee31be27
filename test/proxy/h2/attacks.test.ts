import { describe, expect, test } from "vitest";

import { eventually } from "../../support/eventually.ts";
import {
  ERROR,
  FLAG,
  FRAME,
  frame,
  fieldBlock,
  get,
  post,
  PREFACE,
  RawHttp2,
  uint32,
} from "../support/raw-http2.ts";
import { RawPeer } from "../support/raw-peer.ts";
import type { RouterOptions } from "../support/router.ts";
import { Scene } from "../support/scene.ts";

/*
 * What a client can do to a server of HTTP/2, by raw frames. Each attack ends its own connection or stream, another client is
 * served on, and what is open at the end is what was open at the begin.
 */

/** The scene of an attack: a pod that answers everybody else, but is silent for the attacker (`/silent`). */
async function attack(options: RouterOptions = {}) {
  const scene = await Scene.open(options);
  scene.pod.answerAll((head) =>
    head.includes(" /silent") ? "" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
  );
  const client = await RawHttp2.connect(scene.router.port);
  await client.roundTrip();
  return { scene, client, host: scene.host };
}

/** The router serves others, and nothing of the attack is left. */
async function checkServesOn({ router, host, pod }: Scene, kept = 1): Promise<void> {
  const other = await RawHttp2.connect(router.port);
  other.request(1, get(host));
  const data = await other.until(FRAME.DATA, 1);
  expect(data.payload.toString()).toBe("ok");
  other.peer.socket.destroy();
  await eventually(() => {
    expect(router.server.connections.open).toBe(0);
    expect(router.records.length).toBe(router.started);
    // Those that are kept, and none that was of the attack's.
    expect(pod.connections.filter(({ ended, closed }) => !ended && !closed).length).toBeLessThanOrEqual(kept);
  });
  expect(router.errors).toEqual([]);
}

test("rapid reset (CVE-2023-44487): the connection ends, and the pod's requests with it", async () => {
  const { scene, client, host } = await attack();
  const block = fieldBlock(get(host, "/silent"));
  for (let i = 0; i < 4_000 && client.peer.socket.writable; i++) {
    const stream = 2 * i + 1;
    client.write(
      frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, stream, block),
      frame(FRAME.RST_STREAM, 0, stream, uint32(ERROR.CANCEL)),
    );
  }
  const code = await client.ended();
  // Of one that was cut while it still sent, the GOAWAY may be lost.
  expect([undefined, ERROR.NO_ERROR, ERROR.ENHANCE_YOUR_CALM, ERROR.INTERNAL_ERROR]).toContain(code);
  expect(scene.router.started).toBeLessThan(2_500);
  await checkServesOn(scene);
});

test.each([
  ["WINDOW_UPDATE by 0", uint32(0)],
  ["WINDOW_UPDATE beyond 2^31-1", uint32(0x7fffffff)],
] as const)("MadeYouReset (CVE-2025-8671) by %s: the connection ends", async (_name, increment) => {
  const { scene, client, host } = await attack();
  const block = fieldBlock(get(host, "/silent"));
  for (let i = 0; i < 4_000 && client.peer.socket.writable; i++) {
    const stream = 2 * i + 1;
    client.write(
      frame(FRAME.HEADERS, FLAG.END_HEADERS | FLAG.END_STREAM, stream, block),
      frame(FRAME.WINDOW_UPDATE, 0, stream, increment),
    );
    if (i % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
  await client.ended();
  expect(scene.router.started).toBeLessThan(2_500);
  await checkServesOn(scene);
});

test("CONTINUATION flood (CVE-2024-27316): the connection ends before much is read", async () => {
  const { scene, client, host } = await attack();
  const block = fieldBlock([...get(host), ["x-a", "a".repeat(1000)]]);
  client.write(frame(FRAME.HEADERS, FLAG.END_STREAM, 1, block));
  for (let i = 0; i < 10_000 && client.peer.socket.writable; i++) {
    client.write(frame(FRAME.CONTINUATION, 0, 1, fieldBlock([[`x-${i}`, "a".repeat(1000)]])));
    if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
  }
  await client.ended();
  expect(scene.router.started).toBe(0);
  await checkServesOn(scene);
});

test("a head of more fields, or more bytes, than are allowed: its stream is reset", async () => {
  const { scene, client, host } = await attack();
  const long: [string, string][] = Array.from({ length: 10 }, (_, i) => [`x-${i}`, "a".repeat(8_000)]);
  const parts = long.map((field) => fieldBlock([field]));
  client.write(frame(FRAME.HEADERS, FLAG.END_STREAM, 1, fieldBlock(get(host))));
  for (const [i, part] of parts.entries())
    client.write(frame(FRAME.CONTINUATION, i === parts.length - 1 ? FLAG.END_HEADERS : 0, 1, part));
  // nghttp2's, for a list of more than 65,536 bytes, is a GOAWAY.
  expect([ERROR.ENHANCE_YOUR_CALM, ERROR.INTERNAL_ERROR]).toContain(
    await Promise.race([client.reset(1), client.ended()]),
  );
  expect(scene.router.started).toBe(0);
  client.peer.socket.destroy();
  const second = await RawHttp2.connect(scene.router.port);
  const many: [string, string][] = Array.from({ length: 1_200 }, () => ["x", ""]);
  second.request(1, [...get(host), ...many]);
  expect(await second.reset(1)).toBe(ERROR.ENHANCE_YOUR_CALM);
  second.peer.socket.destroy();
  await checkServesOn(scene);
});

describe("floods of frames that must be answered, from a client that reads nothing", () => {
  test.each([
    ["SETTINGS", frame(FRAME.SETTINGS, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))],
    ["PING", frame(FRAME.PING, 0, 0, Buffer.alloc(8))],
  ])("%s: the connection ends", async (_name, one) => {
    const { scene, client } = await attack();
    client.peer.socket.pause();
    const many = Buffer.concat(Array.from({ length: 1_000 }, () => one));
    let error = false;
    client.peer.socket.on("error", () => (error = true));
    for (let i = 0; i < 3_000 && client.peer.socket.writable; i++) {
      if (!client.peer.socket.write(many)) {
        const drained = new Promise((resolve) => client.peer.socket.once("drain", resolve));
        const closed = new Promise((resolve) => client.peer.socket.once("close", resolve));
        await Promise.race([drained, closed]);
      }
    }
    client.peer.socket.resume();
    await eventually(() => client.peer.closed || client.peer.ended || error);
    await checkServesOn(scene);
  });
});

test.each([
  ["empty DATA", (stream: number) => frame(FRAME.DATA, 0, stream)],
  ["empty CONTINUATION", undefined],
])("%s frames without an end: the connection ends", async (_name, one) => {
  const { scene, client, host } = await attack();
  if (one) client.request(1, post(host, "/silent"), FLAG.END_HEADERS);
  else client.write(frame(FRAME.HEADERS, FLAG.END_STREAM, 1, fieldBlock(get(host))));
  for (let i = 0; i < 2_000 && client.peer.socket.writable; i++) {
    client.write(one ? one(1) : frame(FRAME.CONTINUATION, 0, 1));
    if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
  }
  await client.ended();
  await checkServesOn(scene);
});

test("a flood of PRIORITY frames: the connection ends", async () => {
  const { scene, client } = await attack();
  for (let i = 0; i < 200; i++) {
    const many = Array.from({ length: 100 }, (_, k) =>
      frame(FRAME.PRIORITY, 0, 2 * (100 * i + k) + 1, Buffer.from([0, 0, 0, 0, 16])),
    );
    client.write(...many);
  }
  // nghttp2 puts up with some thousands of them.
  await client.ended();
  await checkServesOn(scene);
});

test("more streams than are allowed: those above are refused, and who goes on is ended", async () => {
  const http2 = {
    enabled: true,
    maxConcurrentStreams: 4,
    streamWindowBytes: 65_535,
    connectionWindowBytes: 65_535,
  };
  const { scene, client, host } = await attack({ server: { http2 } });
  for (let i = 0; i < 6; i++) client.request(2 * i + 1, get(host, "/silent"));
  expect(await client.reset(9)).toBe(7);
  expect(await client.reset(11)).toBe(7);
  expect(scene.router.started).toBe(4);
  for (let i = 6; i < 400 && client.peer.socket.writable; i++)
    client.request(2 * i + 1, get(host, "/silent"));
  await client.ended();
  expect(scene.router.started).toBe(4);
  await checkServesOn(scene);
});

test("a window that overflows: the stream or the connection ends with FLOW_CONTROL_ERROR", async () => {
  const { scene, client } = await attack();
  client.write(
    frame(FRAME.WINDOW_UPDATE, 0, 0, uint32(0x7fffffff)),
    frame(FRAME.WINDOW_UPDATE, 0, 0, uint32(0x7fffffff)),
  );
  expect(await client.ended()).toBe(ERROR.FLOW_CONTROL_ERROR);
  await checkServesOn(scene);
});

test("a body above the window: FLOW_CONTROL_ERROR", async () => {
  const http2 = {
    enabled: true,
    maxConcurrentStreams: 4,
    streamWindowBytes: 65_535,
    connectionWindowBytes: 1 << 20,
  };
  const upstream = { maxConnectionsPerSandbox: 1, clientSharePercent: 100 };
  const { scene, client, host } = await attack({ server: { http2 }, upstream });
  client.request(1, get(host, "/silent"));
  await scene.pod.connection(0);
  // Waits for a connection, and so takes nothing of its body.
  client.request(3, post(host), FLAG.END_HEADERS);
  for (let i = 0; i < 5; i++) client.write(frame(FRAME.DATA, 0, 3, Buffer.alloc(16_384)));
  expect(await Promise.race([client.reset(3), client.ended()])).toBe(ERROR.FLOW_CONTROL_ERROR);
  client.peer.socket.destroy();
  await checkServesOn(scene);
});

describe("connections that say nothing", () => {
  test("no request: closed after the header's time", async () => {
    const { scene, client } = await attack({ server: { headerTimeoutMs: 200 } });
    expect(await client.ended()).toBe(ERROR.NO_ERROR);
    await checkServesOn(scene);
  });

  test("half a preface, and then silence: closed after the header's time", async () => {
    const scene = await Scene.open({ server: { headerTimeoutMs: 200 } });
    scene.pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const peer = await RawPeer.connect(scene.router.port);
    peer.write(PREFACE.slice(0, 16));
    await eventually(() => peer.closed);
    await checkServesOn(scene);
  });

  test("a preface that goes wrong: closed", async () => {
    const scene = await Scene.open();
    scene.pod.answerAll("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const peer = await RawPeer.connect(scene.router.port);
    peer.write(`${PREFACE.slice(0, 18)}XX\r\n\r\n`);
    await eventually(() => peer.closed);
    await checkServesOn(scene);
  });

  test("an idle connection: GOAWAY after the keep-alive time, and not while a request is under way", async () => {
    const { scene, client, host } = await attack({ server: { keepAliveTimeoutMs: 200 } });
    client.request(1, get(host, "/silent"));
    const inside = await scene.pod.connection(0);
    // Longer than the time by which an idle one is closed, as another one shows.
    const idle = await RawHttp2.connect(scene.router.port);
    idle.request(1, get(host));
    expect(await idle.ended()).toBe(ERROR.NO_ERROR);
    expect(client.framesOf(FRAME.GOAWAY)).toEqual([]);
    inside.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect(await client.ended()).toBe(ERROR.NO_ERROR);
    await checkServesOn(scene, 2);
  });
});

describe("clients that read slowly", () => {
  const slow = { server: { minDownloadBytesPerSecond: 1_000_000, slowClientWindowMs: 300 } };
  const big = `HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${"x".repeat(200_000)}`;

  test("a window of 0: the stream is reset, the connection goes on", async () => {
    const scene = await Scene.open(slow);
    scene.pod.answerAll((head) =>
      head.includes(" /big") ? big : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    // SETTINGS_INITIAL_WINDOW_SIZE 0.
    const client = await RawHttp2.connect(scene.router.port, Buffer.from([0, 4, 0, 0, 0, 0]));
    client.request(1, get(scene.host, "/big"));
    client.request(3, get(scene.host));
    client.write(frame(FRAME.WINDOW_UPDATE, 0, 3, uint32(100)));
    expect((await client.until(FRAME.DATA, 3)).payload.toString()).toBe("ok");
    expect(await client.reset(1)).toBe(ERROR.ENHANCE_YOUR_CALM);
    expect(client.framesOf(FRAME.DATA, 1)).toEqual([]);
    await client.roundTrip();
    await eventually(() => scene.router.records.some(({ reason }) => reason === "client_too_slow"));
    client.peer.socket.destroy();
    await checkServesOn(scene);
  });

  test("a socket that is not read: the connection is destroyed", async () => {
    const scene = await Scene.open(slow);
    scene.pod.answerAll((head) =>
      head.includes(" /big") ? big : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    const client = await RawHttp2.connect(scene.router.port, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]));
    client.write(frame(FRAME.WINDOW_UPDATE, 0, 0, uint32(0x7fff0000 - 65_535)));
    client.peer.socket.pause();
    for (let i = 0; i < 100; i++) client.request(2 * i + 1, get(scene.host, "/big"));
    await eventually(() => scene.router.server.connections.open === 0);
    expect(scene.router.records.map(({ reason }) => reason)).toContain("client_too_slow");
    client.peer.socket.destroy();
    await checkServesOn(scene, 100);
  });
});
