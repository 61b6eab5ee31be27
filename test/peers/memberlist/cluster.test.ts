import { describe, expect, test } from "vitest";
import type { Endpoint } from "../../../src/peers/memberlist/endpoint.ts";
import { Keyring } from "../../../src/peers/memberlist/keyring.ts";
import { Simulation, type SimulatedMember } from "./support/simulation.ts";

function cluster(count: number, seed = 1): { simulation: Simulation; members: SimulatedMember[] } {
  const simulation = new Simulation(seed);
  const members = Array.from({ length: count }, () => simulation.add());
  return { simulation, members };
}

const failedProbes = (members: readonly SimulatedMember[]) =>
  members.reduce((sum, { probes }) => sum + (probes.get("failed") ?? 0), 0);
const refusals = (members: readonly SimulatedMember[]) =>
  members.flatMap(({ refusals }) => [...refusals.keys()]);
/** Deaths that were told of, of members that live. */
const deaths = (members: readonly SimulatedMember[]) =>
  members.flatMap(({ changes }) => changes.filter((change) => change.endsWith(" dead")));

describe("two members", () => {
  test("see each other at once, and nothing is refused", async () => {
    const { simulation, members } = cluster(2);
    expect(await simulation.until(() => simulation.agree(members), 1_000)).toBeLessThan(100);
    await simulation.clock.advance(60_000);
    expect(refusals(members)).toEqual([]);
    expect(failedProbes(members)).toBe(0);
    expect(members[0]!.probes.get("acked")).toBeGreaterThan(110);
    simulation.stop();
  });

  test("one that is killed is suspect after a second, and dead after three", async () => {
    const { simulation, members } = cluster(2);
    const [one, other] = members as [SimulatedMember, SimulatedMember];
    await simulation.until(() => simulation.agree(members), 1_000);
    simulation.kill(other);
    const suspectMs = await simulation.until(() => simulation.view(one)[0] === "m2 suspect", 5_000);
    expect(suspectMs).toBeLessThanOrEqual(1_100);
    const deadMs = await simulation.until(() => simulation.view(one)[0] === "m2 dead", 5_000);
    expect(suspectMs + deadMs).toBeLessThanOrEqual(3_100);
    // Forgotten when the dead are told of nothing any more.
    await simulation.until(() => simulation.view(one).length === 0, 32_000);
    simulation.stop();
  });

  test("one that leaves is known to have left before its farewell is over", async () => {
    const { simulation, members } = cluster(2);
    const [one, other] = members as [SimulatedMember, SimulatedMember];
    await simulation.until(() => simulation.agree(members), 1_000);
    let over = false;
    void other.list.leave(2_000).then(() => (over = true));
    await simulation.until(() => over, 500);
    expect(simulation.view(one)).toEqual(["m2 left"]);
    simulation.stop();
  });

  test("a farewell to nobody is over at once, and one that nobody hears in its time", async () => {
    const alone = cluster(1);
    let over = 0;
    void alone.members[0]!.list.leave(2_000).then(() => over++);
    await alone.simulation.clock.advance(0);
    expect(over).toBe(1);
    const { simulation, members } = cluster(2);
    await simulation.until(() => simulation.agree(members), 1_000);
    simulation.kill(members[1]!);
    void members[0]!.list.leave(60).then(() => over++);
    await simulation.clock.advance(200);
    expect(over).toBe(2);
    simulation.stop();
  });

  test.each([
    ["a label", { label: "a" }, { label: "b" }],
    [
      "keys",
      { keyring: new Keyring([Buffer.alloc(32, 1)]) },
      { keyring: new Keyring([Buffer.alloc(32, 2)]) },
    ],
    ["encryption", { keyring: new Keyring([Buffer.alloc(32, 1)]) }, {}],
  ])("with another %s never meet", async (_, mine, yours) => {
    const simulation = new Simulation(1);
    const members = [simulation.add({ wrapping: mine }), simulation.add({ wrapping: yours })];
    await simulation.clock.advance(60_000);
    expect(members.map((member) => simulation.view(member))).toEqual([[], []]);
    simulation.stop();
  });

  test("while a key is changed, they stay together", async () => {
    const [a, b] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)] as const;
    const simulation = new Simulation(1);
    const members = [
      simulation.add({ wrapping: { keyring: new Keyring([a, b]), compress: true } }),
      simulation.add({ wrapping: { keyring: new Keyring([b, a]) } }),
    ];
    await simulation.until(() => simulation.agree(members), 1_000);
    await simulation.clock.advance(20_000);
    expect(failedProbes(members)).toBe(0);
    simulation.stop();
  });
});

