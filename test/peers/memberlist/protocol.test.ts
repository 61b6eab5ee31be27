import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { silentLog } from "../../../src/system/log.ts";
import { bytesOfHost, type Endpoint, endpointText } from "../../../src/peers/memberlist/endpoint.ts";
import { Memberlist, type MemberlistOptions } from "../../../src/peers/memberlist/memberlist.ts";
import { encodeMessage } from "../../../src/peers/memberlist/packet-messages.ts";
import {
  type IndirectPing,
  type MemberState,
  type Message,
  MESSAGE_TYPE,
  type Ping,
  type StreamMessage,
  type User,
} from "../../../src/peers/memberlist/messages.ts";
import { openPacket, sealPacket } from "../../../src/peers/memberlist/packet.ts";
import type { ProbeResult } from "../../../src/peers/memberlist/probe.ts";
import { type Bounds, DEFAULT_BOUNDS } from "../../../src/peers/memberlist/settings.ts";
import { StreamReader } from "../../../src/peers/memberlist/stream.ts";
import type { TransportHandler } from "../../../src/peers/memberlist/transport.ts";
import { FakeClock } from "./support/fake-clock.ts";
import { seeded } from "./support/random.ts";
import { FAST } from "./support/simulation.ts";

const plain = { label: "", keyring: undefined, compress: false };
const VERSIONS = [1, 5, 2, 0, 0, 0];
const at = (host: string, port = 7946): Endpoint => ({ host, port });
const bytes = (host: string) => bytesOfHost(host)!;
const source = (host: string, node = "a", port = 7946) => ({ addr: bytes(host), port, node });
const noSource = { addr: Buffer.alloc(0), port: 0, node: "" };
const alive = (node: string, host: string, versions = VERSIONS, incarnation = 1) =>
  ({
    kind: "alive",
    node,
    incarnation,
    addr: bytes(host),
    port: 7946,
    meta: Buffer.alloc(0),
    versions: Buffer.from(versions),
  }) as const;

/** A clock whose timers fire `byMs` later than asked, or earlier when it is negative. */
function shiftedClock(byMs: number): FakeClock {
  const clock = new FakeClock();
  const setTimeout = clock.setTimeout.bind(clock);
  clock.setTimeout = (callback, delayMs) => setTimeout(callback, delayMs + byMs);
  return clock;
}

/** One member whose network is the test. */
function begin(
  bounds: Partial<Bounds> = {},
  options: Partial<Pick<MemberlistOptions, "allows" | "changed" | "log">> = {},
  clock = new FakeClock(),
) {
  const sent: { readonly to: string; readonly packet: Buffer; readonly messages: readonly Message[] }[] = [];
  const exchanges: { readonly to: string; readonly answer: (message: StreamMessage) => void }[] = [];
  const refusals: string[] = [];
  const probes: ProbeResult[] = [];
  let handler: TransportHandler | undefined;
  const list = new Memberlist({
    self: { name: "me", ...at("10.0.0.1") },
    settings: FAST,
    bounds: { ...DEFAULT_BOUNDS, ...bounds },
    wrapping: plain,
    find: () => Promise.resolve([]),
    observer: {
      refused: (reason) => void refusals.push(reason),
      probed: (result) => void probes.push(result),
    },
    clock,
    random: seeded(1),
    log: silentLog,
    ...options,
    connect(given) {
      handler = given;
      return {
        send(packet, to) {
          const { messages, refusals } = openPacket(packet, plain, 65_536);
          expect(refusals).toEqual([]);
          sent.push({ to: endpointText(to), packet, messages });
        },
        exchange: (_, to) =>
          new Promise((resolve) => {
            exchanges.push({ to: endpointText(to), answer: resolve });
          }),
      };
    },
  });
  list.start();
  const receive = (from: Endpoint, ...messages: Exclude<Message, User>[]) =>
    handler!.packet(sealPacket(messages.map(encodeMessage), plain, false), from);
  /** What was sent since the last call. */
  const out = () => sent.splice(0).map(({ to, messages }) => `${to}: ${messages.map(wordsOf).join(", ")}`);
  const pings = () =>
    sent.flatMap(({ messages }) => messages).filter((message): message is Ping => message.kind === "ping");
  /** Waits until a member is probed, and returns the ping. All others ack meanwhile. */
  const nextPing = async (node: string): Promise<Ping> => {
    for (let i = 0; i < 1_000; i += 1) {
      const ping = pings().find((ping) => ping.node === node);
      if (ping) return ping;
      for (const { seqNo } of pings()) receive(at("10.0.0.99"), { kind: "ack", seqNo });
      sent.length = 0;
      await clock.advance(10);
    }
    throw new Error(`${node} is not probed`);
  };
  const status = (name: string) => list.members().find((member) => member.name === name)?.status;
  return {
    clock,
    list,
    sent,
    exchanges,
    refusals,
    probes,
    handler: handler!,
    receive,
    out,
    nextPing,
    status,
  };
}

