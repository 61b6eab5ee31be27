import { describe, expect, test } from "vitest";
import { systemResolver } from "../../../src/peers/discovery/dns-resolver.ts";
import {
  type AddressSource,
  findMembersIn,
  staticAddresses,
} from "../../../src/peers/discovery/find-members.ts";
import { addressesOfPods } from "../../../src/peers/discovery/manager-pods.ts";
import { parsePeerAddress, type Resolver } from "../../../src/peers/discovery/peer-address.ts";
import { MemberPeers } from "../../../src/peers/discovery/peer-source.ts";
import { PolledPeers } from "../../../src/peers/discovery/polled-peers.ts";
import type { MemberStatus } from "../../../src/peers/memberlist/messages.ts";
import { FakeClock } from "../memberlist/support/fake-clock.ts";

describe("what an operator writes", () => {
  const endpoint = (host: string, port = 7946) => ({ kind: "endpoint", endpoint: { host, port } });
  test.each([
    ["10.0.0.7", endpoint("10.0.0.7")],
    ["10.0.0.7:80", endpoint("10.0.0.7", 80)],
    ["FD00::7", endpoint("fd00::7")],
    ["[fd00::7]", endpoint("fd00::7")],
    ["[fd00::7]:80", endpoint("fd00::7", 80)],
    ["::ffff:10.0.0.7", endpoint("10.0.0.7")],
    ["managers", { kind: "name", name: "managers", port: 7946 }],
    ["managers.example.com.:80", { kind: "name", name: "managers.example.com.", port: 80 }],
    [
      "_memberlist._tcp.managers.example.com",
      { kind: "service", name: "_memberlist._tcp.managers.example.com" },
    ],
  ])("%s", (text, address) => {
    expect(parsePeerAddress(text, 7946)).toEqual(address);
  });

  test.each([
    "",
    ":7946",
    "10.0.0.7:0",
    "10.0.0.7:65536",
    "10.0.0.300",
    "[10.0.0.7]:80",
    "fe80::1%eth0",
    "http://managers",
    "a_b",
    "managers:http",
    "_memberlist.managers",
    "-x",
    "a".repeat(254),
  ])("%j is none", (text) => {
    expect(parsePeerAddress(text, 7946)).toBeUndefined();
  });
});

describe("finding members", () => {
  const resolver: Resolver = {
    addresses: (name) =>
      name === "managers"
        ? Promise.resolve(["10.0.0.1", "fd00::1", "no address"])
        : Promise.reject(new Error(`ENOTFOUND ${name}`)),
    services: (name) =>
      name === "_m._tcp.x"
        ? Promise.resolve([
            { name: "managers", port: 1234 },
            { name: "gone", port: 1 },
          ])
        : Promise.resolve([{ name: "gone", port: 1 }]),
  };
  function find(...sources: AddressSource[]) {
    const failures: string[] = [];
    const failed = (what: string, error: unknown) =>
      void failures.push(`${what}: ${(error as Error).message}`);
    const found = findMembersIn({ sources, resolver, defaultPort: 7946, failed })();
    return { found, failures };
  }
  const broken: AddressSource = { name: "the pods", addresses: () => Promise.reject(new Error("forbidden")) };

  test("names give all their addresses, service records all their targets, and each endpoint comes once", async () => {
    const { found, failures } = find(staticAddresses(["managers", "_m._tcp.x", "10.0.0.1", "10.0.0.9:1"]));
    expect(await found).toEqual([
      { host: "10.0.0.1", port: 7946 },
      { host: "fd00::1", port: 7946 },
      { host: "10.0.0.1", port: 1234 },
      { host: "fd00::1", port: 1234 },
      { host: "10.0.0.9", port: 1 },
    ]);
    expect(failures).toEqual([]);
  });

  test("what fails is told, and does not keep the rest from being found", async () => {
    const { found, failures } = find(broken, staticAddresses(["gone", "?", "_m._tcp.y", "10.0.0.9"]));
    expect(await found).toEqual([{ host: "10.0.0.9", port: 7946 }]);
    expect(failures.sort()).toEqual([
      '?: "?" is no address of a peer',
      "_m._tcp.y: ENOTFOUND gone",
      "gone: ENOTFOUND gone",
      "the pods: forbidden",
    ]);
  });

  test("nothing found because of failures is a failure, nothing at all is not", async () => {
    await expect(find(broken).found).rejects.toThrow("none of the places");
    await expect(find(staticAddresses([])).found).resolves.toEqual([]);
  });

  test("the system's resolver knows localhost, and says so when a name does not exist", async () => {
    const system = systemResolver();
    const addresses = await system.addresses("localhost");
    expect(addresses.some((address) => address === "127.0.0.1" || address === "::1")).toBe(true);
    await expect(system.addresses("no-such-name.invalid")).rejects.toThrow();
  });
});

