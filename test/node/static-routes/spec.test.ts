import { describe, expect, test } from "vitest";
import { parseCidr } from "../../../src/node/cidr.ts";
import { NodeToolError } from "../../../src/node/node-tool-error.ts";
import { parseSpec, wantedRoutes } from "../../../src/node/static-routes/spec.ts";

const routes = (text: string) => `enabled: true\nroutes:\n  - ${text}\n`;

function faultOf(text: string): string {
  try {
    parseSpec(text, "routes.yaml");
  } catch (error) {
    if (error instanceof NodeToolError && error.code === "invalid") return error.message;
    throw error;
  }
  return "none";
}

test("a specification, in YAML or JSON", () => {
  const spec = parseSpec(
    `enabled: true
routes:
  - destination: 172.16.5.0/24
  - { destination: 10.1.2.3, gateway: 192.168.0.1, dev: eth0.100, metric: 7 }
`,
    "routes.yaml",
  );
  expect(wantedRoutes(spec)).toEqual([
    { destination: parseCidr("172.16.5.0/24", "it"), metric: 0 },
    { destination: parseCidr("10.1.2.3/32", "it"), gateway: "192.168.0.1", dev: "eth0.100", metric: 7 },
  ]);
  expect(parseSpec(`{"enabled": true, "routes": [{"destination": "10.0.0.0/8"}]}`, "x").routes).toHaveLength(
    1,
  );
});

test("YAML aliases are refused with the fix, not with a stack trace", () => {
  const text = "enabled: true\nroutes: [&a {destination: 10.1.0.0/16}, *a]";
  expect(faultOf(text)).toContain("routes.yaml: Alias resolution is disabled");
});

test("only when enabled is true is a route wanted", () => {
  expect(wantedRoutes(parseSpec("enabled: false\nroutes: [{destination: 10.0.0.0/8}]", "x"))).toEqual([]);
  expect(wantedRoutes(parseSpec("enabled: false", "x"))).toEqual([]);
  expect(wantedRoutes(parseSpec("enabled: true\nroutes: []", "x"))).toEqual([]);
});

describe("what is refused names the field and the fix", () => {
  test.each([
    ["", "the file must be an object; it is null"],
    ["- a", "the file must be an object"],
    ["routes: []", "enabled must be true or false; it is missing"],
    ["enabled: yes\nroutes: []", 'enabled must be true or false; it is "yes"'],
    ["enabled: true", "routes must be a list, perhaps an empty one; it is missing"],
    ["enabled: true\nroutes: []\nroute: []", "route is unknown: known are enabled, routes"],
    ["enabled: true\nenabled: true", "routes.yaml:2:1: Map keys must be unique"],
    ["enabled: [", "routes.yaml:1:11"],
    [routes("5"), "routes[0] must be an object; it is 5"],
    [routes("{}"), "routes[0].destination must be a CIDR such as 172.16.5.0/24; it is missing"],
    [
      routes("{destination: 10.0.0.255/24}"),
      'routes[0].destination "10.0.0.255/24" is not aligned to its length: write 10.0.0.0/24',
    ],
    [routes("{destination: 10.0.2.1/31}"), "write 10.0.2.0/31"],
    [routes("{destination: 010.1.1.0/24}"), "four decimal numbers without leading zeros"],
    [routes("{destination: 10/8}"), 'routes[0].destination "10/8" is no address or CIDR'],
    [routes("{destination: 10.0.0.0/08}"), "a number from 0 to 32 belongs after the slash"],
    [routes("{destination: 10.0.0.0/33}"), "a number from 0 to 32 belongs after the slash"],
    [routes("{destination: 192.168.0.300}"), "is no address or CIDR"],
    [
      routes("{destination: 'fd00::/8'}"),
      'routes[0].destination "fd00::/8" is IPv6: static-routes is for IPv4 only',
    ],
    [routes("{destination: 0.0.0.0/0}"), "must not be the default route"],
    [routes("{destination: 127.1.0.0/16}"), "overlaps 127.0.0.0/8, which is loopback"],
    [routes("{destination: 239.0.0.0/8}"), "overlaps 224.0.0.0/4, which is multicast"],
    [routes("{destination: 10.0.0.0/8, gateway: 'fe80::1'}"), "static-routes is for IPv4 only"],
    [routes("{destination: 10.0.0.0/8, gateway: gw}"), "routes[0].gateway must be an IPv4 address"],
    [
      routes("{destination: 10.0.0.1/32, gateway: 10.0.0.1}"),
      "routes[0].gateway must not be the destination itself",
    ],
    [
      routes("{destination: 10.0.0.0/8, dev: 'eth0; reboot'}"),
      "routes[0].dev must be the name of an interface",
    ],
    [routes("{destination: 10.0.0.0/8, dev: -force}"), "routes[0].dev must be the name of an interface"],
    [routes("{destination: 10.0.0.0/8, dev: averyveryverylongname}"), "routes[0].dev must be"],
    [
      routes("{destination: 10.0.0.0/8, metric: -1}"),
      "routes[0].metric must be an integer from 0 to 4294967295; it is -1",
    ],
    [routes("{destination: 10.0.0.0/8, metric: '5'}"), "routes[0].metric must be an integer"],
    [
      routes("{destination: 10.0.0.0/8, via: 10.0.0.1}"),
      "routes[0].via is unknown: known are destination, gateway, dev, metric",
    ],
    [
      routes("{destination: 10.0.0.0/8}\n  - {destination: 10.0.0.0/8}"),
      "routes holds 10.0.0.0/8 with metric 0 twice",
    ],
  ])("%j: %s", (text, words) => {
    expect(faultOf(text)).toContain(words);
  });

  test("all faults are told at once", () => {
    expect(
      faultOf("enabled: 1\nroutes: [{destination: 10/8}, {destination: 10.0.0.0/8, metric: x}]").split("\n"),
    ).toHaveLength(3);
  });
});
