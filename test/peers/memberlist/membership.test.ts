import { describe, expect, test } from "vitest";
import { Awareness } from "../../../src/peers/memberlist/awareness.ts";
import { BroadcastQueue } from "../../../src/peers/memberlist/broadcast-queue.ts";
import { bytesOfHost } from "../../../src/peers/memberlist/endpoint.ts";
import { Membership } from "../../../src/peers/memberlist/membership.ts";
import type { Alive, MemberState, MemberStatus } from "../../../src/peers/memberlist/messages.ts";
import { decodeMessage } from "../../../src/peers/memberlist/packet-messages.ts";
import { LAN_SETTINGS, type ProtocolSettings } from "../../../src/peers/memberlist/settings.ts";
import { FakeClock } from "./support/fake-clock.ts";
import { seeded } from "./support/random.ts";

// The names are those of hashicorp/memberlist's own tests (state_test.go), where it has one.

const VERSIONS = Buffer.from([1, 5, 2, 0, 0, 0]);
const bytes = (host: string) => bytesOfHost(host)!;

function alive(node: string, incarnation = 1, other: Partial<Alive> & { host?: string } = {}): Alive {
  const { host = "10.0.0.2", ...rest } = other;
  return {
    kind: "alive",
    node,
    incarnation,
    addr: bytes(host),
    port: 7946,
    meta: Buffer.alloc(0),
    versions: VERSIONS,
    ...rest,
  };
}
const suspect = (node: string, incarnation = 1, from = "x") =>
  ({ kind: "suspect", node, incarnation, from }) as const;
const dead = (node: string, incarnation = 1, from = "x") =>
  ({ kind: "dead", node, incarnation, from }) as const;

function begin(settings: Partial<ProtocolSettings> = {}, maxMembers = 100) {
  const clock = new FakeClock();
  const queue = new BroadcastQueue();
  const changes: string[] = [];
  const refusals: string[] = [];
  const awareness = new Awareness(8);
  const membership = new Membership({
    self: { name: "me", host: "10.0.0.1", port: 7946 },
    settings: { ...LAN_SETTINGS, ...settings },
    maxMembers,
    clock,
    random: seeded(1),
    queue,
    awareness,
    allows: () => true,
    changed: ({ name, status }, before) =>
      void changes.push(`${name} ${before?.status ?? "new"} → ${status}`),
    refused: (reason) => void refusals.push(reason),
  });
  changes.length = 0;
  /** What is to be gossiped, and forgotten with this call. */
  const gossip = () =>
    queue.take(2, 100_000, 1, 255).map((message) => {
      const decoded = decodeMessage(message);
      if (decoded.kind !== "alive" && decoded.kind !== "suspect" && decoded.kind !== "dead")
        return decoded.kind;
      const from = decoded.kind === "alive" ? "" : ` by ${decoded.from}`;
      return `${decoded.kind} ${decoded.node} ${decoded.incarnation}${from}`;
    });
  const status = (name: string) => membership.get(name)?.status;
  gossip();
  return { clock, queue, changes, refusals, awareness, membership, gossip, status };
}