function wordsOf(message: Message): string {
  if (message.kind === "user") return "user";
  return "seqNo" in message
    ? `${message.kind} ${message.seqNo}`
    : `${message.kind} ${message.node} ${message.incarnation}`;
}

describe("a ping", () => {
  test("Ping: is answered at the address that it says, on the machine that it came from", () => {
    const { receive, out } = begin();
    receive(at("10.0.0.2", 40_000), { kind: "ping", seqNo: 42, node: "me", source: source("10.0.0.2") });
    expect(out()).toEqual(["10.0.0.2:7946: ack 42"]);
  });

  test("that says no address, or another's, is answered where it came from", () => {
    const { receive, out } = begin();
    receive(at("10.0.0.2", 40_000), { kind: "ping", seqNo: 1, node: "", source: noSource });
    receive(at("10.0.0.2", 40_000), { kind: "ping", seqNo: 2, node: "me", source: source("10.9.9.9") });
    expect(out()).toEqual(["10.0.0.2:40000: ack 1", "10.0.0.2:40000: ack 2"]);
  });

  test("of a member that is reached through another address is answered at the one that is known", () => {
    const { receive, out } = begin();
    receive(at("10.0.0.2"), alive("a", "10.9.9.9"));
    receive(at("10.0.0.2", 40_000), { kind: "ping", seqNo: 2, node: "me", source: source("10.9.9.9") });
    expect(out()).toEqual(["10.9.9.9:7946: ack 2, alive a 1"]);
  });

  test("for another name is refused: an address may have changed hands", () => {
    const { receive, out, refusals } = begin();
    receive(at("10.0.0.2"), { kind: "ping", seqNo: 1, node: "before-me", source: noSource });
    expect(out()).toEqual([]);
    expect(refusals).toEqual(["wrong_node"]);
  });

  test("over a stream is acked there, or refused", () => {
    const { handler, refusals } = begin();
    const ping = (node: string) =>
      handler.stream({ kind: "ping", seqNo: 9, node, source: noSource }, at("10.0.0.2", 40_000));
    const reader = new StreamReader(plain, { maxBytes: 1_000, maxStates: 1 }, "connects");
    expect(reader.read(ping("me")!)).toEqual({ kind: "ack", seqNo: 9 });
    expect(ping("before-me")).toBeUndefined();
    expect(refusals).toEqual(["wrong_node"]);
  });

  test("of a stranger carries no gossip: it could be made to flood somebody", () => {
    const { receive, out } = begin();
    receive(at("10.0.0.2"), alive("a", "10.0.0.2"));
    receive(at("10.0.0.3"), { kind: "ping", seqNo: 1, node: "me", source: source("10.0.0.3", "stranger") });
    receive(at("10.0.0.2"), { kind: "ping", seqNo: 2, node: "me", source: source("10.0.0.2") });
    expect(out()).toEqual(["10.0.0.3:7946: ack 1", "10.0.0.2:7946: ack 2, alive a 1"]);
  });
});

