import { createSocket } from "node:dgram";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/system/clock.ts";
import type { Endpoint } from "../../../src/peers/memberlist/endpoint.ts";
import { encodeMessage } from "../../../src/peers/memberlist/packet-messages.ts";
import { encodePushPull } from "../../../src/peers/memberlist/stream-messages.ts";
import { type Bounds, DEFAULT_BOUNDS } from "../../../src/peers/memberlist/settings.ts";
import { openSockets } from "../../../src/peers/memberlist/sockets.ts";
import {
  type RunningMemberlist,
  startMemberlist,
  type StartOptions,
} from "../../../src/peers/memberlist/start.ts";
import type { TransportHandler } from "../../../src/peers/memberlist/transport.ts";
import { eventually } from "../../support/eventually.ts";
import { FAST } from "./support/simulation.ts";

const plain = { label: "", keyring: undefined, compress: false };
const cleanups: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Sockets whose handler is the test. Answers a ping with an ack. */
async function open(bounds: Partial<Bounds> = {}, streamTimeoutMs = 5_000) {
  const sockets = await openSockets({
    host: "127.0.0.1",
    port: 0,
    wrapping: plain,
    bounds: { ...DEFAULT_BOUNDS, ...bounds },
    streamTimeoutMs,
    clock: systemClock,
  });
  cleanups.push(() => sockets.close());
  const refusals: string[] = [];
  const packets: { readonly packet: Buffer; readonly from: Endpoint }[] = [];
  const handler: TransportHandler = {
    packet: (packet, from) => void packets.push({ packet, from }),
    admitStream: () => true,
    stream: (message) =>
      message.kind === "ping" ? encodeMessage({ kind: "ack", seqNo: message.seqNo }) : undefined,
    refused: (reason) => void refusals.push(reason),
  };
  const transport = sockets.connect(handler);
  const endpoint = { host: "127.0.0.1", port: sockets.port };
  return { sockets, transport, endpoint, refusals, packets };
}

function dial({ host, port }: Endpoint): Promise<Socket> {
  const socket = connect({ host, port });
  socket.on("error", () => {});
  cleanups.push(() => void socket.destroy());
  return new Promise((resolve) => socket.once("connect", () => resolve(socket)));
}

const ping = encodeMessage({
  kind: "ping",
  seqNo: 5,
  node: "",
  source: { addr: Buffer.alloc(0), port: 0, node: "" },
});
const ended = (socket: Socket) => new Promise<void>((resolve) => socket.once("close", () => resolve()));

describe("streams", () => {
  test("a message in single bytes is read and answered", async () => {
    const { endpoint, transport } = await open();
    await expect(transport.exchange(ping, endpoint, 5_000)).resolves.toEqual({ kind: "ack", seqNo: 5 });
    const socket = await dial(endpoint);
    socket.setNoDelay(true);
    const answer: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => answer.push(chunk));
    for (const byte of ping) socket.write(Uint8Array.of(byte));
    await ended(socket);
    expect(Buffer.concat(answer)).toEqual(encodeMessage({ kind: "ack", seqNo: 5 }));
  });

  test("one that says nothing is closed in its time, and one that stops is counted", async () => {
    const { endpoint, refusals } = await open({}, 200);
    const silent = await dial(endpoint);
    silent.resume();
    await ended(silent);
    const slow = await dial(endpoint);
    slow.resume();
    slow.write(ping.subarray(0, 5));
    await ended(slow);
    expect(refusals).toEqual(["incomplete", "incomplete"]);
  });

  test("a health check that connects and leaves is nothing to complain about", async () => {
    const { endpoint, refusals, transport } = await open();
    (await dial(endpoint)).end();
    await transport.exchange(ping, endpoint, 5_000);
    const cut = await dial(endpoint);
    cut.end(ping.subarray(0, 5));
    await eventually(() => refusals.length > 0);
    expect(refusals).toEqual(["incomplete"]);
  });

  test("garbage and endless streams are cut, and the next is served", async () => {
    const { endpoint, refusals, transport } = await open({ maxStreamBytes: 100_000 });
    const garbage = await dial(endpoint);
    garbage.resume();
    garbage.write("GET / HTTP/1.1\r\n\r\n");
    await ended(garbage);
    const endless = await dial(endpoint);
    endless.resume();
    // A push/pull whose application state never ends.
    const head = encodePushPull(false, []);
    head[head.length - 1] = 0xce;
    endless.write(Buffer.concat([head, Buffer.from([0xff, 0xff, 0xff, 0xff])]));
    const more = setInterval(() => endless.write(Buffer.alloc(20_000)), 1);
    await ended(endless);
    clearInterval(more);
    expect(refusals).toEqual(["unknown_type", "too_large"]);
    await expect(transport.exchange(ping, endpoint, 5_000)).resolves.toMatchObject({ kind: "ack" });
  });

  test("all streams together hold no more than 32 MiB, and at most 128 are open", async () => {
    const { endpoint, refusals, transport } = await open({ maxStreamBytes: 4 * 1024 * 1024 });
    const head = encodePushPull(false, []);
    head[head.length - 1] = 0xce;
    const start = Buffer.concat([head, Buffer.from([0, 0x3f, 0, 0]), Buffer.alloc(3_000_000)]);
    const sockets = await Promise.all(Array.from({ length: 20 }, () => dial(endpoint)));
    for (const socket of sockets) socket.resume().write(start);
    await eventually(() => refusals.includes("overloaded"), { timeoutMs: 15_000 });
    for (const socket of sockets) socket.destroy();
    await eventually(async () => (await transport.exchange(ping, endpoint, 5_000)).kind === "ack");
    refusals.length = 0;
    const many = await Promise.all(Array.from({ length: 140 }, () => dial(endpoint)));
    await eventually(() => refusals.filter((reason) => reason === "overloaded").length >= 12);
    for (const socket of many) socket.destroy();
    await eventually(async () => (await transport.exchange(ping, endpoint, 5_000)).kind === "ack");
  });

  test("an exchange fails when nobody answers, when it is refused, and when the answer is garbage", async () => {
    const { transport, refusals } = await open();
    const answers: ((socket: Socket) => void)[] = [
      () => {},
      (socket) => socket.end("HTTP/1.1 400"),
      (socket) => socket.destroy(),
    ];
    for (const answer of answers) {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        cleanups.push(() => void socket.destroy());
        answer(socket);
      });
      await new Promise<void>((resolve) => void server.listen({ host: "127.0.0.1", port: 0 }, resolve));
      const { port } = server.address() as AddressInfo;
      await expect(transport.exchange(ping, { host: "127.0.0.1", port }, 200)).rejects.toThrow(
        "exchanging with",
      );
      server.close();
    }
    await expect(transport.exchange(ping, { host: "127.0.0.1", port: 1 }, 5_000)).rejects.toThrow(
      "ECONNREFUSED",
    );
    expect(refusals).toEqual(["incomplete", "unknown_type"]);
  });

  test("a closed transport fails at once, and its port is free", async () => {
    const { sockets, transport, endpoint } = await open();
    const open1 = await dial(endpoint);
    await Promise.all([sockets.close(), ended(open1)]);
    await expect(transport.exchange(ping, endpoint, 5_000)).rejects.toThrow("closed");
    transport.send(ping, endpoint);
    const again = await openSockets({
      host: "127.0.0.1",
      port: endpoint.port,
      wrapping: plain,
      bounds: DEFAULT_BOUNDS,
      streamTimeoutMs: 1_000,
      clock: systemClock,
    });
    await again.close();
  });

  test.each(["UDP", "TCP"])("a port that is taken for %s is told", async (kind) => {
    const udp = createSocket("udp4");
    const tcp = createServer();
    const port = await new Promise<number>((resolve) => {
      if (kind === "UDP") udp.bind({ address: "127.0.0.1", port: 0 }, () => resolve(udp.address().port));
      else tcp.listen({ host: "127.0.0.1", port: 0 }, () => resolve((tcp.address() as AddressInfo).port));
    });
    const bounds = DEFAULT_BOUNDS;
    const opening = openSockets({
      host: "127.0.0.1",
      port,
      wrapping: plain,
      bounds,
      streamTimeoutMs: 1_000,
      clock: systemClock,
    });
    await expect(opening).rejects.toThrow(`listening for members on 127.0.0.1:${port} failed`);
    tcp.close();
    if (kind === "UDP") udp.close();
  });
});