describe("AliveNode", () => {
  test("AliveNode_NewNode: it joins, and everybody is told", () => {
    const { membership, changes, gossip } = begin();
    membership.alive(alive("test"));
    expect(membership.get("test")).toMatchObject({
      host: "10.0.0.2",
      port: 7946,
      status: "alive",
      incarnation: 1,
    });
    expect(changes).toEqual(["test new → alive"]);
    expect(gossip()).toEqual(["alive test 1"]);
  });

  test("AliveNode_Idempotent: the same again changes nothing, a newer incarnation is gossiped on", () => {
    const { membership, changes, gossip } = begin();
    membership.alive(alive("test"));
    membership.alive(alive("test"));
    expect(gossip()).toEqual(["alive test 1"]);
    membership.alive(alive("test", 2));
    expect(gossip()).toEqual(["alive test 2"]);
    expect(changes).toEqual(["test new → alive"]);
  });

  test("AliveNode_SuspectNode: only a newer incarnation ends a suspicion", async () => {
    const { membership, status, gossip, clock } = begin();
    membership.alive(alive("test"));
    membership.suspect(suspect("test"));
    membership.alive(alive("test", 1));
    expect(status("test")).toBe("suspect");
    gossip();
    membership.alive(alive("test", 2));
    expect(status("test")).toBe("alive");
    expect(gossip()).toEqual(["alive test 2"]);
    await clock.advance(1_000_000);
    expect(status("test")).toBe("alive");
  });

  test("AliveNode_ChangeMeta: tells of new metadata", () => {
    const { membership, changes } = begin();
    membership.alive(alive("test"));
    membership.alive(alive("test", 2, { meta: Buffer.from("new") }));
    expect(membership.get("test")?.meta.toString()).toBe("new");
    expect(changes).toEqual(["test new → alive", "test alive → alive"]);
  });

  test.each<MemberStatus>(["alive", "suspect"])(
    "AliveNode_Conflict: a name that is %s stays where it is",
    (was) => {
      const { membership, refusals } = begin();
      membership.alive(alive("test"));
      if (was === "suspect") membership.suspect(suspect("test"));
      membership.alive(alive("test", 9, { host: "10.0.0.3" }));
      membership.alive(alive("test", 9, { port: 8000 }));
      expect(membership.get("test")).toMatchObject({ host: "10.0.0.2", port: 7946, status: was });
      expect(refusals).toEqual(["conflict", "conflict"]);
    },
  );

  test("AliveNode_Refute: what is said wrongly of me is put right, with a higher incarnation", () => {
    const { membership, gossip, awareness, changes } = begin();
    const own = { host: "10.0.0.1" };
    membership.alive(alive("me", 1, own));
    expect(gossip()).toEqual([]);
    membership.alive(alive("me", 1, { ...own, meta: Buffer.from("foo") }));
    expect(gossip()).toEqual(["alive me 2"]);
    membership.alive(alive("me", 7, own));
    expect(gossip()).toEqual(["alive me 8"]);
    expect(membership.get("me")?.meta.length).toBe(0);
    expect(awareness.score).toBe(2);
    expect(changes).toEqual([]);
  });

  test("AliveNode_Self: an older one about me is left out; my name elsewhere is a conflict", () => {
    const { membership, gossip, refusals } = begin();
    membership.suspect(suspect("me"));
    gossip();
    membership.alive(alive("me", 1, { host: "10.0.0.1", meta: Buffer.from("old") }));
    expect(gossip()).toEqual([]);
    membership.alive(alive("me", 99));
    expect(refusals).toEqual(["conflict"]);
    expect(gossip()).toEqual([]);
  });

  test("without a port it has mine", () => {
    const { membership } = begin();
    membership.alive(alive("test", 1, { port: 0 }));
    expect(membership.at({ host: "10.0.0.2", port: 7946 })?.name).toBe("test");
  });

  test.each<[string, number[]]>([
    ["whose versions are zero", [0, 0, 0, 0, 0, 0]],
    ["that needs at least version 3", [3, 5, 3, 0, 0, 0]],
    ["that reads version 1 only", [1, 1, 1, 0, 0, 0]],
    ["that speaks a version of the future", [1, 9, 6, 0, 0, 0]],
    ["whose versions are upside down", [5, 1, 2, 0, 0, 0]],
    ["whose application speaks another version", [1, 5, 2, 1, 2, 2]],
  ])("a member %s is none", (_, versions) => {
    const { membership, refusals } = begin();
    membership.alive(alive("test", 1, { versions: Buffer.from(versions) }));
    expect(membership.get("test")).toBeUndefined();
    expect(refusals).toEqual(["incompatible"]);
  });

  test.each([
    "0.0.0.0",
    "224.0.0.251",
    "255.255.255.255",
    "::",
    "ff02::1",
    "127.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
  ])("a member at %s is none", (host) => {
    const { membership, refusals } = begin();
    membership.alive(alive("test", 1, { host }));
    expect(membership.get("test")).toBeUndefined();
    expect(refusals).toEqual(["bad_address"]);
  });

  test("the table is bounded: one more is refused until a dead one is forgotten", async () => {
    const { membership, refusals, clock, queue } = begin({}, 3);
    membership.alive(alive("a"));
    membership.alive(alive("b", 1, { host: "10.0.0.3" }));
    membership.alive(alive("c", 1, { host: "10.0.0.4" }));
    expect(refusals).toEqual(["full"]);
    membership.alive(alive("b", 2, { host: "10.0.0.3" }));
    expect(membership.get("b")?.incarnation).toBe(2);
    membership.dead(dead("a"));
    await clock.advance(30_001);
    expect(queue.has("a")).toBe(true);
    while (membership.get("a")) membership.nextToProbe();
    expect(queue.has("a")).toBe(false);
    membership.alive(alive("c", 1, { host: "10.0.0.4" }));
    expect(membership.get("c")?.status).toBe("alive");
  });
});