describe("an indirect ping", () => {
  const request = (nack: boolean, seqNo = 77): IndirectPing => ({
    kind: "indirect_ping",
    seqNo,
    node: "b",
    target: bytes("10.0.0.3"),
    port: 7946,
    nack,
    source: source("10.0.0.2"),
  });
  function begun() {
    const member = begin();
    member.receive(at("10.0.0.2"), alive("a", "10.0.0.2"), alive("b", "10.0.0.3"));
    // What there was to gossip is gossiped.
    while (member.list.queuedBroadcasts > 0)
      member.receive(at("10.0.0.2"), { kind: "ping", seqNo: 1, node: "me", source: source("10.0.0.2") });
    member.out();
    return member;
  }

  test("pings the target by its name, and passes its ack on with the asker's number", () => {
    const { receive, sent, out } = begun();
    receive(at("10.0.0.2"), request(true));
    const [ping] = sent.splice(0);
    expect(ping).toMatchObject({ to: "10.0.0.3:7946", messages: [{ kind: "ping", node: "b" }] });
    const { seqNo } = ping!.messages[0] as Ping;
    receive(at("10.0.0.3"), { kind: "ack", seqNo });
    expect(out()).toEqual(["10.0.0.2:7946: ack 77"]);
    receive(at("10.0.0.3"), { kind: "ack", seqNo });
    expect(out()).toEqual([]);
  });

  test("that gets no ack is nacked after probeTimeoutMs, to who wants that", async () => {
    const { receive, sent, clock } = begun();
    receive(at("10.0.0.2"), request(true, 77), request(false, 78));
    await clock.advance(199);
    const answers = () =>
      sent.flatMap(({ messages }) => messages).filter(({ kind }) => kind === "nack" || kind === "ack");
    expect(answers()).toEqual([]);
    await clock.advance(1);
    expect(answers()).toEqual([{ kind: "nack", seqNo: 77 }]);
  });

  test("to an address that no member has is nacked at once, and nothing is sent there", () => {
    const { receive, out, refusals } = begun();
    receive(at("10.0.0.2"), { ...request(true), target: bytes("10.0.0.99") });
    receive(at("10.0.0.2"), { ...request(false), port: 22 });
    expect(out()).toEqual(["10.0.0.2:7946: nack 77"]);
    expect(refusals).toEqual(["unknown_target", "unknown_target"]);
  });

  test("at most maxRelays wait at a time", async () => {
    const { receive, refusals, clock } = begun();
    for (let i = 0; i < 300; i += 1) receive(at("10.0.0.2"), request(false, i));
    expect(refusals).toEqual(Array.from({ length: 44 }, () => "overloaded"));
    await clock.advance(200);
    receive(at("10.0.0.2"), request(false, 1));
    expect(refusals.length).toBe(44);
  });
});

