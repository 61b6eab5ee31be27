import { describe, expect, test } from "vitest";
import { cidrAt, formatAddress, parseCidr } from "../../../src/node/cidr.ts";
import { readFib } from "../../../src/node/fib/fib.ts";
import { interfacesOf } from "../../../src/node/fib/kernel-route.ts";
import { checkOverlap, describeCidr } from "../../../src/node/overlap/check.ts";
import type { CidrVerdict } from "../../../src/node/overlap/verdict.ts";
import { askKernel } from "../../../src/node/overlap/probe.ts";
import { applyRoutes } from "../../../src/node/static-routes/apply.ts";
import { parseSpec, wantedRoutes } from "../../../src/node/static-routes/spec.ts";
import { systemClock } from "../../../src/system/clock.ts";
import { eventually } from "../../support/eventually.ts";
import { NO_NAMESPACES, type TestNamespace } from "../support/namespaces.ts";
import { makeNode } from "../support/node.ts";

const skipped = NO_NAMESPACES ? ` (${NO_NAMESPACES})` : "";

async function verdicts(
  node: TestNamespace,
  cidrs: readonly string[],
  alsoInterfaces: readonly string[] = [],
) {
  const result = await checkOverlap(node.ip, {
    cidrs: cidrs.map((text) => parseCidr(text, "a CIDR")),
    alsoInterfaces,
  });
  return result.cidrs;
}

describe.skipIf(NO_NAMESPACES)(`a driver's connected /16 shadows the cluster's CIDR${skipped}`, () => {
  test("one naive look at the default route sees nothing; the check names CIDR, route, interface; its entry cures it", async () => {
    const node = await makeNode("shadow", ["addr add 172.16.0.9/16 dev ib0"]);
    expect(node.sh("route show default")).toContain("dev eth0");
    const [found] = await verdicts(node, ["172.16.5.0/24"]);
    expect(found).toMatchObject({
      verdict: "overlap",
      expected: ["eth0"],
      findings: [
        {
          parts: ["172.16.5.0/24"],
          route: "172.16.0.0/16 dev ib0 proto kernel",
          interfaces: ["ib0"],
          source: "tables",
          fix: { entries: [{ destination: "172.16.5.0/24", gateway: "192.168.0.1", dev: "eth0" }] },
        },
      ],
    });
    expect(found && describeCidr(found)).toBe(
      "172.16.5.0/24 leaves by ib0 (172.16.0.0/16 dev ib0 proto kernel), not by eth0",
    );
    await follow(node, found?.findings.flatMap(({ fix }) => fix.entries) ?? []);
    expect(await verdicts(node, ["172.16.5.0/24"])).toMatchObject([{ verdict: "ok", findings: [] }]);
    expect(node.sh("route show dev ib0")).toContain("172.16.0.0/16");
  });

  test("a narrower hijack that no probe meets is found, and cured by the two halves of it", async () => {
    const node = await makeNode("narrow", ["route add 10.1.77.4/30 dev ib0"]);
    for (const probe of ["10.1.0.1", "10.1.64.0", "10.1.128.0", "10.1.255.254"])
      expect(node.sh(`route get ${probe}`)).toContain("dev eth0");
    const [found] = await verdicts(node, ["10.1.0.0/16"]);
    expect(found).toMatchObject({
      verdict: "overlap",
      findings: [{ parts: ["10.1.77.4/30"], interfaces: ["ib0"] }],
    });
    await follow(node, found?.findings.flatMap(({ fix }) => fix.entries) ?? []);
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([{ verdict: "ok" }]);
  });

  test("one of the same length and a metric is cured by an entry of metric 0", async () => {
    const node = await makeNode("metric", ["route add 10.1.0.0/16 dev ib0 metric 20"]);
    const [found] = await verdicts(node, ["10.1.0.0/16"]);
    const entries = found?.findings.flatMap(({ fix }) => fix.entries) ?? [];
    expect(entries).toEqual([{ destination: "10.1.0.0/16", gateway: "192.168.0.1", dev: "eth0" }]);
    await follow(node, entries);
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([{ verdict: "ok" }]);
  });

  test("a whole block on lo takes its packets; a single address there takes nobody's", async () => {
    const node = await makeNode("lo", [
      "route add local 10.1.2.0/24 dev lo",
      "route add local 10.2.2.3 dev lo",
    ]);
    expect(await verdicts(node, ["10.1.0.0/16", "10.2.0.0/16"])).toMatchObject([
      { verdict: "overlap", findings: [{ parts: ["10.1.2.0/24"], interfaces: ["lo"] }] },
      { verdict: "ok" },
    ]);
  });

  test("a link without carrier still takes the packets, so it still counts", async () => {
    const node = await makeNode("carrier", ["addr add 172.16.0.9/16 dev ib0", "link set ib0-peer down"]);
    expect(node.sh("route get 172.16.5.1")).toContain("dev ib0");
    expect(await verdicts(node, ["172.16.5.0/24"])).toMatchObject([{ verdict: "overlap" }]);
  });

  test("an address of the CIDR on another interface is one too; one on lo is nobody's loss", async () => {
    const node = await makeNode("own", ["addr add 10.1.2.3/32 dev ib0", "addr add 10.2.2.3/32 dev lo"]);
    const [onOther, onLo] = await verdicts(node, ["10.1.0.0/16", "10.2.0.0/16"]);
    expect(onOther).toMatchObject({
      verdict: "overlap",
      findings: [
        { parts: ["10.1.2.3/32"], fix: { entries: [], text: expect.stringContaining("take it from ib0") } },
      ],
    });
    expect(onLo).toMatchObject({ verdict: "ok" });
  });
});