describe("SuspectNode", () => {
  test("SuspectNode_NoNode: a stranger stays one", () => {
    const { membership, gossip } = begin();
    membership.suspect(suspect("test"));
    expect(membership.size).toBe(1);
    expect(gossip()).toEqual([]);
  });

  test("SuspectNode: it is dead when the time is over, and everybody is told twice", async () => {
    const { membership, status, gossip, changes, clock } = begin();
    membership.alive(alive("test"));
    gossip();
    membership.suspect(suspect("test"));
    expect(status("test")).toBe("suspect");
    expect(gossip()).toEqual(["suspect test 1 by x"]);
    // suspicionMult 4 × 1 s, and nobody else is there to confirm it.
    await clock.advance(3_999);
    expect(status("test")).toBe("suspect");
    await clock.advance(1);
    expect(status("test")).toBe("dead");
    expect(gossip()).toEqual(["dead test 1 by me"]);
    expect(changes).toEqual(["test new → alive", "test alive → suspect", "test suspect → dead"]);
  });

  test("SuspectNode_DoubleSuspect: the same again does not begin anew", async () => {
    const { membership, status, gossip, clock } = begin();
    membership.alive(alive("test"));
    membership.suspect(suspect("test"));
    gossip();
    await clock.advance(3_000);
    membership.suspect(suspect("test"));
    expect(gossip()).toEqual([]);
    await clock.advance(1_000);
    expect(status("test")).toBe("dead");
  });

  test("SuspectNode_OldSuspect: an older incarnation is left out", () => {
    const { membership, status, gossip } = begin();
    membership.alive(alive("test", 10));
    gossip();
    membership.suspect(suspect("test", 1));
    expect(status("test")).toBe("alive");
    expect(gossip()).toEqual([]);
  });

  test("SuspectNode_Refute: I am not suspect, and say so", () => {
    const { membership, status, gossip, awareness } = begin();
    membership.suspect(suspect("me", 5));
    expect(status("me")).toBe("alive");
    expect(gossip()).toEqual(["alive me 6"]);
    expect(awareness.score).toBe(1);
  });

  test("witnesses shorten it, and each is gossiped once", async () => {
    const { membership, status, gossip, clock } = begin();
    for (const [i, name] of ["test", "a", "b", "c"].entries())
      membership.alive(alive(name, 1, { host: `10.0.0.${i + 2}` }));
    membership.suspect(suspect("test", 1, "a"));
    gossip();
    // max 24 s; after one witness 24 - 20 × log(2)/log(3) = 11.38 s; after two 4 s.
    await clock.advance(5_000);
    membership.suspect(suspect("test", 1, "b"));
    expect(gossip()).toEqual(["suspect test 1 by b"]);
    membership.suspect(suspect("test", 1, "b"));
    expect(gossip()).toEqual([]);
    await clock.advance(6_000);
    expect(status("test")).toBe("suspect");
    membership.suspect(suspect("test", 1, "c"));
    await clock.advance(0);
    expect(status("test")).toBe("dead");
  });

  test("after a stall of this process a suspect has a moment more: its refutation may wait in the socket", async () => {
    const { membership, status, clock } = begin();
    membership.alive(alive("test"));
    membership.suspect(suspect("test"));
    await clock.stall(10_000);
    expect(status("test")).toBe("suspect");
    membership.alive(alive("test", 2));
    await clock.advance(10_000);
    expect(status("test")).toBe("alive");
  });
});