describe("a probe", () => {
  async function probing(versions = VERSIONS) {
    const member = begin();
    for (let i = 0; i < 4; i += 1) member.receive(at("10.0.0.2"), alive(`h${i}`, `10.0.1.${i + 1}`));
    member.receive(at("10.0.0.2"), alive("b", "10.0.0.3", versions));
    return { ...member, ping: await member.nextPing("b") };
  }

  test("ProbeNode: an ack with its number ends it, any other does not", async () => {
    const { receive, ping, probes, clock } = await probing();
    const before = probes.length;
    receive(at("10.0.0.3"), { kind: "ack", seqNo: (ping.seqNo + 1) % 2 ** 32 });
    expect(probes.length).toBe(before);
    receive(at("10.0.0.3"), { kind: "ack", seqNo: ping.seqNo });
    expect(probes.slice(before)).toEqual(["acked"]);
    await clock.advance(190);
  });

  test("numbers can't be guessed from earlier ones", async () => {
    const { ping } = await probing();
    expect(ping.seqNo).toBeGreaterThan(1_000);
  });

  test("after probeTimeoutMs three others are asked, and a stream is tried", async () => {
    const { sent, exchanges, ping, clock } = await probing();
    sent.length = 0;
    await clock.advance(200);
    const asked = sent.filter(({ messages }) => messages[0]?.kind === "indirect_ping");
    expect(asked.length).toBe(3);
    for (const { to, messages } of asked) {
      expect(to).toMatch(/^10\.0\.1\./);
      expect(messages[0]).toMatchObject({
        seqNo: ping.seqNo,
        node: "b",
        target: bytes("10.0.0.3"),
        nack: true,
      });
    }
    expect(exchanges.map(({ to }) => to)).toContain("10.0.0.3:7946");
  });

  test("a stream that acks saves the member, though no packet arrives", async () => {
    const { exchanges, ping, clock, status, probes } = await probing();
    await clock.advance(200);
    exchanges.find(({ to }) => to === "10.0.0.3:7946")!.answer({ kind: "ack", seqNo: ping.seqNo });
    await clock.advance(5_000);
    expect(probes).toContain("stream");
    expect(status("b")).toBe("alive");
  });

  test("versions below 3 have no stream pings", async () => {
    const { exchanges, clock } = await probing([1, 2, 2, 0, 0, 0]);
    await clock.advance(300);
    expect(exchanges.map(({ to }) => to)).not.toContain("10.0.0.3:7946");
  });

  test("after a stall of this process an ack that waits in the socket is heard first", async () => {
    const { receive, ping, clock, status, probes } = await probing();
    const before = probes.length;
    await clock.stall(3_000);
    expect(probes.length).toBe(before);
    receive(at("10.0.0.3"), { kind: "ack", seqNo: ping.seqNo });
    expect(probes.slice(before)).toEqual(["acked"]);
    expect(status("b")).toBe("alive");
  });

  test("that took longer than the interval, for this side's health, is followed by the next at once", async () => {
    // Timers fire a little late, as they do, so the next turn comes just before the end.
    const { receive, sent, clock, list } = begin({}, {}, shiftedClock(0.7));
    receive(at("10.0.0.2"), alive("b", "10.0.0.3"));
    // Two refutations: probes take three times as long.
    for (const incarnation of [1, 2])
      receive(at("10.0.0.2"), { kind: "suspect", node: "me", incarnation, from: "a" });
    expect(list.healthScore).toBe(2);
    const atMs: number[] = [];
    for (let i = 0; i < 4_000; i += 10) {
      if (sent.splice(0).some(({ messages }) => messages[0]?.kind === "ping")) atMs.push(clock.monotonicMs());
      await clock.advance(10);
    }
    expect(atMs[1]! - atMs[0]!).toBeGreaterThanOrEqual(1_490);
    expect(atMs[1]! - atMs[0]!).toBeLessThan(1_600);
  });

  test("comes once per interval, though timers fire a little early", async () => {
    const { receive, probes, sent, clock } = begin({}, {}, shiftedClock(-0.4));
    receive(at("10.0.0.2"), alive("b", "10.0.0.3"));
    for (let i = 0; i < 10_000; i += 10) {
      for (const { messages } of sent.splice(0)) {
        const [message] = messages;
        if (message?.kind === "ping") receive(at("10.0.0.3"), { kind: "ack", seqNo: message.seqNo });
      }
      await clock.advance(10);
    }
    expect(probes.length).toBeGreaterThan(16);
    expect(probes.length).toBeLessThanOrEqual(20);
  });

  test("a suspect is told what is said of it, so that it can refute", async () => {
    const { receive, sent, clock } = begin();
    receive(at("10.0.0.2"), alive("b", "10.0.0.3"));
    receive(at("10.0.0.2"), { kind: "suspect", node: "b", incarnation: 1, from: "a" });
    await clock.advance(1_100);
    const ping = sent.find(({ messages }) => messages[0]?.kind === "ping");
    expect(ping?.to).toBe("10.0.0.3:7946");
    expect(ping?.messages[1]).toEqual({ kind: "suspect", node: "b", incarnation: 1, from: "me" });
  });

  test("a checksum goes to those who read version 5 alone", async () => {
    for (const [max, checked] of [
      [5, true],
      [4, false],
    ] as const) {
      const { receive, sent, clock } = begin();
      receive(at("10.0.0.2"), alive("b", "10.0.0.3", [1, max, 2, 0, 0, 0]));
      await clock.advance(1_100);
      const toMember = sent.filter(({ to }) => to === "10.0.0.3:7946");
      expect(toMember.length).toBeGreaterThan(0);
      for (const { packet } of toMember) expect(packet[0] === MESSAGE_TYPE.checksum).toBe(checked);
    }
  });
});

