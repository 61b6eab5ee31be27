import { describe, expect, test } from "vitest";
import { parseBackends } from "../../../src/node/anycast/backends-file.ts";
import { parseAnycastSpec } from "../../../src/node/anycast/spec.ts";

const spec = (text: string) => parseAnycastSpec(text, "anycast.yaml");

describe("a spec", () => {
  test("has defaults for all but addresses and a source", () => {
    expect(spec("addresses: [192.0.2.10]\npods: {}\n")).toEqual({
      addresses: ["192.0.2.10"],
      pods: {
        node: "",
        namespaces: [],
        selector: "",
        annotation: "lychgate.dev/anycast",
        kubeconfig: "",
        context: "",
      },
      lingerMs: 0,
      kernel: { groupType: "resilient", buckets: 128, idleSeconds: 1 },
      bird: {
        controlSocket: "/run/bird/bird.ctl",
        includeFile: "/run/lychgate/anycast.conf",
        timeoutMs: 2000,
      },
      listen: "127.0.0.1:9903",
      resyncMs: 30_000,
      onExit: "keep",
    });
  });

  test("takes an address in any spelling once", () => {
    expect(
      spec('{addresses: ["2001:DB8:0:0::10", "2001:db8::10/128", 192.0.2.10/32], pods: {}}').addresses,
    ).toEqual(["2001:db8::10", "192.0.2.10"]);
  });

  test.each([
    ["pods: {}", "addresses: "],
    ["addresses: []\npods: {}", "addresses: must name at least one address"],
    ["addresses: [192.0.2.010]\npods: {}", "addresses.0: must be one IPv4 or IPv6 address"],
    ["addresses: [192.0.2.0/24]\npods: {}", "addresses.0: must be one IPv4 or IPv6 address"],
    ["addresses: [192.0.2.1]", "no backends can be known"],
    ["addresses: [192.0.2.1]\npods: {}\nadresses: 1", 'Unrecognized key: "adresses"'],
    [
      "addresses: [192.0.2.1]\npods: {}\nbird: {controlSocket: bird.ctl}",
      "bird.controlSocket: must be an absolute path",
    ],
    [
      "addresses: [192.0.2.1]\npods: {}\nbird: {includeFile: '/run/a\"b'}",
      "bird.includeFile: must be an absolute path",
    ],
    ["addresses: [192.0.2.1]\npods: {}\nlisten: nine", "listen: must be host:port"],
    ["addresses: [192.0.2.1]\npods: {}\nonExit: maybe", "onExit: "],
    ["addresses: [", "anycast.yaml: "],
  ])("%s is refused with the field named", (text, message) => {
    expect(() => spec(text)).toThrow(message);
  });
});

describe("a file of backends", () => {
  test("says what each binds, how it is reached and whether it is ready", () => {
    const text = `
backends:
  - {name: one, addresses: [192.0.2.10, "2001:DB8::10"], nexthops: [10.1.0.2, "fd01::2"]}
  - {name: two, addresses: [192.0.2.10], nexthops: [10.1.0.3], ready: false}
  - {name: three, addresses: [192.0.2.10], nexthops: [10.1.0.4], terminating: true}
`;
    expect(parseBackends(text, "backends.yaml")).toEqual([
      {
        key: "file one",
        addresses: ["192.0.2.10", "2001:db8::10"],
        nexthops: ["10.1.0.2", "fd01::2"],
        state: "eligible",
      },
      { key: "file two", addresses: ["192.0.2.10"], nexthops: ["10.1.0.3"], state: "not_ready" },
      { key: "file three", addresses: ["192.0.2.10"], nexthops: ["10.1.0.4"], state: "terminating" },
    ]);
  });

  test.each([
    ["", "backends: "],
    ["backends: [{name: one, addresses: [x], nexthops: [10.0.0.1]}]", '"x" is no IP address'],
    ["backends: [{name: one, addresses: [192.0.2.1], nexthops: []}]", "backends.0.nexthops: "],
    [
      "backends: [{name: a, addresses: [192.0.2.1], nexthops: [10.0.0.1]}, {name: a, addresses: [192.0.2.1], nexthops: [10.0.0.2]}]",
      "two backends are called a",
    ],
  ])("%s is refused", (text, message) => {
    expect(() => parseBackends(text, "backends.yaml")).toThrow(message);
  });
});