describe("packets", () => {
  test("arrive with their sender, empty and largest ones too, and sending to nowhere does no harm", async () => {
    const { transport, endpoint, packets } = await open();
    const other = await open();
    for (const size of [0, 1, 1_400, 65_507]) {
      other.transport.send(Buffer.alloc(size, 7), endpoint);
      await eventually(() => packets.at(-1)?.packet.length === size);
    }
    expect(packets.at(-1)?.from).toEqual(other.endpoint);
    transport.send(Buffer.alloc(70_000), endpoint);
    transport.send(ping, { host: "127.0.0.1", port: 1 });
    transport.send(ping, { host: "::1", port: 7946 });
    transport.send(ping, { host: "255.255.255.255", port: 7946 });
    await sleep(20);
    other.transport.send(ping, endpoint);
    await eventually(() => packets.at(-1)?.packet.equals(ping) === true);
  });
});

describe("members on real sockets", () => {
  const running: RunningMemberlist[] = [];
  async function start(options: Partial<StartOptions> = {}) {
    const member = await startMemberlist({
      name: `m${running.length + 1}`,
      bindHost: "127.0.0.1",
      bindPort: 0,
      find: () => Promise.resolve(running.map(({ port }) => ({ host: "127.0.0.1", port }))),
      settings: FAST,
      ...options,
    });
    running.push(member);
    cleanups.push(() => member.stop(0));
    return member;
  }
  const statuses = ({ list }: RunningMemberlist) =>
    list
      .members()
      .map(({ name, status }) => `${name} ${status}`)
      .sort();

  test.each<[string, Partial<StartOptions>]>([
    ["plain", { compress: false }],
    ["compressed", {}],
    ["labelled and encrypted", { label: "x", keys: [Buffer.alloc(32, 1)] }],
  ])("%s: they meet, probe each other, and part", async (_, options) => {
    running.length = 0;
    let acked = 0;
    const refusals: string[] = [];
    const observer = { refused: (reason: string) => void refusals.push(reason), probed: () => void acked++ };
    const one = await start({ ...options, observer });
    const two = await start({ ...options, observer });
    await eventually(() => statuses(one).length === 2 && statuses(two).length === 2);
    await eventually(() => acked >= 4);
    await two.stop(5_000);
    await eventually(() => statuses(one).includes("m2 left"));
    expect(refusals).toEqual([]);
  });

  test("an address that others can't reach, a key and a label of a wrong length are told", async () => {
    running.length = 0;
    await expect(start({ bindHost: "0.0.0.0" })).rejects.toThrow("others can't reach 0.0.0.0");
    await expect(start({ advertiseHost: "example.com" })).rejects.toThrow("others can't reach example.com");
    await expect(start({ keys: [Buffer.alloc(5)] })).rejects.toThrow("key 1 has 5 bytes");
    await expect(start({ label: "x".repeat(256) })).rejects.toThrow("the label has more than 255 bytes");
  });
});