describe("a full exchange", () => {
  const state = (name: string, host: string): MemberState => {
    const { kind: _, node: __, ...rest } = alive(name, host);
    return { name, status: "alive", ...rest };
  };

  test("PushPull: answers with what was known before, and takes in the rest", () => {
    const { handler, status, receive } = begin();
    receive(at("10.0.0.2"), alive("a", "10.0.0.2"));
    const answer = handler.stream(
      { kind: "push_pull", join: true, states: [state("b", "10.0.0.3")] },
      at("10.0.0.3", 40_000),
    )!;
    const read = new StreamReader(plain, { maxBytes: 10_000, maxStates: 10 }, "connects").read(answer);
    expect(read).toMatchObject({ kind: "push_pull", join: true });
    expect(read?.kind === "push_pull" && read.states.map(({ name }) => name)).toEqual(["me", "a"]);
    expect(status("b")).toBe("alive");
  });

  test("tells what is so at that moment: a newcomer, another status, a new incarnation, and who was forgotten", async () => {
    const { handler, receive, clock, list } = begin();
    const told = () => {
      const answer = handler.stream({ kind: "push_pull", join: false, states: [] }, at("10.0.0.3", 40_000))!;
      const read = new StreamReader(plain, { maxBytes: 10_000, maxStates: 10 }, "connects").read(answer);
      return read?.kind === "push_pull"
        ? read.states.map(({ name, status, incarnation }) => `${name} ${status} ${incarnation}`)
        : [];
    };
    expect(told()).toEqual(["me alive 1"]);
    receive(at("10.0.0.2"), alive("a", "10.0.0.2"));
    expect(told()).toEqual(["me alive 1", "a alive 1"]);
    receive(at("10.0.0.2"), { kind: "suspect", node: "a", incarnation: 1, from: "b" });
    expect(told()).toEqual(["me alive 1", "a suspect 1"]);
    receive(at("10.0.0.2"), { kind: "suspect", node: "me", incarnation: 1, from: "b" });
    expect(told()).toEqual(["me alive 2", "a suspect 1"]);
    receive(at("10.0.0.2"), { kind: "dead", node: "a", incarnation: 1, from: "b" });
    expect(told()).toEqual(["me alive 2", "a dead 1"]);
    await clock.advance(32_000);
    expect(told()).toEqual(["me alive 2"]);
    list.stop();
  });

  test("VerifyProtocol: a member that nobody understands is left out, the others are taken", () => {
    const { handler, status, refusals } = begin();
    const alien = { ...state("alien", "10.0.0.9"), versions: Buffer.from([6, 9, 9, 0, 0, 0]) };
    handler.stream(
      { kind: "push_pull", join: false, states: [alien, state("b", "10.0.0.3")] },
      at("10.0.0.3"),
    );
    expect([status("alien"), status("b")]).toEqual([undefined, "alive"]);
    expect(refusals).toEqual(["incompatible"]);
  });

  test("an answer that is no exchange is no joining", () => {
    const { handler, refusals } = begin();
    expect(handler.stream({ kind: "ack", seqNo: 1 }, at("10.0.0.2"))).toBeUndefined();
    expect(handler.stream({ kind: "user" }, at("10.0.0.2"))).toBeUndefined();
    expect(refusals).toEqual(["unknown_type"]);
  });
});