describe.skipIf(NO_NAMESPACES)(
  `routes that the kernel passes over, since their link has no carrier${skipped}`,
  () => {
    const ignoreLinkdown = (node: TestNamespace, dev: string) =>
      node.exec("sh", "-c", `echo 1 > /proc/sys/net/ipv4/conf/${dev}/ignore_routes_with_linkdown`);

    test("take nothing, and leave it to the next", async () => {
      const node = await makeNode("ignored", [
        "route add 10.1.0.0/16 dev ib0",
        "route add 10.2.0.0/16 dev ib0",
        "route add 10.2.0.0/16 dev ib1 metric 9",
        "link set ib0-peer down",
      ]);
      ignoreLinkdown(node, "ib0");
      // The kernel hears of a carrier that is gone a while later.
      await eventually(() => expect(node.sh("route get 10.1.2.3")).toContain("dev eth0"));
      expect(node.sh("route get 10.2.2.3")).toContain("dev ib1");
      expect(await verdicts(node, ["10.1.0.0/16", "10.2.0.0/16"])).toMatchObject([
        { verdict: "ok" },
        { verdict: "overlap", findings: [{ interfaces: ["ib1"] }] },
      ]);
    });
  },
);

describe("where the tables and the kernel's own answer differ, the kernel is right", () => {
  /** A kernel whose answers don't follow from its tables, as when they change between two questions. */
  const kernel = (hijacked: boolean, answer: object) => ({
    json: async (args: readonly string[]): Promise<readonly unknown[]> => {
      if (args.includes("rule")) return [{ priority: 32_766, src: "all", table: "254" }];
      const routes = [{ dst: "default", gateway: "192.168.0.1", dev: "eth0" }];
      return hijacked ? [...routes, { dst: "10.1.0.0/16", dev: "ib0" }] : routes;
    },
    jsonBatch: async (lines: readonly string[]) => lines.map(() => [answer]),
  });
  const cidrs = [parseCidr("10.1.0.0/16", "it")];
  const check = async (hijacked: boolean, answer: object) =>
    (await checkOverlap(kernel(hijacked, answer), { cidrs, alsoInterfaces: [] })).cidrs;

  test("it names a route that they don't", async () => {
    expect(await check(false, { dst: "10.1.0.0/16", dev: "ib0" })).toMatchObject([
      {
        verdict: "overlap",
        findings: [{ source: "kernel", parts: ["10.1.0.0/32"], interfaces: ["ib0"] }, {}, {}, {}],
      },
    ]);
  });

  test("what it does not do is not told", async () => {
    expect(await check(true, { dst: "10.1.0.0/16", dev: "eth0" })).toMatchObject([
      { verdict: "ok", findings: [] },
    ]);
  });
});