describe("DeadNode", () => {
  test("DeadNode_NoNode: a stranger stays one", () => {
    const { membership, gossip } = begin();
    membership.dead(dead("test"));
    expect(membership.size).toBe(1);
    expect(gossip()).toEqual([]);
  });

  test("DeadNode: it is dead at once", () => {
    const { membership, status, gossip } = begin();
    membership.alive(alive("test"));
    gossip();
    membership.dead(dead("test"));
    expect(status("test")).toBe("dead");
    expect(gossip()).toEqual(["dead test 1 by x"]);
  });

  test("DeadNodeLeft: who says it of himself has left, and may come back anywhere at once", () => {
    const { membership, status } = begin();
    membership.alive(alive("test"));
    membership.dead(dead("test", 1, "test"));
    expect(status("test")).toBe("left");
    membership.alive(alive("test", 3, { host: "10.0.0.9", port: 9 }));
    expect(membership.get("test")).toMatchObject({
      host: "10.0.0.9",
      port: 9,
      status: "alive",
      incarnation: 3,
    });
    expect(membership.at({ host: "10.0.0.2", port: 7946 })).toBeUndefined();
  });

  test("DeadNode_Double: the same again is not gossiped again", () => {
    const { membership, gossip } = begin();
    membership.alive(alive("test"));
    membership.dead(dead("test"));
    gossip();
    membership.dead(dead("test", 1, "test"));
    expect(membership.get("test")?.status).toBe("dead");
    expect(gossip()).toEqual([]);
  });

  test("DeadNode_OldDead: an older incarnation is left out", () => {
    const { membership, status } = begin();
    membership.alive(alive("test", 10));
    membership.dead(dead("test", 1));
    expect(status("test")).toBe("alive");
  });

  test("DeadNode_AliveReplay: nothing but a newer incarnation brings the dead back", () => {
    const { membership, status, gossip } = begin();
    membership.alive(alive("test", 10));
    membership.dead(dead("test", 10));
    gossip();
    for (const incarnation of [1, 9, 10]) membership.alive(alive("test", incarnation));
    expect(status("test")).toBe("dead");
    expect(gossip()).toEqual([]);
    membership.alive(alive("test", 11));
    expect(status("test")).toBe("alive");
  });

  test("DeadNode_Refute: I am not dead, and say so", () => {
    const { membership, status, gossip } = begin();
    membership.dead(dead("me", 1));
    expect(status("me")).toBe("alive");
    expect(gossip()).toEqual(["alive me 2"]);
  });

  test("an accusation at the highest incarnation but one is refuted with the highest", () => {
    const { membership, gossip } = begin();
    membership.dead(dead("me", 0xffff_fffe));
    expect(gossip()).toEqual(["alive me 4294967295"]);
  });

  test("DeadNode_Reclaim: a dead name may come back elsewhere after deadNodeReclaimMs, whatever its incarnation", async () => {
    const { membership, status, refusals, clock } = begin({ deadNodeReclaimMs: 5_000 });
    membership.alive(alive("test", 7));
    membership.dead(dead("test", 7));
    await clock.advance(5_000);
    membership.alive(alive("test", 1, { host: "10.0.0.9" }));
    expect(status("test")).toBe("dead");
    expect(refusals).toEqual(["conflict"]);
    await clock.advance(1);
    membership.alive(alive("test", 1, { host: "10.0.0.9" }));
    expect(membership.get("test")).toMatchObject({ host: "10.0.0.9", status: "alive", incarnation: 1 });
  });

  test("without deadNodeReclaimMs it may not, until it is forgotten", async () => {
    const { membership, refusals, clock } = begin({ deadNodeReclaimMs: 0 });
    membership.alive(alive("test"));
    membership.dead(dead("test"));
    await clock.advance(30_001);
    membership.alive(alive("test", 2, { host: "10.0.0.9" }));
    expect(refusals).toEqual(["conflict"]);
    expect(membership.nextToProbe()).toBeUndefined();
    membership.alive(alive("test", 1, { host: "10.0.0.9" }));
    expect(membership.get("test")?.host).toBe("10.0.0.9");
  });
});