describe("whatever arrives", () => {
  test("a flood is read up to the bound, and the rest dropped", async () => {
    const { receive, refusals, sent, clock } = begin({ packetsPerSecond: 100 });
    const ping: Ping = { kind: "ping", seqNo: 1, node: "me", source: noSource };
    for (let i = 0; i < 1_000; i += 1) receive(at("10.0.0.2"), ping);
    expect(sent.length).toBe(100);
    expect(refusals.length).toBe(900);
    expect(new Set(refusals)).toEqual(new Set(["flood"]));
    await clock.advance(100);
    sent.length = 0;
    for (let i = 0; i < 1_000; i += 1) receive(at("10.0.0.2"), ping);
    expect(sent.length).toBe(10);
  });

  test("streams likewise", async () => {
    const { handler, clock } = begin({ streamsPerSecond: 10, streamBurst: 40 });
    const admitted = () =>
      Array.from({ length: 100 }, () => handler.admitStream(at("10.0.0.2"))).filter(Boolean).length;
    expect(admitted()).toBe(40);
    await clock.advance(1_000);
    expect(admitted()).toBe(10);
  });

  test("invented members fill the table to its bound, and no further", () => {
    const { receive, list, refusals } = begin({ maxMembers: 50 });
    for (let i = 0; i < 500; i += 1)
      receive(at("10.0.0.2"), alive(`m${i}`, `10.1.${i >> 8}.${i & 0xff || 1}`));
    expect(list.members().length).toBe(50);
    expect(list.queuedBroadcasts).toBeLessThanOrEqual(50);
    expect(refusals.filter((reason) => reason === "full").length).toBe(451);
  });

  test("10,000 hostile packets: nothing throws, nothing grows beyond its bound, and it still answers", async () => {
    const bounds = { maxMembers: 30, packetsPerSecond: 1_000_000, maxRelays: 20 };
    const { receive, handler, list, clock, sent } = begin(bounds);
    const host = fc.nat({ max: 40 }).map((n) => `10.0.2.${n + 1}`);
    const node = fc.oneof(
      fc.nat({ max: 60 }).map((n) => `m${n}`),
      fc.constant("me"),
      fc.string({ maxLength: 20 }),
    );
    const incarnation = fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 0xffff_ffff }));
    const addr = host.map(bytes);
    const port = fc.nat({ max: 65_535 });
    const from = fc.record({ addr, port, node });
    const seqNo = fc.nat({ max: 0xffff_ffff });
    const versions = fc.oneof(
      fc.constant(Buffer.from(VERSIONS)),
      fc.uint8Array({ minLength: 6, maxLength: 6 }).map(Buffer.from),
    );
    const meta = fc.uint8Array({ maxLength: 20 }).map(Buffer.from);
    const message: fc.Arbitrary<Exclude<Message, User>> = fc.oneof(
      fc.record({ kind: fc.constant("ping" as const), seqNo, node, source: from }),
      fc.record({
        kind: fc.constant("indirect_ping" as const),
        seqNo,
        node,
        target: addr,
        port,
        nack: fc.boolean(),
        source: from,
      }),
      fc.record({ kind: fc.constantFrom("ack" as const, "nack" as const), seqNo }),
      fc.record({
        kind: fc.constantFrom("suspect" as const, "dead" as const),
        incarnation,
        node,
        from: node,
      }),
      fc.record({ kind: fc.constant("alive" as const), incarnation, node, addr, port, meta, versions }),
    );
    const packet = fc.oneof(
      {
        weight: 4,
        arbitrary: fc
          .array(message, { minLength: 1, maxLength: 5 })
          .map((messages) => sealPacket(messages.map(encodeMessage), plain, false)),
      },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map(Buffer.from) },
    );
    const hostile = fc.sample(fc.record({ packet, host, port: fc.integer({ min: 1, max: 65_535 }) }), {
      numRuns: 10_000,
      seed: 7,
    });
    for (const [i, { packet, host, port }] of hostile.entries()) {
      handler.packet(packet, { host, port });
      if (i % 50 === 0) await clock.advance(40);
      sent.length = 0;
      expect(list.members().length).toBeLessThanOrEqual(30);
      expect(list.queuedBroadcasts).toBeLessThanOrEqual(30);
      // One for each suspicion and relay, and its own few.
      expect(clock.pending).toBeLessThan(30 + 20 + 12);
    }
    expect(list.members().find(({ name }) => name === "me")?.status).toBe("alive");
    receive(at("10.0.0.2"), { kind: "ping", seqNo: 4_711, node: "me", source: noSource });
    expect(sent.at(-1)?.messages[0]).toEqual({ kind: "ack", seqNo: 4_711 });
    // What was invented dies out. The accusations made it probe as slowly as it ever does, every 4 s.
    await clock.advance(400_000);
    expect(list.members().map(({ name }) => name)).toEqual(["me"]);
    list.stop();
    expect(clock.pending).toBe(0);
  });

  test("where addresses are listed, nothing is read from others, and nobody is there", () => {
    const { receive, handler, list, refusals, out } = begin(
      {},
      { allows: (host) => host.startsWith("10.0.0.") },
    );
    receive(at("10.9.0.1"), { kind: "ping", seqNo: 1, node: "me", source: noSource });
    receive(at("10.0.0.2"), alive("b", "10.9.0.1"));
    expect(handler.admitStream(at("10.9.0.1"))).toBe(false);
    expect(refusals).toEqual(["forbidden", "forbidden", "forbidden"]);
    expect(out()).toEqual([]);
    receive(at("10.0.0.2"), alive("a", "10.0.0.2"));
    expect(handler.admitStream(at("10.0.0.2"))).toBe(true);
    expect(list.members().map(({ name }) => name)).toEqual(["me", "a"]);
  });

  test("where this side's own address is not listed, it refutes all the same", () => {
    const { receive, out } = begin({}, { allows: (host) => host === "10.0.0.2" });
    receive(at("10.0.0.2"), alive("a", "10.0.0.2"), alive("me", "10.0.0.1", VERSIONS, 7));
    receive(at("10.0.0.2"), { kind: "ping", seqNo: 1, node: "me", source: noSource });
    expect(out().join()).toContain("alive me 8");
  });

  test("a bug that a packet or stream meets is logged and counted, and is not the end", () => {
    const errors: unknown[] = [];
    const { receive, handler, refusals, out } = begin(
      {},
      {
        changed: ({ name }) => {
          if (name !== "me") throw new Error("a bug");
        },
        log: { ...silentLog, error: (_, fields) => void errors.push(fields) },
      },
    );
    receive(at("10.0.0.2"), alive("a", "10.0.0.2"));
    const { kind: _, node: __, ...rest } = alive("b", "10.0.0.3");
    const states = [{ name: "b", status: "alive" as const, ...rest }];
    expect(handler.stream({ kind: "push_pull", join: true, states }, at("10.0.0.3"))).toBeUndefined();
    expect([errors.length, refusals]).toEqual([2, ["malformed", "malformed"]]);
    receive(at("10.0.0.4"), { kind: "ping", seqNo: 1, node: "me", source: noSource });
    expect(out()).toEqual(["10.0.0.4:7946: ack 1"]);
  });

  test("before the start and after the end nothing is answered", () => {
    const { receive, handler, list, out } = begin();
    list.stop();
    receive(at("10.0.0.2"), { kind: "ping", seqNo: 1, node: "me", source: noSource });
    expect(handler.admitStream(at("10.0.0.2"))).toBe(false);
    expect(handler.stream({ kind: "push_pull", join: true, states: [] }, at("10.0.0.2"))).toBeUndefined();
    expect(out()).toEqual([]);
  });
});