test("50 CIDRs and 10 000 routes take three processes and look at each route a few times", async () => {
  let processes = 0;
  let read = 0;
  const routes = Array.from({ length: 10_000 }, (_, index) => ({
    get dst() {
      read += 1;
      return `10.${index >> 8}.${index & 255}.0/24`;
    },
    dev: index % 3 === 0 ? "ib0" : "eth0",
  }));
  const kernel = {
    json: async (args: readonly string[]): Promise<readonly unknown[]> => {
      processes += 1;
      if (args.includes("rule")) return [{ priority: 32_766, src: "all", table: "254" }];
      return [{ dst: "default", gateway: "192.168.0.1", dev: "eth0" }, ...routes];
    },
    jsonBatch: async (lines: readonly string[]) => {
      processes += 1;
      return lines.map(() => [{ dst: "10.0.0.0/24", dev: "ib0" }]);
    },
  };
  const cidrs = Array.from({ length: 50 }, (_, index) => parseCidr(`10.${index}.0.0/16`, "it"));
  const { cidrs: found } = await checkOverlap(kernel, { cidrs, alsoInterfaces: [] });
  expect(found.filter(({ verdict }) => verdict === "overlap").length).toBeGreaterThan(39);
  expect({ processes, read }).toEqual({ processes: 3, read: 10_000 });
});

describe.skipIf(NO_NAMESPACES)(`the default route, wherever it is${skipped}`, () => {
  test.each<[string, string[], string[]]>([
    ["without a gateway", ["route replace default dev eth0"], ["eth0"]],
    [
      "with several next hops",
      ["route replace default nexthop via 192.168.0.1 dev eth0 nexthop dev ib0"],
      ["eth0", "ib0"],
    ],
    [
      "in a table that a rule leads to",
      [
        "route del default",
        "route add default via 192.168.0.1 dev eth0 table 200",
        "rule add lookup 200 pref 32800",
      ],
      ["eth0"],
    ],
    [
      "as two halves",
      ["route del default", "route add 0.0.0.0/1 via 192.168.0.1", "route add 128.0.0.0/1 via 192.168.0.1"],
      ["eth0"],
    ],
    ["of the lowest metric", ["route add default dev ib0 metric 5"], ["eth0"]],
  ])("%s", async (_, commands, expected) => {
    const node = await makeNode("default", [...commands, "route add 10.9.0.0/16 dev ib1"]);
    const [fine, taken] = await verdicts(node, ["10.1.0.0/16", "10.9.3.0/24"]);
    expect(fine).toMatchObject({ verdict: "ok", expected });
    expect(taken).toMatchObject({ verdict: "overlap", expected, findings: [{ interfaces: ["ib1"] }] });
  });

  test("not at all: no_default; with an interface that is named as right, that is compared with", async () => {
    const node = await makeNode("none", ["route del default", "route add 10.1.0.0/16 dev eth0"]);
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([{ verdict: "no_default" }]);
    expect(await verdicts(node, ["10.1.0.0/16"], ["eth*"])).toMatchObject([{ verdict: "ok" }]);
  });
});

describe.skipIf(NO_NAMESPACES)(`what the kernel does not send at all${skipped}`, () => {
  test.each([
    ["unreachable 10.1.2.0/24", "unreachable"],
    ["blackhole 10.1.2.0/24", "unreachable"],
    ["prohibit 10.1.2.0/24", "unreachable"],
    ["throw 10.1.2.0/24", "no_route"],
  ])("route %s: %s", async (route, verdict) => {
    const node = await makeNode("refuse", [`route add ${route}`]);
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([
      { verdict, findings: [{ verdict, parts: ["10.1.2.0/24"] }] },
    ]);
  });

  test("a rule that refuses is named", async () => {
    const node = await makeNode("rule", ["rule add to 10.1.2.0/24 prohibit pref 70"]);
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([
      { verdict: "unreachable", findings: [{ parts: ["10.1.2.0/24"], route: "rule 70 (prohibit)" }] },
    ]);
  });
});

