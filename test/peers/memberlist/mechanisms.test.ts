import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Awareness } from "../../../src/peers/memberlist/awareness.ts";
import { BroadcastQueue } from "../../../src/peers/memberlist/broadcast-queue.ts";
import { afterRound, DEFAULT_JOIN_POLICY, Joining } from "../../../src/peers/memberlist/joining.ts";
import { type ProbeEvent, type ProbeState, transition } from "../../../src/peers/memberlist/probe.ts";
import { LAN_SETTINGS } from "../../../src/peers/memberlist/settings.ts";
import { confirm, deadlineMs, suspect, type Suspicion } from "../../../src/peers/memberlist/suspicion.ts";
import {
  pushPullDelayMs,
  retransmitLimit,
  suspicionTimeoutMs,
} from "../../../src/peers/memberlist/timing.ts";
import { FakeClock } from "./support/fake-clock.ts";
import type { Member } from "../../../src/peers/memberlist/verdicts.ts";

describe("how times grow with the cluster (memberlist's util_test.go)", () => {
  test.each([
    [5, 1_000],
    [10, 1_000],
    [50, 1_698],
    [100, 2_000],
    [500, 2_698],
    [1_000, 3_000],
  ])("SuspicionTimeout of %i members is 3 × %i ms", (members, scaledMs) => {
    expect(suspicionTimeoutMs({ suspicionMult: 3, probeIntervalMs: 1_000 }, members)).toBe(3 * scaledMs);
  });

  test.each([
    [0, 0],
    [1, 3],
    [99, 6],
  ])("RetransmitLimit of %i members with factor 3 is %i", (members, limit) => {
    expect(retransmitLimit(3, members)).toBe(limit);
  });

  test("PushPullScale: 1 up to 32 members, 2 up to 64, 3 up to 128", () => {
    for (const [from, to, times] of [
      [0, 32, 1],
      [33, 64, 2],
      [65, 128, 3],
    ] as const) {
      for (let members = from; members <= to; members += 1)
        expect(pushPullDelayMs(1_000, members), `${members}`).toBe(times * 1_000);
    }
  });
});

describe("Suspicion", () => {
  // memberlist's suspicion_test.go: the remaining time with k = 3, min 2 s, max 30 s.
  const begun = (by: number): Suspicion => ({
    startedMs: 0,
    minMs: 2_000,
    maxMs: 30_000,
    wanted: 3,
    by: new Set(Array.from({ length: by + 1 }, (_, i) => `m${i}`)),
  });
  test.each([
    [0, 30_000],
    [1, 16_000],
    [2, 7_810],
    [3, 2_000],
    [4, 2_000],
  ])("Suspicion_remainingSuspicionTime: with %i witnesses it has until %i ms", (witnesses, untilMs) => {
    expect(deadlineMs(begun(witnesses))).toBeCloseTo(untilMs, -1);
  });

  test("Suspicion_Timer: who began it, and who confirmed it, can't confirm it again; enough is enough", () => {
    const first = suspect("a", LAN_SETTINGS, 10, 0);
    expect(first).toMatchObject({ wanted: 2, minMs: 4_000, maxMs: 24_000 });
    expect(confirm(first, "a")).toBeUndefined();
    const second = confirm(first, "b")!;
    expect(confirm(second, "b")).toBeUndefined();
    const third = confirm(second, "c")!;
    expect(deadlineMs(third)).toBe(4_000);
    expect(confirm(third, "d")).toBeUndefined();
  });

  test("Suspicion_ZeroMax: where nobody else could confirm it, the shortest time is all", () => {
    for (const members of [2, 3]) expect(deadlineMs(suspect("a", LAN_SETTINGS, members, 100))).toBe(4_100);
    expect(deadlineMs(suspect("a", LAN_SETTINGS, 4, 100))).toBe(24_100);
  });

  test("a witness never makes it longer, and never shorter than the minimum", () => {
    fc.assert(
      fc.property(fc.nat({ max: 10_000 }), fc.nat({ max: 100 }), (members, startedMs) => {
        let suspicion = suspect("w0", LAN_SETTINGS, members, startedMs);
        for (let i = 1; i < 5; i += 1) {
          const next = confirm(suspicion, `w${i}`) ?? suspicion;
          expect(deadlineMs(next)).toBeLessThanOrEqual(deadlineMs(suspicion));
          expect(deadlineMs(next) - startedMs).toBeGreaterThanOrEqual(next.minMs);
          suspicion = next;
        }
      }),
    );
  });
});

