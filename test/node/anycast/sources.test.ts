import { renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../src/system/clock.ts";
import { silentLog } from "../../../src/system/log.ts";
import type { Backend } from "../../../src/node/anycast/backend.ts";
import { BackendsFile } from "../../../src/node/anycast/backends-file.ts";
import { kernelState } from "../../../src/node/anycast/kernel.ts";
import { LingeringBackends } from "../../../src/node/anycast/lingering.ts";
import { NEXTHOP_IDS } from "../../../src/node/anycast/plan.ts";
import { PodBackends, podBackend, type PodView } from "../../../src/node/anycast/pod-backends.ts";
import { eventually } from "../../support/eventually.ts";
import { scratch } from "./support/bird.ts";

const pod = (name: string, rest: Partial<PodView> = {}): PodView => ({
  namespace: "edge",
  name,
  uid: `uid-${name}`,
  ips: ["10.1.0.2", "fd01::2"],
  ready: true,
  terminating: false,
  annotation: "192.0.2.10, 2001:DB8::10",
  ...rest,
});

describe("a pod as a backend", () => {
  test("Ready counts only without a deletionTimestamp", () => {
    expect(podBackend(pod("one"))).toEqual({
      key: "pod edge/one (uid-one)",
      addresses: ["192.0.2.10", "2001:db8::10"],
      nexthops: ["10.1.0.2", "fd01::2"],
      state: "eligible",
    });
    expect(podBackend(pod("one", { terminating: true }))?.state).toBe("terminating");
    expect(podBackend(pod("one", { ready: false }))?.state).toBe("not_ready");
  });

  test("what is no address in its annotation is left out; without one it is no backend", () => {
    expect(podBackend(pod("one", { annotation: "192.0.2.010 nonsense,192.0.2.10" }))?.addresses).toEqual([
      "192.0.2.10",
    ]);
    expect(podBackend(pod("one", { annotation: "" }))).toBeUndefined();
  });

  test("nothing is told before every namespace was listed; a list replaces only its own", () => {
    const told: string[][] = [];
    const pods = new PodBackends((backends) => void told.push(backends.map(({ key }) => key)), 2);
    pods.relist("a", "1", [pod("one", { namespace: "a" })]);
    expect(told).toEqual([]);
    pods.relist("b", "1", [pod("two", { namespace: "b" })]);
    pods.observe("b", pod("three", { namespace: "b" }));
    pods.remove("b", "b", "two");
    pods.relist("b", "2", []);
    expect(told).toEqual([
      ["pod a/one (uid-one)", "pod b/two (uid-two)"],
      ["pod a/one (uid-one)", "pod b/two (uid-two)", "pod b/three (uid-three)"],
      ["pod a/one (uid-one)", "pod b/three (uid-three)"],
      ["pod a/one (uid-one)"],
    ]);
  });
});

test("a file of backends is seen through a symbolic link that changes, as a ConfigMap's", async () => {
  const folder = scratch("backends");
  const write = (name: string, backend: string): void =>
    writeFileSync(
      join(folder, name),
      `backends: [{name: ${backend}, addresses: [192.0.2.1], nexthops: [10.0.0.1]}]`,
    );
  write("v1", "one");
  write("v2", "two");
  symlinkSync("v1", join(folder, "backends.yaml"));
  let seen: readonly Backend[] = [];
  const file = new BackendsFile({
    path: join(folder, "backends.yaml"),
    changed: (backends) => void (seen = backends),
    clock: systemClock,
    log: silentLog,
  });
  onTestFinished(() => file.close());
  await file.start();
  expect(seen.map(({ key }) => key)).toEqual(["file one"]);
  symlinkSync("v2", join(folder, "draft"));
  renameSync(join(folder, "draft"), join(folder, "backends.yaml"));
  await eventually(() => expect(seen.map(({ key }) => key)).toEqual(["file two"]));
});

describe("what the kernel has", () => {
  const [first] = [NEXTHOP_IDS.first];
  const ours = (id: number, rest: object): object => ({ id, protocol: "77", ...rest });
  const read = (objects: readonly object[], routes: readonly object[]) =>
    kernelState(["192.0.2.10", "2001:db8::10"], objects, routes, new Map());

  test("ours is what has our proto and an ID of our range; the rest is another's", () => {
    const state = read(
      [
        ours(first, { gateway: "10.1.0.2", dev: "lxc1" }),
        ours(first + 1, { group: [{ id: first, weight: 256 }], type: "resilient" }),
        ours(7, { gateway: "10.1.0.2", dev: "lxc1" }),
        { id: first + 2, protocol: "3", gateway: "10.1.0.9", dev: "lxc9" },
      ],
      [
        { type: "1", dst: "192.0.2.10", nhid: first + 1, table: "254", protocol: "77" },
        { type: "1", dst: "2001:db8::10", nhid: 12, table: "254", protocol: "77" },
        { type: "1", dst: "192.0.2.99", dev: "eth0", table: "254", protocol: "4" },
      ],
    );
    expect([...state.nexthops]).toEqual([[first, { via: "10.1.0.2", device: "lxc1" }]]);
    expect([...state.groups.keys()]).toEqual([first + 1]);
    expect([...state.foreignIds]).toEqual([first + 2]);
    expect([...state.routes]).toEqual([["192.0.2.10", first + 1]]);
    expect([...state.foreignRoutes]).toEqual([["2001:db8::10", "2001:db8::10 nhid 12 proto 77"]]);
  });

  test("a local route means that the host itself has the address; other tables don't count", () => {
    const state = read(
      [],
      [
        { type: "2", dst: "192.0.2.10", dev: "lo", table: "255", protocol: "2" },
        { type: "1", dst: "2001:db8::10", dev: "eth0", table: "100", protocol: "3" },
        { type: "6", dst: "default", protocol: "3", table: "254" },
        { type: "1", dst: "192.0.2.0/24", dev: "eth0", table: "254" },
      ],
    );
    expect([...state.hostAddresses]).toEqual(["192.0.2.10"]);
    expect([...state.foreignRoutes, ...state.routes]).toEqual([]);
  });
});

test("a backend lingers from when it is eligible no more, until the time is over, it is eligible again or gone", () => {
  const one = podBackend(pod("one"));
  if (!one) throw new Error("no backend");
  const ending: Backend = { ...one, state: "terminating" };
  const lingering = new LingeringBackends(100);
  lingering.changed([], [ending], 0);
  expect([...lingering.keys(1)]).toEqual([]);
  lingering.changed([one], [ending], 10);
  lingering.changed([ending], [ending], 50);
  expect([...lingering.keys(109)]).toEqual([one.key]);
  expect(lingering.nextEndMs(50)).toBe(60);
  expect([...lingering.keys(110)]).toEqual([]);
  expect(lingering.nextEndMs(110)).toBe(Number.POSITIVE_INFINITY);
  lingering.changed([one], [ending], 200);
  lingering.changed([ending], [one], 210);
  expect([...lingering.keys(220)]).toEqual([]);
  lingering.changed([one], [ending], 230);
  lingering.changed([ending], [], 240);
  expect([...lingering.keys(250)]).toEqual([]);
});