describe.skipIf(NO_NAMESPACES)(`tables that rules lead to${skipped}`, () => {
  test("a hijack there counts when a rule leads there, and not before", async () => {
    const node = await makeNode("table", ["route add 10.1.2.0/24 dev ib0 table 100"]);
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([{ verdict: "ok" }]);
    node.sh("rule add lookup 100 pref 50");
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([
      {
        verdict: "overlap",
        findings: [
          { parts: ["10.1.2.0/24"], fix: { entries: [], text: expect.stringContaining("table 100") } },
        ],
      },
    ]);
    node.sh("rule add lookup main suppress_prefixlength 0 pref 40");
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([{ verdict: "overlap" }]);
    node.sh("route add 10.1.2.0/24 via 192.168.0.1");
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([{ verdict: "ok" }]);
  });

  test("what only some packets meet says which", async () => {
    const node = await makeNode("mark", [
      "rule add fwmark 0x200/0xf00 lookup 100",
      "route add 10.1.2.0/24 dev ib0 table 100",
    ]);
    const [found] = await verdicts(node, ["10.1.0.0/16"]);
    expect(found).toMatchObject({ verdict: "overlap", findings: [{ condition: "fwmark 0x200/0xf00" }] });
  });

  test("a second network's own table, with its own default route, is right for what comes from its address", async () => {
    const node = await makeNode("source", [
      "addr add 172.20.0.9/32 dev ib0",
      "rule add from 172.20.0.9 lookup 100",
      "route add default dev ib0 table 100",
    ]);
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([{ verdict: "ok", expected: ["eth0"] }]);
  });
});

describe.skipIf(NO_NAMESPACES)(`routes that only some packets take${skipped}`, () => {
  test("one with a tos is found, and says which packets it takes", async () => {
    const node = await makeNode("tos", ["route add 10.1.0.0/16 tos 0x10 dev ib0"]);
    expect(node.sh("route get 10.1.2.3 tos 0x10")).toContain("dev ib0");
    expect(node.sh("route get 10.1.2.3")).toContain("dev eth0");
    expect(await verdicts(node, ["10.1.2.0/24", "10.2.0.0/16"])).toMatchObject([
      {
        verdict: "overlap",
        findings: [{ condition: "tos 0x10", interfaces: ["ib0"], parts: ["10.1.2.0/24"] }],
      },
      { verdict: "ok" },
    ]);
  });

  test("one with a tos that is behind a narrower one without takes nothing", async () => {
    const node = await makeNode("tosn", [
      "route add 10.1.0.0/16 tos 0x10 dev ib0",
      "route add 10.1.2.0/24 via 192.168.0.1",
    ]);
    expect(node.sh("route get 10.1.2.3 tos 0x10")).toContain("dev eth0");
    expect(await verdicts(node, ["10.1.2.0/24"])).toMatchObject([{ verdict: "ok" }]);
  });

  test("one with a tos in a table that marked packets are led to", async () => {
    const node = await makeNode("tost", [
      "rule add fwmark 0x200 lookup 100",
      "route add 10.1.2.0/24 tos 0x10 dev ib0 table 100",
    ]);
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([
      { verdict: "overlap", findings: [{ condition: "fwmark 0x200 and tos 0x10" }] },
    ]);
  });

  test("an IPv6 one from some addresses", async () => {
    const node = await makeNode("from", [
      "-6 route add default via fe80::1 dev eth0",
      "-6 route add 2001:db8:1::/48 from 2001:db8:9::/48 dev ib0",
    ]);
    expect(await verdicts(node, ["2001:db8::/32"])).toMatchObject([
      { verdict: "overlap", findings: [{ condition: "from 2001:db8:9::/48", interfaces: ["ib0"] }] },
    ]);
  });
});

describe.skipIf(NO_NAMESPACES)(`all addresses at once${skipped}`, () => {
  test("0.0.0.0/0 and ::/0 on a clean node are ok: loopback, link-local and multicast are nobody's loss", async () => {
    const node = await makeNode("all", ["-6 route add default via fe80::1 dev eth0"]);
    expect(await verdicts(node, ["0.0.0.0/0", "::/0"])).toMatchObject([
      { verdict: "ok", findings: [] },
      { verdict: "ok", findings: [] },
    ]);
  });

  test("and a hijack of any of the others is found", async () => {
    const node = await makeNode("all1", ["addr add 172.16.0.9/16 dev ib0"]);
    const [found] = await verdicts(node, ["0.0.0.0/0"]);
    expect(found?.verdict).toBe("overlap");
    expect(found?.findings.flatMap(({ parts }) => parts)).toContain("172.16.0.0-172.16.0.8");
  });

  test("loopback that is asked for by name is judged", async () => {
    const node = await makeNode("loop");
    expect(await verdicts(node, ["127.0.0.0/16"])).toMatchObject([{ verdict: "overlap" }]);
  });
});