test("managers' pods: their address, or what their annotation says; none of those that end or have no address", () => {
  const pod = (ips: string[], annotation = "", terminating = false) => ({ ips, annotation, terminating });
  expect(
    addressesOfPods([
      pod(["10.0.0.1", "fd00::1"]),
      pod(["10.0.0.2"], "10.9.9.9:8000"),
      pod([], "http://manager-2.example.com:8000/"),
      pod(["10.0.0.3"], "", true),
      pod([]),
    ]),
  ).toEqual(["10.0.0.1", "10.9.9.9:8000", "manager-2.example.com:8000"]);
});

describe("peers of a memberlist", () => {
  const changes = (source: MemberPeers) => {
    let count = 0;
    source.onChange(() => (count += 1));
    return () => count;
  };
  const view = (name: string, status: MemberStatus, host = "10.0.0.2") => ({
    name,
    host,
    port: 7946,
    status,
    statusSinceMs: 0,
  });

  test("are up while alive or suspect, without this router itself", () => {
    const source = new MemberPeers("sg-me");
    const count = changes(source);
    for (const one of [
      view("sg-me", "alive"),
      view("sm-b", "alive"),
      view("sm-a", "alive", "10.0.0.3"),
      view("sm-b", "suspect"),
    ])
      source.changed(one);
    expect(source.peers()).toEqual([
      { name: "sm-a", host: "10.0.0.3" },
      { name: "sm-b", host: "10.0.0.2" },
    ]);
    expect(count()).toBe(2);
    source.changed(view("sm-b", "dead"));
    source.changed(view("sm-b", "dead"));
    source.changed(view("sm-a", "left", "10.0.0.3"));
    expect(source.peers()).toEqual([]);
    expect(count()).toBe(4);
  });

  test("one that comes back at another address is told", () => {
    const source = new MemberPeers("sg-me");
    const count = changes(source);
    source.changed(view("sm-a", "alive"));
    source.changed(view("sm-a", "alive", "10.0.0.9"));
    expect(source.peers()).toEqual([{ name: "sm-a", host: "10.0.0.9" }]);
    expect(count()).toBe(2);
  });
});

test("polled peers: looked for again and again; while that fails, the last answer stands", async () => {
  const clock = new FakeClock();
  let answer: () => Promise<readonly { host: string; port: number }[]> = () =>
    Promise.resolve([
      { host: "10.0.0.1", port: 7946 },
      { host: "10.0.0.2", port: 7946 },
    ]);
  const source = new PolledPeers({
    find: () => answer(),
    isSelf: (host) => host === "10.0.0.1",
    intervalMs: 1_000,
    clock,
  });
  let changes = 0;
  source.onChange(() => (changes += 1));
  source.start();
  await clock.advance(0);
  expect(source.peers()).toEqual([{ name: "10.0.0.2:7946", host: "10.0.0.2", port: 7946 }]);
  answer = () => Promise.reject(new Error("no answer"));
  await clock.advance(5_000);
  expect([source.peers().length, changes]).toEqual([1, 1]);
  answer = () => Promise.resolve([]);
  await clock.advance(1_000);
  expect([source.peers().length, changes]).toEqual([0, 2]);
  source.stop();
  expect(clock.pending).toBe(0);
});
