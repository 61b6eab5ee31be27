import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/system/clock.ts";
import { type DevCluster, startDevCluster } from "../../../lab/devcluster/cluster.ts";
import type { PushedRoute } from "../../../lab/devcluster/pushed-route.ts";
import { type PushFaults, Pusher, type PushReport } from "../../../lab/devcluster/pusher.ts";
import { seededRandom } from "../../../lab/devcluster/random.ts";
import { eventually } from "../../support/eventually.ts";

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of cleanUp.splice(0).reverse()) await end();
});

type Seen = { method?: string; url?: string; headers: IncomingMessage["headers"]; body: string };

/** A peer that keeps what it gets and answers as `answer` says (default 204). */
async function startPeer(
  answer: (attempt: number, response: ServerResponse) => void = (_, response) =>
    response.writeHead(204).end(),
): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
      answer(seen.length, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUp.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function makePusher(
  peers: string[],
  faults: Partial<PushFaults> = {},
): { pusher: Pusher; reports: PushReport[] } {
  const reports: PushReport[] = [];
  const onPushed = (report: PushReport): void => void reports.push(report);
  const pusher = new Pusher({
    clock: systemClock,
    random: seededRandom(7),
    peers,
    faults,
    onPushed,
    timeoutMs: 1000,
  });
  cleanUp.push(() => pusher.stop());
  return { pusher, reports };
}

const route = (resourceVersion: string, more: Partial<PushedRoute> = {}): PushedRoute => ({
  ip: "10.0.0.1",
  id: "short",
  namespace: "ns",
  name: "sandbox",
  uid: "u",
  owner: "o",
  state: "running",
  resourceVersion,
  accessToken: "",
  requireTrafficAuth: false,
  ...more,
});
const versions = (seen: Seen[]): string[] => seen.map(({ body }) => JSON.parse(body).resourceVersion);

describe("the wire", () => {
  it("is POST /refresh with one JSON object and no Content-Type", async () => {
    const peer = await startPeer();
    const { pusher, reports } = makePusher([peer.url]);
    pusher.push(route("42", { accessToken: "secret", requireTrafficAuth: true }));
    await eventually(() => reports.length === 1);
    expect(peer.seen[0]).toMatchObject({ method: "POST", url: "/refresh" });
    expect(peer.seen[0]?.headers).not.toHaveProperty("content-type");
    expect(peer.seen[0]?.body).toBe(
      '{"ip":"10.0.0.1","id":"short","namespace":"ns","name":"sandbox","uid":"u","owner":"o","state":"running","resourceVersion":"42","accessToken":"secret","requireTrafficAuth":true}',
    );
    expect(reports[0]).toMatchObject({ peer: peer.url, why: "on-time", status: 204, attempts: 1 });
  });

  it("leaves out what is empty, but never the other six fields", async () => {
    const peer = await startPeer();
    const { pusher } = makePusher([peer.url]);
    pusher.push(route("1", { ip: "", id: "", namespace: "", name: "", uid: "", owner: "", state: "" }));
    await eventually(() => peer.seen.length === 1);
    expect(peer.seen[0]?.body).toBe('{"ip":"","id":"","uid":"","owner":"","state":"","resourceVersion":"1"}');
  });
});

describe("delivery", () => {
  it("goes to every peer, and one that is away holds up no other", async () => {
    const peers = [await startPeer(), await startPeer()];
    const { pusher, reports } = makePusher([...peers.map(({ url }) => url), "http://127.0.0.1:1"]);
    pusher.push(route("1"));
    await eventually(() => reports.length === 3);
    expect(peers.map(({ seen }) => seen.length)).toEqual([1, 1]);
    expect(reports.find(({ peer }) => peer.endsWith(":1"))).toMatchObject({
      status: undefined,
      attempts: 10,
    });
  });

  it("is tried again after 5xx, not after 4xx", async () => {
    const flaky = await startPeer((attempt, response) => response.writeHead(attempt < 3 ? 503 : 204).end());
    const refusing = await startPeer((_, response) =>
      response.writeHead(400).end("invalid route refresh payload\n"),
    );
    const { pusher, reports } = makePusher([flaky.url, refusing.url]);
    pusher.push(route("1"));
    await eventually(() => reports.length === 2);
    expect(reports.find(({ peer }) => peer === flaky.url)).toMatchObject({ status: 204, attempts: 3 });
    expect(reports.find(({ peer }) => peer === refusing.url)).toMatchObject({ status: 400, attempts: 1 });
  });

  it("gives an attempt up when the peer does not answer in time", async () => {
    const peer = await startPeer((attempt, response) => void (attempt > 1 && response.writeHead(204).end()));
    const { pusher, reports } = makePusher([peer.url]);
    pusher.push(route("1"));
    await eventually(() => reports.length === 1);
    expect(reports[0]).toMatchObject({ status: 204 });
    expect(reports[0]?.attempts).toBeGreaterThan(1);
  });
});

describe("faults", () => {
  it("twice: the same push comes again later", async () => {
    const peer = await startPeer();
    const { pusher } = makePusher([peer.url], { twice: 1, lateMs: 5 });
    pusher.push(route("1"));
    await eventually(() => peer.seen.length === 2);
    expect(versions(peer.seen)).toEqual(["1", "1"]);
  });

  it("reordered: a push comes after the next one", async () => {
    const peer = await startPeer();
    const { pusher, reports } = makePusher([peer.url], { reordered: 1 });
    pusher.push(route("1"));
    pusher.setFaults({ reordered: 0 });
    pusher.push(route("2"));
    await pusher.settled();
    expect(versions(peer.seen).sort()).toEqual(["1", "2"]);
    expect(reports.find(({ why }) => why === "reordered")?.route.resourceVersion).toBe("1");
  });

  it("stale: an older push of the sandbox comes after its deletion", async () => {
    const peer = await startPeer();
    const { pusher } = makePusher([peer.url], { stale: 1, lateMs: 50 });
    pusher.push(route("1"));
    pusher.push(route("2", { state: "dead" }));
    await eventually(() => peer.seen.length === 3);
    expect(JSON.parse(peer.seen[2]?.body ?? "")).toMatchObject({ resourceVersion: "1", state: "running" });
  });

  it("endsOnTime: with all faults at once, what ends a route is still sent at once, and a stale push follows", async () => {
    const peer = await startPeer();
    const { pusher, reports } = makePusher([peer.url], {
      lost: 1,
      late: 1,
      reordered: 1,
      stale: 1,
      lateMs: 5,
      endsOnTime: true,
    });
    pusher.push(route("1"));
    pusher.push(route("2", { state: "paused" }));
    pusher.push(route("3", { state: "dead" }));
    await eventually(() => reports.filter(({ why }) => why === "on-time").length === 2);
    await pusher.settled();
    const onTime = reports.filter(({ why }) => why === "on-time").map(({ route }) => route.resourceVersion);
    expect(onTime.sort()).toEqual(["2", "3"]);
    expect(reports.filter(({ why }) => why === "stale").length).toBe(2);
  });

  it("lost, late: never, or later", async () => {
    const peer = await startPeer();
    const { pusher, reports } = makePusher([peer.url], { lost: 1 });
    pusher.push(route("1"));
    pusher.setFaults({ lost: 0, late: 1, lateMs: 5 });
    pusher.push(route("2"));
    await pusher.settled();
    expect(versions(peer.seen)).toEqual(["2"]);
    expect(reports[0]?.why).toBe("late");
  });
});

describe("the sandbox-manager", () => {
  it("pushes claim, pause, resume and delete, the last as dead at the version it had", async () => {
    const peer = await startPeer();
    const fast = { minMs: 1, maxMs: 5 };
    const cluster: DevCluster = await startDevCluster({
      pods: { firstIp: "127.71.3.1", ipCount: 8 },
      delays: { start: fast, pause: fast, end: fast, notice: fast },
      pools: [{ namespace: "ns", name: "code", size: 1 }],
      push: { peers: [peer.url], timeoutMs: 1000 },
    });
    cleanUp.push(() => cluster.stop());
    const { namespace, name, uid } = (await cluster.claim({ owner: "ada", id: "x1", accessToken: "t" }))
      .metadata;
    await eventually(() => peer.seen.length === 1);
    await cluster.pause(namespace, name);
    await eventually(() => peer.seen.length === 2);
    await eventually(() => cluster.controller.podOf(namespace, name) === undefined);
    await cluster.resume(namespace, name);
    await eventually(() => peer.seen.length === 3);
    const before = cluster.store.get(namespace, name);
    await cluster.remove(namespace, name);
    await eventually(() => peer.seen.length === 4);
    const pushes = peer.seen.map(({ body }) => JSON.parse(body) as PushedRoute);
    expect(pushes.map(({ state }) => state)).toEqual(["running", "paused", "running", "dead"]);
    expect(pushes.every((push) => push.uid === uid && push.id === "x1" && push.accessToken === "t")).toBe(
      true,
    );
    expect(pushes[3]?.resourceVersion).toBe(before?.metadata.resourceVersion);
    const numbers = pushes.map(({ resourceVersion }) => Number(resourceVersion));
    expect(numbers.slice(0, 3)).toEqual(numbers.slice(0, 3).toSorted((a, b) => a - b));
  });
});
