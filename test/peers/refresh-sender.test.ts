import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { Agent } from "undici";
import { expect, onTestFinished, test } from "vitest";
import { MANAGER_PACE, RefreshSender, type RefreshSenderOptions } from "../../src/peers/refresh-sender.ts";
import { systemClock } from "../../src/system/clock.ts";
import { makeRoute } from "../routes/support/timeline.ts";
import { eventually } from "../support/eventually.ts";
import { startPeerServer } from "./peer-fixture.ts";

/** A peer that records what comes, byte for byte, and answers each request with what `answer` says; undefined: never. */
interface RawPeer {
  readonly origin: string;
  readonly bodies: string[];
  readonly heads: string[];
  readonly connections: Socket[];
}

async function rawPeer(answer: (count: number, body: string) => number | undefined): Promise<RawPeer> {
  const bodies: string[] = [];
  const heads: string[] = [];
  const connections: Socket[] = [];
  const server: Server = createServer((socket) => {
    connections.push(socket);
    let text = "";
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      text += bytes.toString();
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const head = text.slice(0, end + 2);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        if (text.length < end + 4 + length) return;
        const body = text.slice(end + 4, end + 4 + length);
        text = text.slice(end + 4 + length);
        heads.push(head);
        bodies.push(body);
        const status = answer(bodies.length, body);
        if (status !== undefined) socket.write(`HTTP/1.1 ${status} Whatever\r\nContent-Length: 0\r\n\r\n`);
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of connections) socket.destroy();
    server.close();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bodies, heads, connections };
}

function senderTo(
  origins: readonly string[],
  options: Partial<RefreshSenderOptions> = {},
): { readonly sender: RefreshSender; readonly results: string[] } {
  const dispatcher = new Agent({ connections: 4 });
  onTestFinished(() => dispatcher.destroy());
  const results: string[] = [];
  const sender = new RefreshSender({
    origins: () => origins,
    dispatcher,
    ...MANAGER_PACE,
    // A busy machine is no dead peer.
    timeoutMs: 30_000,
    maxWaiting: 100,
    maxUnderWay: 4,
    sent: (result) => void results.push(result),
    clock: systemClock,
    ...options,
  });
  return { sender, results };
}

const route = (name: string, version: number, fields: object = {}) => ({
  ...makeRoute(name, version, { owner: "ada" }),
  ...fields,
});

test("the bytes are those of a manager: one line of JSON without a Content-Type, and a token only when there is one", async () => {
  const peer = await rawPeer(() => 204);
  const { sender, results } = senderTo([peer.origin]);
  sender.send(route("box", 7));
  await eventually(() => results.length === 1);
  sender.send(route("box", 8, { accessToken: "tok", requireTrafficAuth: true, state: "dead" }));
  await eventually(() => results.length === 2);
  expect(peer.bodies).toEqual([
    '{"ip":"10.0.0.1","id":"ns--box","namespace":"ns","name":"box","uid":"box-1","owner":"ada","state":"running","resourceVersion":"7"}',
    '{"ip":"10.0.0.1","id":"ns--box","namespace":"ns","name":"box","uid":"box-1","owner":"ada","state":"dead","resourceVersion":"8","accessToken":"tok","requireTrafficAuth":true}',
  ]);
  expect(peer.heads[0]).toMatch(/^POST \/refresh HTTP\/1\.1\r\n/);
  expect(peer.heads.join()).not.toMatch(/content-type/i);
  // One connection for all.
  expect(peer.connections).toHaveLength(1);
  expect(results).toEqual(["taken", "taken"]);
});

test("Lychgate's own peer port takes them, a deletion too", async () => {
  await using peer = await startPeerServer();
  const { sender, results } = senderTo([peer.url]);
  sender.send(route("box", 7));
  await eventually(() => results.length === 1);
  sender.send(route("box", 7, { state: "dead" }));
  await eventually(() => results.length === 2);
  expect(results).toEqual(["taken", "taken"]);
  expect(peer.sink.calls).toMatchObject([
    { kind: "update", route: { namespace: "ns", name: "box", ip: "10.0.0.1", resourceVersion: "7" } },
    { kind: "delete", push: { namespace: "ns", name: "box", resourceVersion: "7" } },
  ]);
});

test("no answer in time and 5xx are tried again, ten times in all; 4xx is not", async () => {
  const slow = await rawPeer((count) => (count < 3 ? undefined : 204));
  const first = senderTo([slow.origin], { timeoutMs: 100 });
  first.sender.send(route("box", 7));
  await eventually(() => first.results.length === 1 && slow.bodies.length >= 3);
  expect(first.results).toEqual(["taken"]);

  const broken = await rawPeer(() => 503);
  const second = senderTo([broken.origin]);
  second.sender.send(route("box", 7));
  await eventually(() => second.results.length === 1);
  expect(second.results).toEqual(["failed"]);
  expect(broken.bodies).toHaveLength(10);

  const refusing = await rawPeer(() => 429);
  const third = senderTo([refusing.origin]);
  third.sender.send(route("box", 7));
  await eventually(() => third.results.length === 1);
  expect(third.results).toEqual(["refused"]);
  expect(refusing.bodies).toHaveLength(1);
});

test("a peer that is gone keeps no other from its pushes, and is given up", async () => {
  const alive = await rawPeer(() => 204);
  const { sender, results } = senderTo(["http://127.0.0.1:1", alive.origin]);
  sender.send(route("box", 7));
  await eventually(() => results.length === 2);
  expect(results.toSorted()).toEqual(["failed", "taken"]);
  expect(sender.pending).toBe(0);
});

test("of one sandbox only the newest version waits, and an older one is not tried again", async () => {
  const peer = await rawPeer((_count, body) => (body.includes('"dead"') ? 204 : 503));
  const { sender, results } = senderTo([peer.origin], { tries: 1_000_000, maxUnderWay: 1 });
  sender.send(route("box", 7));
  await eventually(() => peer.bodies.length > 0);
  for (const version of [8, 9, 10]) sender.send(route("box", version));
  sender.send(route("box", 9));
  sender.send(route("box", 10, { state: "dead" }));
  await eventually(() => sender.pending === 0);
  expect(results.filter((result) => result === "taken")).toHaveLength(1);
  expect(results.filter((result) => result === "superseded")).toHaveLength(5);
  expect(peer.bodies.at(-1)).toContain('"state":"dead","resourceVersion":"10"');
});

test("what waits for one peer has a bound: the oldest goes", async () => {
  const peer = await rawPeer(() => undefined);
  const { sender, results } = senderTo([peer.origin], { maxWaiting: 10, maxUnderWay: 2 });
  for (let index = 0; index < 50; index++) sender.send(route(`box-${index}`, index + 1));
  expect(sender.pending).toBe(12);
  expect(results).toEqual(Array.from({ length: 38 }, () => "dropped"));
  sender.stop();
  sender.send(route("late", 99));
  expect(sender.pending).toBe(2);
});