describe("MergeState", () => {
  const state = (name: string, status: MemberStatus, incarnation = 1, host = "10.0.0.2"): MemberState => ({
    name,
    status,
    incarnation,
    addr: bytes(host),
    port: 7946,
    meta: Buffer.alloc(0),
    versions: VERSIONS,
  });

  test("MergeState: the dead of others are only suspected, those that left have left", () => {
    const { membership, status, gossip } = begin();
    for (const [i, name] of ["a", "b", "c"].entries())
      membership.alive(alive(name, 1, { host: `10.0.0.${i + 2}` }));
    gossip();
    membership.merge([
      state("a", "alive", 2, "10.0.0.2"),
      state("b", "dead"),
      state("c", "left"),
      state("d", "alive", 4, "10.0.0.9"),
      state("e", "dead"),
    ]);
    expect(["a", "b", "c", "d", "e"].map(status)).toEqual(["alive", "suspect", "left", "alive", undefined]);
    expect(gossip().sort()).toEqual(["alive a 2", "alive d 4", "dead c 1 by c", "suspect b 1 by me"]);
  });

  test("who holds me for dead, suspect or gone gets my refutation", () => {
    for (const status of ["dead", "suspect", "left"] as const) {
      const { membership, gossip } = begin();
      membership.merge([state("me", status, 3, "10.0.0.1")]);
      expect(gossip()).toEqual(["alive me 4"]);
    }
  });

  test("what is told to others is what another membership takes in", () => {
    const one = begin();
    one.membership.alive(alive("a", 3));
    one.membership.alive(alive("b", 1, { host: "10.0.0.3" }));
    one.membership.dead(dead("b", 1, "b"));
    const other = begin();
    other.membership.merge(one.membership.states().filter(({ name }) => name !== "me"));
    expect(other.membership.get("a")).toMatchObject({ status: "alive", incarnation: 3 });
    // Nobody needs to hear of strangers that are gone.
    expect(other.membership.get("b")).toBeUndefined();
  });
});

describe("Leave", () => {
  test("I have left, everybody is told, and no alive that is under way undoes it", () => {
    const { membership, status, gossip } = begin();
    membership.leave();
    expect(status("me")).toBe("left");
    expect(gossip()).toEqual(["dead me 1 by me"]);
    membership.alive(alive("me", 9, { host: "10.0.0.1" }));
    membership.suspect(suspect("me", 9));
    expect(status("me")).toBe("left");
    expect(gossip()).toEqual([]);
  });

  test("I do not forget myself, however long the farewell lasts", async () => {
    const { membership, status, clock } = begin();
    membership.leave();
    await clock.advance(60_000);
    membership.nextToProbe();
    expect(status("me")).toBe("left");
  });
});

describe("probing", () => {
  test("each living member once per round, suspects too, never me or the dead", () => {
    const { membership } = begin();
    const names = Array.from({ length: 10 }, (_, i) => `m${i}`);
    for (const [i, name] of names.entries()) membership.alive(alive(name, 1, { host: `10.0.1.${i + 1}` }));
    membership.suspect(suspect("m0"));
    membership.dead(dead("m1"));
    membership.dead(dead("m2", 1, "m2"));
    const living = names.filter((name) => name !== "m1" && name !== "m2");
    const rounds = Array.from({ length: 4 }, () => living.map(() => membership.nextToProbe()?.name));
    for (const round of rounds) expect(round.map(String).sort()).toEqual(living);
    expect(rounds[1]).not.toEqual(rounds[2]);
    membership.stop();
  });

  test("alone there is nobody to probe", () => {
    const { membership } = begin();
    expect(membership.nextToProbe()).toBeUndefined();
  });

  test("no timer is left after the end", () => {
    const { membership, clock } = begin();
    membership.alive(alive("test"));
    membership.suspect(suspect("test"));
    expect(clock.pending).toBe(1);
    membership.stop();
    expect(clock.pending).toBe(0);
  });
});
