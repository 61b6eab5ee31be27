import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { PeersView } from "../../src/admin/api-types.ts";
import { systemClock } from "../../src/system/clock.ts";
import { silentLog } from "../../src/system/log.ts";
import { Memberlist, type MemberView } from "../../src/peers/memberlist/memberlist.ts";
import { DEFAULT_BOUNDS, LAN_SETTINGS } from "../../src/peers/memberlist/settings.ts";
import { openSockets } from "../../src/peers/memberlist/sockets.ts";
import {
  type RunningMemberlist,
  startMemberlist,
  type StartOptions,
} from "../../src/peers/memberlist/start.ts";
import { startTestRouter } from "../router/support.ts";
import { eventually } from "../support/eventually.ts";
import { buildPeer, type GoPeer, NO_GO, startPeer } from "./support/memberlist-peer.ts";

// Beside hashicorp/memberlist itself, as OpenKruise's managers configure it, on loopback addresses of this test's own.

const PORT = 7946;
const settings = { ...LAN_SETTINGS, probeIntervalMs: 500, probeTimeoutMs: 200, gossipIntervalMs: 500 };
/**
 * Gossip reaches everybody with a high probability only; full exchanges bring the rest, but for a large cluster they take
 * minutes.
 */
const exchangingOften = { ...settings, pushPullIntervalMs: 5_000 };
const network = `127.${16 + (process.pid % 200)}`;
let addresses = 0;
/** An address that no other member of this run has had. */
const newAddress = () => `${network}.${++addresses >> 8}.${addresses & 0xff}`;

interface Ours extends RunningMemberlist {
  readonly name: string;
  readonly addr: string;
  readonly refusals: string[];
}

async function startOurs(
  others: () => readonly string[],
  options: Partial<StartOptions> = {},
): Promise<Ours> {
  const { name = `sg-${addresses}`, bindHost = newAddress() } = options;
  const refusals: string[] = [];
  const running = await startMemberlist({
    name,
    bindHost,
    find: () => Promise.resolve(others().map((host) => ({ host, port: PORT }))),
    settings,
    observer: { refused: (reason) => void refusals.push(reason), probed() {} },
    ...options,
  });
  onTestFinished(() => running.stop(0));
  return { ...running, name, addr: bindHost, refusals };
}

const startGo = (options: Partial<Parameters<typeof startPeer>[0]> = {}) => {
  const addr = newAddress();
  return startPeer({ name: `sm-${addresses}`, addr, port: PORT, ...options });
};

const member = ({ list }: Ours, name: string): MemberView | undefined =>
  list.members().find((member) => member.name === name);
const up = ({ list }: Pick<Ours, "list">) =>
  list
    .members()
    .filter(({ status }) => status === "alive" || status === "suspect")
    .map(({ name, host }) => `${name} ${host}`)
    .sort();

/** Waits until all of both kinds hold the same members for alive, and returns how long that took. */
async function untilAgreed(
  ours: readonly Ours[],
  peers: readonly GoPeer[],
  timeoutMs: number,
): Promise<number> {
  const started = performance.now();
  const all = [
    ...ours.map(({ name, addr }) => `${name} ${addr}`),
    ...peers.map(({ options }) => `${options.name} ${options.addr}`),
  ].sort();
  await eventually(
    async () => {
      for (const one of ours) expect(up(one)).toEqual(all);
      for (const peer of peers) expect(await peer.members()).toEqual(all);
    },
    { timeoutMs, everyMs: 20 },
  );
  return performance.now() - started;
}

const suite = NO_GO === undefined ? "memberlist beside Go's" : `memberlist beside Go's (skipped: ${NO_GO})`;