describe.skipIf(NO_NAMESPACES)(`every fix that is printed is one${skipped}`, () => {
  test.each<[string, string[]]>([
    ["a connected network around the CIDR", ["addr add 10.1.0.9/15 dev ib0"]],
    ["a connected network, own and broadcast addresses within", ["addr add 10.1.7.9/24 dev ib0"]],
    ["the CIDR itself, with a metric", ["route add 10.1.0.0/16 dev ib0 metric 9"]],
    ["the CIDR itself, without", ["route add 10.1.0.0/16 dev ib0"]],
    ["one address", ["route add 10.1.2.3 dev ib0"]],
    [
      "refusals of all kinds",
      [
        "route add blackhole 10.1.2.0/24",
        "route add unreachable 10.1.3.0/24 metric 5",
        "route add prohibit 10.1.4.4",
      ],
    ],
    [
      "throw inside a route that is right",
      ["route add throw 10.1.5.64/26", "route add 10.1.5.0/24 via 192.168.0.1"],
    ],
    ["throw of one address", ["route add throw 10.1.5.64"]],
    ["throw of the CIDR itself", ["route add throw 10.1.0.0/16"]],
    ["a route with a tos", ["route add 10.1.0.0/16 tos 0x10 dev ib0"]],
    ["a route with a tos within, and a metric", ["route add 10.1.2.0/24 tos 0x10 dev ib0 metric 7"]],
    ["a rule that refuses", ["rule add to 10.1.2.0/24 prohibit pref 70"]],
    [
      "a table that is asked first",
      ["rule add lookup 100 pref 50", "route add 10.1.2.0/24 dev ib0 table 100"],
    ],
    [
      "a table for marked packets",
      ["rule add fwmark 2 lookup 100", "route add 10.1.2.0/24 dev ib0 table 100"],
    ],
    ["a block that someone made the machine's own", ["route add local 10.1.2.0/24 dev lo"]],
    [
      "a default route on the link itself",
      ["route replace default dev eth0", "route add 10.1.2.0/24 dev ib0"],
    ],
    [
      "a default route via IPv6",
      ["route replace default via inet6 fe80::1 dev eth0", "route add 10.1.2.0/24 dev ib0"],
    ],
    [
      "several routes, one in another",
      [
        "route add 10.1.0.0/17 dev ib0",
        "route add 10.1.2.0/24 dev ib1",
        "route add 10.1.2.0/25 via 192.168.0.1",
      ],
    ],
  ])("%s", async (_, commands) => {
    const node = await makeNode("fix", commands);
    expect(await verdicts(node, ["10.1.0.0/16"])).not.toMatchObject([{ verdict: "ok" }]);
    await followPrinted(node, await verdicts(node, ["10.1.0.0/16"]));
    expect(await verdicts(node, ["10.1.0.0/16"])).toMatchObject([{ verdict: "ok", findings: [] }]);
  });

  test("IPv6", async () => {
    const node = await makeNode("fix6", [
      "-6 route add default via fe80::1 dev eth0",
      "-6 route add 2001:db8:1::/48 dev ib0",
      "-6 route add 2001:db8:2::/48 from 2001:db8:9::/48 dev ib0",
      "-6 route add blackhole 2001:db8:3::/64",
      "-6 rule add to 2001:db8:4::/48 unreachable pref 9",
    ]);
    await followPrinted(node, await verdicts(node, ["2001:db8::/32"]));
    expect(await verdicts(node, ["2001:db8::/32"])).toMatchObject([{ verdict: "ok", findings: [] }]);
  });
});

test.skipIf(NO_NAMESPACES)(`every fix is one, whatever the tables hold${skipped}`, async () => {
  let seed = 815;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((seed / 2 ** 31) * below);
  };
  for (let round = 0; round < 12; round += 1) {
    const node = await makeNode(`any${round}`, [
      "rule add fwmark 7 lookup 100",
      "rule add to 10.0.0.0/27 lookup 101",
    ]);
    const lines = Array.from({ length: 8 }, () => {
      const length = 23 + random(10);
      const { first } = cidrAt({ family: 4, value: (10n << 24n) + BigInt(random(256)) }, length);
      const type = ["", "", "", "unreachable ", "blackhole ", "throw "][random(6)] ?? "";
      const dev = type === "" ? ` dev ${["eth0", "ib0", "ib1"][random(3)]}` : "";
      const tos = random(4) === 0 ? " tos 0x10" : "";
      return `route replace ${type}${formatAddress({ family: 4, value: first })}/${length}${tos}${dev} metric ${random(2)} table ${["main", "main", "100", "101"][random(4)]}`;
    });
    await node.ip.batch(lines);
    // A fix may uncover what it had hidden, such as a route with a tos: that has a fix too.
    const kept = new Map<string, object>();
    for (let tries = 0; tries < 4; tries += 1)
      await followPrinted(node, await verdicts(node, ["10.0.0.0/24"]), kept);
    expect([lines, await verdicts(node, ["10.0.0.0/24"])]).toMatchObject([lines, [{ verdict: "ok" }]]);
  }
});