test("Awareness: the score stays from 0 to the multiplier less one, and slows probes down", () => {
  const awareness = new Awareness(8);
  const scores = [0, -10, 1, 10, -1, -1, -1, -1, -1, -1, -1, -1].map((delta) => {
    awareness.apply(delta);
    return awareness.score;
  });
  expect(scores).toEqual([0, 0, 1, 7, 6, 5, 4, 3, 2, 1, 0, 0]);
  awareness.apply(3);
  expect(awareness.scaled(1_000)).toBe(4_000);
});

describe("Probe", () => {
  const member = { name: "test" } as Member;
  const begun: ProbeState = { kind: "direct", probe: { member, seqNo: 1, deadlineMs: 1_000 } };
  const asked = (expectedNacks: number): ProbeEvent => ({ kind: "asked_others", expectedNacks });
  const ack: ProbeEvent = { kind: "ack" };
  const nack: ProbeEvent = { kind: "nack" };
  const streamAcked: ProbeEvent = { kind: "stream_acked" };
  const deadline: ProbeEvent = { kind: "deadline" };
  const over = (result: string, awarenessDelta: number) => ({ kind: "over", result, awarenessDelta });
  test.each<[string, ProbeEvent[], unknown]>([
    ["an ack in time", [ack], over("acked", -1)],
    ["an ack after others were asked", [asked(3), ack], over("late", -1)],
    ["an ack in spite of nacks", [asked(3), nack, ack], over("late", -1)],
    ["an ack over a stream alone", [asked(3), streamAcked, deadline], over("stream", -1)],
    ["an ack after that over a stream", [asked(3), streamAcked, ack], over("late", -1)],
    [
      "ProbeNode_Suspect: no answer, and all helpers say that they had none",
      [asked(2), nack, nack, deadline],
      over("failed", 0),
    ],
    ["ProbeNode_Awareness_MissedNack: a helper is silent too", [asked(2), nack, deadline], over("failed", 1)],
    ["helpers are silent: it is likely my network", [asked(3), deadline], over("failed", 3)],
    ["more nacks than were asked for", [asked(1), nack, nack, nack, deadline], over("failed", 0)],
    ["ProbeNode_Awareness_OldProtocol: nobody who could nack", [asked(0), deadline], over("failed", 1)],
    ["so late that nobody was asked", [deadline], over("failed", 1)],
    ["what comes after the end", [ack, asked(1), nack, streamAcked, deadline], over("acked", -1)],
    ["nacks that nobody asked for", [nack, streamAcked], begun],
  ])("%s", (_, events, end) => {
    expect(events.reduce(transition, begun)).toEqual(end);
  });
});