describe.skipIf(NO_GO !== undefined)(suite, () => {
  beforeAll(() => void buildPeer(), 600_000);

  test("the bytes that the unit tests compare with are what Go writes", () => {
    const file = resolve(import.meta.dirname, "../peers/memberlist/vectors.json");
    const vectors = execFileSync(buildPeer(), ["vectors"], { encoding: "utf8" });
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(JSON.parse(vectors));
  });

  const key = Buffer.alloc(32, 7);
  const oldKey = Buffer.alloc(16, 9);
  type Both = Pick<StartOptions, "label" | "keys" | "compress">;
  describe.each<[string, Both]>([
    ["as OpenKruise's managers are configured", {}],
    ["without compression", { compress: false }],
    ["with AES-256-GCM", { keys: [key] }],
    ["with two keys of different sizes and a label", { keys: [key, oldKey], label: "sandboxes" }],
  ])("%s", (_, { label = "", keys = [], compress = true }) => {
    const go = { label, keys: [...keys].map(Buffer.from), noCompress: !compress };
    test("we join, and both see each other", { timeout: 60_000 }, async () => {
      const peer = await startGo(go);
      const us = await startOurs(() => [peer.options.addr], { label, keys, compress });
      expect(await untilAgreed([us], [peer], 20_000)).toBeLessThan(20_000);
      // It stays so: probes are answered both ways, by packets.
      const from = performance.now();
      await eventually(() => performance.now() - from > 4_000);
      expect(peer.events.map(({ event }) => event)).not.toContain("leave");
      expect(member(us, peer.options.name)?.status).toBe("alive");
      expect(us.list.healthScore).toBe(0);
      expect(us.refusals).toEqual([]);
    });

    test("the other joins, and both see each other", { timeout: 60_000 }, async () => {
      const us = await startOurs(() => [], { label, keys, compress });
      const peer = await startGo({ ...go, join: [`${us.addr}:${PORT}`] });
      await untilAgreed([us], [peer], 20_000);
      expect(await eventually(() => peer.events.find(({ event }) => event === "joined"))).toMatchObject({
        joined: 1,
      });
      expect(us.refusals).toEqual([]);
    });

    test("who leaves is known to have left, both ways", { timeout: 60_000 }, async () => {
      const peer = await startGo(go);
      const us = await startOurs(() => [peer.options.addr], { label, keys, compress });
      const other = await startOurs(() => [peer.options.addr], { label, keys, compress });
      await untilAgreed([us, other], [peer], 20_000);
      await other.stop(5_000);
      await eventually(() => peer.events.some(({ event, name }) => event === "leave" && name === other.name));
      await eventually(() => member(us, other.name)?.status === "left");
      await peer.leave();
      await eventually(() => member(us, peer.options.name)?.status === "left");
    });
  });

  test("a router is a member for managers, and shows them", { timeout: 60_000 }, async () => {
    const peer = await startGo();
    const addr = newAddress();
    const router = await startTestRouter({
      source: "none",
      memberlist: { enabled: true, listen: `${addr}:${PORT}`, name: "sg-router", join: [peer.options.addr] },
    });
    onTestFinished(() => router.router.stop());
    const managers = `${peer.options.name} ${peer.options.addr}`;
    await eventually(async () => expect(await peer.members()).toEqual([`sg-router ${addr}`, managers]), {
      timeoutMs: 20_000,
    });
    const { memberlist } = (await (await fetch(`${router.adminUrl}/api/peers`)).json()) as PeersView;
    expect(memberlist?.members).toMatchObject([
      { name: peer.options.name, address: `${peer.options.addr}:${PORT}`, status: "alive" },
    ]);
    await router.router.drain();
    await eventually(() => expect(peer.events.at(-1)).toMatchObject({ event: "leave", name: "sg-router" }));
  });

  test("a key that is only read still opens", { timeout: 60_000 }, async () => {
    const peer = await startGo({ keys: [oldKey, key] });
    const us = await startOurs(() => [peer.options.addr], { keys: [key, oldKey] });
    await untilAgreed([us], [peer], 20_000);
    expect(us.refusals).toEqual([]);
  });

  test.each<[string, Partial<StartOptions>]>([
    ["key", { keys: [Buffer.alloc(32, 8)] }],
    ["label", { keys: [key], label: "b" }],
  ])("who has another %s is no member, and is counted", { timeout: 60_000 }, async (_, options) => {
    const us = await startOurs(() => [], { keys: [key], label: "a" });
    const stranger = await startOurs(() => [us.addr], options);
    const peer = await startGo({ keys: [Buffer.alloc(32, 8)], label: "c", join: [`${us.addr}:${PORT}`] });
    await eventually(() => peer.events.some(({ event, error }) => event === "joined" && error !== ""), {
      timeoutMs: 20_000,
    });
    await eventually(() => us.refusals.length >= 2);
    expect(up(us).length + up(stranger).length).toBe(2);
    expect(await peer.members()).toHaveLength(1);
  });

  test(
    "a peer that is killed is no peer any more after about three seconds",
    { timeout: 60_000 },
    async () => {
      const peer = await startGo();
      const us = await startOurs(() => [peer.options.addr]);
      await untilAgreed([us], [peer], 20_000);
      await peer.kill();
      const killed = performance.now();
      await eventually(() => member(us, peer.options.name)?.status === "suspect", { timeoutMs: 10_000 });
      await eventually(() => member(us, peer.options.name)?.status === "dead", { timeoutMs: 20_000 });
      // Half a second until its turn, half a second for the probe, two seconds of suspicion.
      expect(performance.now() - killed).toBeGreaterThan(2_000);
    },
  );

  test("we are dead for others likewise", { timeout: 60_000 }, async () => {
    const peer = await startGo();
    const us = await startOurs(() => [peer.options.addr]);
    await untilAgreed([us], [peer], 20_000);
    await us.stop(0);
    await eventually(() => peer.events.some(({ event, name }) => event === "leave" && name === us.name), {
      timeoutMs: 20_000,
    });
  });

  test("a peer that hangs is dead, and alive again when it goes on", { timeout: 90_000 }, async () => {
    const peer = await startGo();
    const us = await startOurs(() => [peer.options.addr]);
    await untilAgreed([us], [peer], 20_000);
    peer.process.kill("SIGSTOP");
    await eventually(() => member(us, peer.options.name)?.status === "dead", { timeoutMs: 20_000 });
    peer.process.kill("SIGCONT");
    await untilAgreed([us], [peer], 60_000);
  });

  test(
    "a manager that comes later and joins nobody is found: joining never ends",
    { timeout: 90_000 },
    async () => {
      const addr = newAddress();
      const us = await startOurs(() => [addr]);
      await eventually(() => up(us).length === 1);
      const peer = await startGo({ addr });
      await untilAgreed([us], [peer], 30_000);
      await peer.kill();
      await eventually(() => member(us, peer.options.name)?.status === "dead", { timeoutMs: 20_000 });
      const again = await startGo({ addr, name: "sm-another" });
      await eventually(async () => (await again.members()).length === 2, { timeoutMs: 30_000 });
    },
  );

  test(
    "a manager that comes back under its name with another IP is taken in",
    { timeout: 120_000 },
    async () => {
      const found: string[] = [];
      const startManager = async () => {
        const peer = await startGo({ name: "sm-a" });
        found.push(peer.options.addr);
        return peer;
      };
      const first = await startManager();
      const us = await startOurs(() => found);
      await untilAgreed([us], [first], 20_000);
      await first.leave();
      await first.kill();
      const second = await startManager();
      await untilAgreed([us], [second], 40_000);
      // The same without a farewell: only when it was dead for deadNodeReclaimMs.
      await second.kill();
      await eventually(() => member(us, "sm-a")?.status === "dead", { timeoutMs: 20_000 });
      const third = await startManager();
      await untilAgreed([us], [third], 60_000);
    },
  );

  test(
    "we come back under our name with another IP: at once after a farewell, else when we are forgotten",
    { timeout: 170_000 },
    async () => {
      const peer = await startGo();
      const find = () => [peer.options.addr];
      const first = await startOurs(find, { name: "sg-a" });
      await untilAgreed([first], [peer], 20_000);
      await first.stop(5_000);
      const second = await startOurs(find, { name: "sg-a" });
      await untilAgreed([second], [peer], 20_000);
      await second.stop(0);
      // memberlist remembers its dead for 30 s, and takes no other address meanwhile.
      const third = await startOurs(find, { name: "sg-a" });
      await untilAgreed([third], [peer], 120_000);
    },
  );

  test(
    "with 30 % of all packets lost, on both sides, nobody is held for dead",
    { timeout: 120_000 },
    async () => {
      const peers = [await startGo({ loss: 0.3 })];
      const first = peers[0]!;
      for (let i = 0; i < 3; i += 1)
        peers.push(await startGo({ loss: 0.3, join: [`${first.options.addr}:${PORT}`] }));
      const ours = await Promise.all(Array.from({ length: 3 }, () => startLossy(0.3, first.options.addr)));
      const all = () => Promise.all(peers.map(async (peer) => (await peer.members()).length === 7));
      await eventually(
        async () => ours.every((one) => up(one).length === 7) && (await all()).every(Boolean),
        { timeoutMs: 60_000 },
      );
      const from = performance.now();
      await eventually(() => performance.now() - from > 20_000, { timeoutMs: 30_000, everyMs: 500 });
      for (const one of ours) expect(up(one).length).toBe(7);
      for (const peer of peers) {
        expect(await peer.members()).toHaveLength(7);
        expect(peer.events.map(({ event }) => event)).not.toContain("leave");
      }
    },
  );

  test(
    "100 members, 5 of them Go's: all see all, and who is killed is gone for all",
    { timeout: 170_000 },
    async () => {
      const first = await startGo();
      const find = () => [first.options.addr];
      const ours = await Promise.all(
        Array.from({ length: 95 }, (_, i) => startOurs(find, { name: `sg-${i}`, settings: exchangingOften })),
      );
      const join = [`${first.options.addr}:${PORT}`];
      const peers = [
        first,
        ...(await Promise.all(Array.from({ length: 4 }, (_, i) => startGo({ name: `sm-${i}`, join })))),
      ];
      await untilAgreed(ours, peers, 60_000);
      const killed = peers.at(-1)!;
      await killed.kill();
      const gone = ours[0]!;
      await gone.stop(5_000);
      await untilAgreed(ours.slice(1), peers.slice(0, -1), 90_000);
    },
  );
});

/** One of ours whose packets are lost on their way out. */
async function startLossy(share: number, other: string): Promise<Pick<Ours, "list">> {
  const host = newAddress();
  const name = `sg-${addresses}`;
  const wrapping = { label: "", keyring: undefined, compress: true };
  const bounds = DEFAULT_BOUNDS;
  const clock = systemClock;
  const sockets = await openSockets({ host, port: PORT, wrapping, bounds, streamTimeoutMs: 10_000, clock });
  const list = new Memberlist({
    self: { name, host, port: PORT },
    settings: exchangingOften,
    bounds,
    wrapping,
    clock,
    find: () => Promise.resolve([{ host: other, port: PORT }]),
    observer: { refused() {}, probed() {} },
    log: silentLog,
    connect(handler) {
      const transport = sockets.connect(handler);
      return {
        send(packet, to) {
          if (Math.random() >= share) transport.send(packet, to);
        },
        exchange: (request, to, timeoutMs) => transport.exchange(request, to, timeoutMs),
      };
    },
  });
  list.start();
  onTestFinished(async () => {
    list.stop();
    await sockets.close();
  });
  return { list };
}