describe("the same name at another address", () => {
  async function comeBack(leave: boolean) {
    const simulation = new Simulation(3);
    const others = [simulation.add(), simulation.add(), simulation.add()];
    const first = simulation.add({ name: "sg-a", host: "10.9.0.1" });
    await simulation.until(() => simulation.agree([...others, first]), 3_000);
    if (leave) {
      void first.list.leave(2_000);
      await simulation.clock.advance(1_000);
    }
    simulation.kill(first);
    const second = simulation.add({ name: "sg-a", host: "10.9.0.2" });
    const at = () =>
      others.every(({ list }) =>
        list.members().some((member) => member.host === "10.9.0.2" && member.status === "alive"),
      );
    const tookMs = await simulation.until(at, 60_000);
    await simulation.clock.advance(30_000);
    expect(at()).toBe(true);
    expect(simulation.agree([...others, second])).toBe(true);
    simulation.stop();
    return tookMs;
  }

  test("after it left: at once", async () => {
    expect(await comeBack(true)).toBeLessThan(2_000);
  });

  test("after it was killed: when it was dead for deadNodeReclaimMs", async () => {
    const tookMs = await comeBack(false);
    expect(tookMs).toBeGreaterThan(5_000);
    // Up to 12 s of suspicion, 5 s of being dead, and the next joining.
    expect(tookMs).toBeLessThan(30_000);
  });

  test("two that live under one name: the first keeps it, the second is counted", async () => {
    const simulation = new Simulation(3);
    const other = simulation.add();
    simulation.add({ name: "sg-a", host: "10.9.0.1" });
    await simulation.clock.advance(1_000);
    simulation.add({ name: "sg-a", host: "10.9.0.2" });
    await simulation.clock.advance(20_000);
    expect(other.list.members().find(({ name }) => name === "sg-a")?.host).toBe("10.9.0.1");
    expect(other.refusals.get("conflict")).toBeGreaterThan(0);
    simulation.stop();
  });
});

describe("100 members", () => {
  test("find each other", async () => {
    const { simulation, members } = cluster(100);
    expect(await simulation.until(() => simulation.agree(members), 10_000)).toBeLessThan(5_000);
    await simulation.clock.advance(10_000);
    expect(failedProbes(members)).toBe(0);
    expect(refusals(members)).toEqual([]);
    expect(members.every(({ list }) => list.healthScore === 0)).toBe(true);
    simulation.stop();
  });

  test("with 30 % of all packets lost, nobody is held for dead", async () => {
    const { simulation, members } = cluster(100, 5);
    simulation.loss = 0.3;
    await simulation.until(() => simulation.agree(members), 30_000);
    await simulation.clock.advance(60_000);
    expect(deaths(members)).toEqual([]);
    // Suspicions come, and are refuted.
    simulation.loss = 0;
    await simulation.until(() => simulation.agree(members), 60_000);
    simulation.stop();
  });

  test("with 30 % lost, ten that are killed are dead for everybody", async () => {
    const { simulation, members } = cluster(100, 6);
    await simulation.until(() => simulation.agree(members), 10_000);
    simulation.loss = 0.3;
    const killed = members.slice(0, 10);
    const living = members.slice(10);
    for (const member of killed) simulation.kill(member);
    const up = (member: SimulatedMember) =>
      simulation
        .view(member)
        .filter((line) => /^m\d+ (alive|suspect)$/.test(line))
        .map((line) => line.split(" ")[0]!);
    const gone = () =>
      living.every((member) => up(member).every((name) => !killed.some((k) => k.name === name)));
    await simulation.until(gone, 60_000);
    expect(deaths(living).every((line) => killed.some(({ name }) => line === `${name} dead`))).toBe(true);
    simulation.stop();
  });

  test("a partition of any length is healed, since joining never ends", async () => {
    const { simulation, members } = cluster(100, 7);
    await simulation.until(() => simulation.agree(members), 10_000);
    const left = new Set(members.slice(0, 40).map(({ host }) => host));
    simulation.connected = (from: Endpoint, to: Endpoint) => left.has(from.host) === left.has(to.host);
    await simulation.until(
      () => simulation.agree(members.slice(0, 40)) && simulation.agree(members.slice(40)),
      120_000,
      500,
    );
    // Longer than the dead are remembered: memberlist alone would stay split for ever.
    await simulation.clock.advance(60_000);
    expect(members[0]!.list.members().length).toBe(40);
    simulation.connected = () => true;
    const tookMs = await simulation.until(() => simulation.agree(members), 60_000, 500);
    expect(tookMs).toBeLessThanOrEqual(40_000);
    simulation.stop();
  });

  test("a run is the same again with the same seed", async () => {
    const run = async () => {
      const { simulation, members } = cluster(20, 9);
      simulation.loss = 0.2;
      await simulation.clock.advance(15_000);
      simulation.stop();
      return { packets: simulation.packets, changes: members.map(({ changes }) => changes) };
    };
    expect(await run()).toEqual(await run());
  });

  test("no timer is left after the end", async () => {
    const { simulation } = cluster(10);
    await simulation.clock.advance(5_000);
    simulation.stop();
    await simulation.clock.advance(10_000);
    expect(simulation.clock.pending).toBe(0);
  });
});