describe.skipIf(NO_NAMESPACES)(`IPv6${skipped}`, () => {
  test("is judged by its own default route; the fix is a command, since static-routes is for IPv4", async () => {
    const node = await makeNode("six", [
      "-6 route add default via fe80::1 dev eth0",
      "-6 route add 2001:db8:1::/48 dev ib0",
    ]);
    expect(await verdicts(node, ["2001:db8::/32", "2001:db8:2::/48"])).toMatchObject([
      {
        verdict: "overlap",
        expected: ["eth0"],
        findings: [
          {
            parts: ["2001:db8:1::/48"],
            interfaces: ["ib0"],
            fix: {
              entries: [],
              text: expect.stringContaining("ip -6 route add 2001:db8:1::/49 via fe80::1 dev eth0"),
            },
          },
        ],
      },
      { verdict: "ok" },
    ]);
  });
});

test.skipIf(NO_NAMESPACES)(
  `what the tables say is what the kernel does, whatever they hold${skipped}`,
  async () => {
    const node = await makeNode("random", [
      "rule add lookup 100 pref 50",
      "rule add to 10.0.0.0/29 lookup 101 pref 60",
    ]);
    let seed = 4711;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((seed / 2 ** 31) * below);
    };
    for (let round = 0; round < 4; round += 1) {
      const lines = Array.from({ length: 25 }, () => {
        const length = 24 + random(9);
        const { first } = cidrAt({ family: 4, value: (10n << 24n) + BigInt(random(64)) }, length);
        const type = ["", "", "", "", "unreachable ", "blackhole ", "throw "][random(7)] ?? "";
        const dev = type === "" ? ` dev ${["eth0", "ib0", "ib1"][random(3)]}` : "";
        const metric = type === "blackhole " ? 9 : random(3);
        return `route replace ${type}${formatAddress({ family: 4, value: first })}/${length}${dev} metric ${metric} table ${["main", "100", "101"][random(3)]}`;
      });
      await node.ip.batch(lines);
      const fib = await readFib(node.ip, 4);
      const fates = fib.fates(parseCidr("10.0.0.0/26", "it"));
      for (const { first, last, outcome } of fates) {
        for (const value of new Set([first, last])) {
          const [said] = await askKernel(node.ip, [{ family: 4, value }]);
          if (!said) throw new Error("no answer");
          const shown = (one: typeof said) =>
            one.kind === "routes"
              ? `${one.routes[0]?.type} ${one.routes[0] ? interfacesOf(one.routes[0]).join() : ""}`
              : one.kind;
          expect(`${formatAddress({ family: 4, value })} ${shown(outcome)}`).toBe(
            `${formatAddress({ family: 4, value })} ${shown(said)}`,
          );
        }
      }
      node.sh("route flush table 100");
      node.sh("route flush root 10.0.0.0/8");
    }
  },
);

/** Does what the printed fixes say, each once: entries, beside those that are `kept`, in one specification; commands as they stand. */
async function followPrinted(
  node: TestNamespace,
  found: readonly CidrVerdict[],
  kept = new Map<string, object>(),
): Promise<void> {
  const fixes = found.flatMap(({ findings }) => findings.map(({ fix }) => fix));
  const commands = fixes
    .filter(({ entries }) => entries.length === 0)
    .flatMap(({ text }) => text.match(/\bip (-6 )?(route|rule|address) [^&]*[^& ]/g) ?? []);
  for (const command of new Set(commands)) node.sh(command.replace(/^ip /, ""));
  for (const entry of fixes.flatMap(({ entries }) => entries)) kept.set(entry.destination, entry);
  await follow(node, [...kept.values()]);
}

/** Puts entries into a specification, as a person would, and applies it. */
async function follow(node: TestNamespace, entries: readonly object[]): Promise<void> {
  const spec = parseSpec(JSON.stringify({ enabled: true, routes: entries }), "the fix");
  await applyRoutes(node.ip, wantedRoutes(spec), { waitMs: 0, clock: systemClock });
}