describe("TransmitLimitedQueue", () => {
  const text = (queue: BroadcastQueue, room: number, limit: number, overhead = 3) =>
    queue.take(overhead, room, limit, 255).map(String);

  test("Queue: a newer message about a member takes the place of the older", () => {
    const queue = new BroadcastQueue();
    queue.add("test", Buffer.from("1"));
    queue.add("foo", Buffer.from("2"));
    queue.add("test", Buffer.from("3"));
    expect(queue.length).toBe(2);
    expect(text(queue, 100, 1)).toEqual(["3", "2"]);
    expect(queue.length).toBe(0);
  });

  test("GetBroadcasts: no more than fits, overhead included", () => {
    const queue = new BroadcastQueue();
    for (const [i, name] of ["test", "foo", "bar", "baz"].entries())
      queue.add(name, Buffer.from(`${i}. message`));
    expect(text(queue, 48, 99)).toHaveLength(3);
    expect(text(queue, 48, 99, 0)).toHaveLength(4);
    expect(text(queue, 9, 99, 0)).toEqual([]);
    expect(queue.take(0, 1_000, 99, 2)).toHaveLength(2);
  });

  test("GetBroadcasts_Limit: each is sent as often as the limit says, the least sent first", () => {
    const queue = new BroadcastQueue();
    queue.add("old", Buffer.from("old"));
    expect(text(queue, 100, 3)).toEqual(["old"]);
    queue.add("new", Buffer.from("new"));
    expect(text(queue, 6, 3)).toEqual(["new"]);
    // Both were sent once: the newer first.
    expect(text(queue, 6, 3)).toEqual(["new"]);
    expect([text(queue, 6, 3), text(queue, 6, 3), text(queue, 6, 3), text(queue, 6, 3)]).toEqual([
      ["old"],
      ["new"],
      ["old"],
      [],
    ]);
    expect(queue.length).toBe(0);
  });

  test("among equally often sent ones the longest that fits goes first", () => {
    const queue = new BroadcastQueue();
    for (const message of ["a", "ccc", "bb"]) queue.add(message, Buffer.from(message));
    expect(text(queue, 5, 9, 0)).toEqual(["ccc", "bb"]);
  });

  test("any use keeps to the room, the limit and one message each", () => {
    const step = fc.oneof(
      fc.record({ about: fc.nat({ max: 5 }), length: fc.integer({ min: 1, max: 50 }) }),
      fc.nat({ max: 120 }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (steps, limit) => {
        const queue = new BroadcastQueue();
        const sent = new Map<Buffer, number>();
        for (const step of steps) {
          if (typeof step === "object") {
            queue.add(`${step.about}`, Buffer.alloc(step.length));
            continue;
          }
          const messages = queue.take(2, step, limit, 255);
          expect(messages.reduce((sum, { length }) => sum + length + 2, 0)).toBeLessThanOrEqual(step);
          expect(new Set(messages).size).toBe(messages.length);
          for (const message of messages) sent.set(message, (sent.get(message) ?? 0) + 1);
          expect(queue.length).toBeLessThanOrEqual(6);
        }
        expect(Math.max(0, ...sent.values())).toBeLessThanOrEqual(limit);
      }),
    );
  });
});

describe("joining for ever", () => {
  const good = { found: true, failed: 0, alone: false };
  test.each([
    ["all is well: after 15 to 30 s", good, 5, [15_000, 30_000], 0],
    ["alone for the first time: soon", { ...good, alone: true }, 0, [500, 1_000], 1],
    ["alone for long: every 5 to 10 s", { ...good, alone: true }, 50, [5_000, 10_000], 51],
    ["an address that does not answer", { ...good, failed: 1 }, 2, [2_000, 4_000], 3],
    ["an address that never answers", { ...good, failed: 1 }, 1_000, [15_000, 30_000], 1_001],
    ["no addresses to be found", { ...good, found: false }, 1, [1_000, 2_000], 2],
  ])("%s", (_, round, failures, [least = 0, most = 0], then) => {
    const at = (random: number) => afterRound(round, failures, random, DEFAULT_JOIN_POLICY);
    expect(at(0)).toEqual({ failures: then, delayMs: least });
    expect(at(0.999_999).delayMs).toBeCloseTo(most, -1);
  });
});

test("Joining: tries three at a time each address where nobody is known yet, and looks again", async () => {
  const clock = new FakeClock();
  const tried: number[] = [];
  const known = new Set([1, 4]);
  let open = 0;
  let most = 0;
  const joining = new Joining({
    find: () => Promise.resolve([1, 2, 3, 4, 5, 5, 6].map((port) => ({ host: "10.0.0.1", port }))),
    isKnown: ({ port }) => known.has(port),
    alone: () => false,
    findFailed: () => {},
    join: async ({ port }) => {
      tried.push(port);
      most = Math.max(most, ++open);
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, 100));
      open -= 1;
      // With 2 comes 6.
      known.add(port).add(6);
      return true;
    },
    clock,
    random: () => 0.5,
  });
  joining.start();
  await clock.advance(1_000);
  expect([tried, most]).toEqual([[2, 3, 5], 3]);
  known.delete(3);
  await clock.advance(30_000);
  expect(tried).toEqual([2, 3, 5, 3]);
  joining.stop();
  expect(clock.pending).toBe(0);
});
