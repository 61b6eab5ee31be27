import { BlockList, isIP, isIPv4 } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseAddress } from "../../src/system/ip-address.ts";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import { InterfaceAddresses } from "../../src/router/interface-addresses.ts";
import type { LogFields } from "../../src/system/log.ts";
import { silentLog } from "../../src/system/log.ts";
import { PodAddresses } from "../../src/router/pod-addresses.ts";
import { PodIpLog } from "../../src/router/pod-ip-log.ts";

// Which IPs pods can have, whatever a peer or the API server says (docs/route-table.md#rule-13).

describe("by default", () => {
  const pods = new PodAddresses([], []);

  test.each([
    ["10.244.3.7", "172.16.0.1", "192.168.1.1", "private"],
    ["100.64.0.9", "100.100.100.201", "shared address space: EKS and Alibaba Cloud give it to pods"],
    ["198.18.0.1", "240.0.0.1", "ranges that GKE gives to pods"],
    ["8.8.8.8", "1.1.1.1", "public"],
    ["fd00:10:244::7", "2600:1f00::1", "IPv6"],
    ["::ffff:10.0.0.7", "::ffff:a00:7", "IPv4 in IPv6 spelling"],
  ])("a pod can have %s", (...ips) => {
    for (const ip of ips.slice(0, -1)) expect(pods.refusalOf(ip), ip).toBeUndefined();
    for (const ip of ips.slice(0, -1)) expect(pods.allows(ip), ip).toBe(true);
  });

  test.each([
    ["127.0.0.1", "loopback"],
    ["127.255.255.254", "loopback"],
    ["::1", "loopback"],
    ["0:0:0:0:0:0:0:1", "loopback"],
    ["::ffff:127.0.0.1", "loopback"],
    ["::ffff:7f00:1", "loopback"],
    ["0000:0000:0000:0000:0000:FFFF:7F00:0001", "loopback"],
    ["0.0.0.0", "unspecified"],
    ["0.1.2.3", "unspecified"],
    ["::", "unspecified"],
    ["::ffff:0.0.0.0", "unspecified"],
    ["169.254.169.254", "link-local"],
    ["::ffff:169.254.169.254", "link-local"],
    ["fe80::1", "link-local"],
    ["febf::1", "link-local"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.250", "multicast"],
    ["ff02::1", "multicast"],
    ["255.255.255.255", "broadcast"],
    ["::ffff:255.255.255.255", "broadcast"],
    ["192.0.2.1", "documentation"],
    ["198.51.100.1", "documentation"],
    ["203.0.113.9", "documentation"],
    ["2001:db8::1", "documentation"],
    ["3fff::1", "documentation"],
    ["::127.0.0.1", "embedded IPv4"],
    ["::10.0.0.1", "embedded IPv4"],
    ["::0.0.0.1", "loopback"],
    ["::ffff:0:7f00:1", "embedded IPv4"],
    ["64:ff9b::7f00:1", "embedded IPv4"],
    ["64:ff9b::10.0.0.1", "embedded IPv4"],
    ["64:ff9b:1::a9fe:a9fe", "embedded IPv4"],
    ["2002:7f00:1::", "embedded IPv4"],
    ["2001::1", "embedded IPv4"],
    ["100.100.100.200", "cloud metadata"],
    ["168.63.129.16", "cloud metadata"],
    ["fd00:ec2::254", "cloud metadata"],
    ["fe80::1%eth0", "not an IP address"],
    ["fd00::1%eth0", "not an IP address"],
    ["", "not an IP address"],
    ["localhost", "not an IP address"],
    // Other programs take these for 127.0.0.1.
    ["0177.0.0.1", "not an IP address"],
    ["2130706433", "not an IP address"],
    ["127.1", "not an IP address"],
  ])("no pod can have %s: %s", (ip, why) => {
    expect(pods.refusalOf(ip)).toBe(why);
    expect(pods.allows(ip)).toBe(false);
  });

  test("what a neighbour in the same block is says nothing of an address", () => {
    for (const order of [
      ["100.100.100.200", "100.100.100.199"],
      ["100.100.100.199", "100.100.100.200"],
      ["fd00:ec2::253", "fd00:ec2::254"],
      ["fd00:ec2::254", "fd00:ec2::253"],
    ]) {
      const fresh = new PodAddresses([], []);
      for (const ip of [...order, ...order])
        expect(fresh.allows(ip), ip).toBe(!ip.endsWith("200") && !ip.endsWith("254"));
    }
  });
});

describe("the router's own addresses", () => {
  const own = ["10.0.0.7", "fd00::7", "127.0.0.1", "::1", "fe80::1"];

  test("are no pod's, in any spelling; their neighbours may be", () => {
    const pods = new PodAddresses([], own);
    for (const ip of ["10.0.0.7", "::ffff:10.0.0.7", "::ffff:a00:7", "fd00::7", "fd00:0::0:7"])
      expect(pods.refusalOf(ip), ip).toBe("this router's own");
    for (const ip of ["10.0.0.8", "fd00::8"]) expect(pods.allows(ip), ip).toBe(true);
    for (const ip of ["10.0.0.7", "fd00::7"]) expect(pods.allows(ip), ip).toBe(false);
  });

  test("are no pod's though podCidrs holds them among others: only an entry for one alone allows it", () => {
    expect(new PodAddresses(["10.0.0.0/8"], own).refusalOf("10.0.0.7")).toBe("this router's own");
    expect(new PodAddresses(["10.0.0.6/31"], own).allows("10.0.0.7")).toBe(false);
    expect(new PodAddresses(["10.0.0.0/8", "10.0.0.7/32"], own).allows("10.0.0.7")).toBe(true);
    expect(new PodAddresses(["10.0.0.0/8", "10.0.0.7"], own).allows("10.0.0.7")).toBe(true);
    expect(new PodAddresses(["fd00::/8", "fd00::7/128"], own).allows("fd00::7")).toBe(true);
  });

  test("on loopback follow the rule for loopback, as all of 127.0.0.0/8 is the router's", () => {
    expect(new PodAddresses(["127.0.0.0/8"], own).allows("127.0.0.1")).toBe(true);
    expect(new PodAddresses(["::1"], own).allows("::1")).toBe(true);
  });
});

describe("routes.podCidrs", () => {
  test("narrows: no other address is a pod's", () => {
    const pods = new PodAddresses(["10.244.0.0/16", "fd00:10::/32"], []);
    expect(pods.allows("10.244.9.9")).toBe(true);
    expect(pods.allows("::ffff:10.244.9.9")).toBe(true);
    expect(pods.allows("fd00:10::9")).toBe(true);
    for (const ip of ["10.245.0.1", "fd00:11::9", "8.8.8.8"])
      expect(pods.refusalOf(ip), ip).toBe("outside routes.podCidrs");
  });

  test("cuts blocks: /30", () => {
    const pods = new PodAddresses(["10.0.0.4/30"], []);
    const allowed = Array.from({ length: 256 }, (_, last) => last).filter((last) =>
      pods.allows(`10.0.0.${last}`),
    );
    expect(allowed).toEqual([4, 5, 6, 7]);
  });

  test("allows a special range by an entry that lies within it, and no other way", () => {
    for (const wide of ["0.0.0.0/0", "126.0.0.0/7", "::/0"])
      expect(new PodAddresses([wide], []).allows("127.0.0.1"), wide).toBe(false);
    const narrow = new PodAddresses(["127.0.64.0/18"], []);
    expect(narrow.allows("127.0.64.1")).toBe(true);
    expect(narrow.allows("::ffff:127.0.64.1")).toBe(true);
    expect(narrow.refusalOf("127.0.0.1")).toBe("loopback");
    // Class E, which holds the broadcast address.
    expect(new PodAddresses(["240.0.0.0/4"], []).refusalOf("255.255.255.255")).toBe("broadcast");
    expect(new PodAddresses(["255.255.255.255"], []).allows("255.255.255.255")).toBe(true);
    expect(new PodAddresses(["::ffff:127.0.0.0/104"], []).allows("127.9.9.9")).toBe(true);
  });

  test("says which entries allow special ranges, for the warning at the start", () => {
    const given = ["10.0.0.0/8", "127.0.0.0/8", "0.0.0.0/0", "fe80::/64", "::/0", "169.254.169.254"];
    expect(new PodAddresses(given, []).allowedSpecial).toEqual([
      "127.0.0.0/8",
      "fe80::/64",
      "169.254.169.254",
    ]);
  });
});

const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));
const ipv4 = octets.map((parts) => parts.join("."));
/** Few groups differ, so that addresses meet blocks. */
const group = fc.oneof(
  fc.constantFrom("0", "1", "ffff", "fd00", "64", "ff9b", "2001", "db8"),
  fc.nat(0xffff).map((n) => n.toString(16)),
);
const ipv6 = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":"));
const v4Cidr = fc
  .tuple(fc.constantFrom("10.0.0.0", "127.0.0.0", "0.0.0.0"), fc.constantFrom(8, 16, 32))
  .map((each) => each.join("/"));
const v6Cidr = fc.constantFrom("fd00::/8", "fd00::/16", "2001:db8::/32", "::/0", "fd00:1::1/128");

test("agrees with Node's BlockList, whatever was asked before", () => {
  const special = new BlockList();
  for (const [net, length] of [
    ["127.0.0.0", 8],
    ["0.0.0.0", 8],
    ["169.254.0.0", 16],
    ["224.0.0.0", 4],
    ["255.255.255.255", 32],
    ["192.0.2.0", 24],
    ["198.51.100.0", 24],
    ["203.0.113.0", 24],
    ["100.100.100.200", 32],
    ["168.63.129.16", 32],
  ] as const)
    special.addSubnet(net, length, "ipv4");
  const anyOf = (cidrs: readonly string[]): BlockList => {
    const list = new BlockList();
    for (const cidr of cidrs) {
      const [net = "", length] = cidr.split("/");
      list.addSubnet(net, Number(length), isIPv4(net) ? "ipv4" : "ipv6");
    }
    return list;
  };
  const asked = fc.array(
    fc.oneof(
      ipv4,
      fc.nat(255).map((n) => `10.0.0.${n}`),
      fc.nat(255).map((n) => `100.100.100.${n}`),
    ),
  );
  fc.assert(
    fc.property(asked, fc.array(v4Cidr), (ips, podCidrs) => {
      const pods = new PodAddresses(podCidrs, []);
      for (const ip of ips) {
        // The entries used here are either within one special range or hold none but 0.0.0.0/0, /8.
        const named = anyOf(podCidrs.filter((cidr) => !cidr.startsWith("0.0.0.0")));
        const zero = podCidrs.some((cidr) => cidr.startsWith("0.0.0.0/") && anyOf([cidr]).check(ip));
        const isSpecial = special.check(ip);
        const expected = isSpecial
          ? named.check(ip) ||
            (zero && podCidrs.some((cidr) => cidr !== "0.0.0.0/0" && anyOf([cidr]).check(ip)))
          : podCidrs.length === 0 || named.check(ip) || zero;
        // The same in IPv6 spelling.
        for (const text of [ip, `::ffff:${ip}`, ip]) expect(pods.allows(text), text).toBe(expected);
      }
    }),
  );
});

/** Every way to write one address: with `::` anywhere, with a dotted end, with upper case and leading zeros. */
const spelling = fc
  .tuple(ipv6, fc.nat(8), fc.nat(8), fc.boolean(), fc.boolean())
  .map(([text, from, length, isDotted, isUpper]) => {
    const groups = text.split(":").map((each) => Number.parseInt(each, 16));
    const zeros = Math.min(length, 8 - from);
    groups.fill(0, from, from + zeros);
    const words = groups.map((each) => each.toString(16).padStart(isUpper ? 4 : 1, "0"));
    const [high = 0, low = 0] = groups.slice(6);
    const tail = [high >> 8, high & 255, low >> 8, low & 255].join(".");
    const parts = isDotted && from + zeros <= 6 ? [...words.slice(0, 6), tail] : words;
    const spelled =
      zeros > 0
        ? `${parts.slice(0, from).join(":")}::${parts.slice(from + zeros).join(":")}`
        : parts.join(":");
    return { spelled: isUpper ? spelled.toUpperCase() : spelled, groups };
  });

test("an IPv6 address is judged alike in every spelling", () => {
  fc.assert(
    fc.property(spelling, ({ spelled, groups }) => {
      expect(isIP(spelled), spelled).toBe(6);
      const plain = groups.map((each) => each.toString(16)).join(":");
      const pods = new PodAddresses([], ["fd00::1"]);
      expect(pods.refusalOf(spelled), spelled).toBe(pods.refusalOf(plain));
      expect(pods.allows(spelled), spelled).toBe(pods.allows(plain));
      expect(parseAddress(spelled)?.toNormalizedString(), spelled).toBe(
        parseAddress(plain)?.toNormalizedString(),
      );
    }),
    { numRuns: 2_000 },
  );
});

test("never throws, answers the same each time, and allows nothing that is no IP", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), ipv4, ipv6)),
      fc.array(fc.oneof(v4Cidr, v6Cidr)),
      (texts, cidrs) => {
        const pods = new PodAddresses(cidrs, ["10.0.0.1", "fd00::1"]);
        for (const text of [...texts, ...texts]) {
          const allowed = pods.allows(text);
          expect(allowed).toBe(
            new PodAddresses(cidrs, ["10.0.0.1", "fd00::1"]).refusalOf(text) === undefined,
          );
          if (allowed) expect(isIP(text)).not.toBe(0);
        }
      },
    ),
  );
});

/** A clock whose timers are fired by hand. */
function manualClock() {
  let nowMs = 0;
  const due: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => nowMs,
    setTimeout(callback) {
      due.push(callback);
      return { clear: () => void due.splice(due.indexOf(callback), 1) };
    },
  };
  return { clock, due, pass: (ms: number) => void (nowMs += ms), fire: () => due.shift()?.() };
}

describe("the interfaces", () => {
  test("are read at once, and again; a change is told, the same addresses are not", () => {
    const { clock, due, fire } = manualClock();
    let read = ["10.0.0.1", "127.0.0.1", "10.0.0.1"];
    const interfaces = new InterfaceAddresses({ clock, log: silentLog, read: () => read });
    expect(interfaces.current).toEqual(["10.0.0.1", "127.0.0.1"]);
    let changes = 0;
    interfaces.start(() => void changes++);
    fire();
    read = ["127.0.0.1", "10.0.0.1"];
    fire();
    expect(changes).toBe(0);
    read = ["127.0.0.1"];
    fire();
    expect([changes, interfaces.current]).toEqual([1, ["127.0.0.1"]]);
    interfaces.stop();
    expect(due).toEqual([]);
  });

  test("that can't be read keep their addresses; the failure is logged once", () => {
    const { clock, fire } = manualClock();
    const warnings: string[] = [];
    let fails = false;
    const interfaces = new InterfaceAddresses({
      clock,
      log: { ...silentLog, warn: (message) => void warnings.push(message) },
      read: () => {
        if (fails) throw new Error("no");
        return ["10.0.0.1"];
      },
    });
    interfaces.start(() => expect.fail("nothing changed"));
    fails = true;
    fire();
    fire();
    expect([interfaces.current, warnings.length]).toEqual([["10.0.0.1"], 1]);
    interfaces.stop();
  });

  test("of this machine hold its loopback address", () => {
    const interfaces = new InterfaceAddresses({ clock: systemClock, log: silentLog });
    expect(interfaces.current).toContain("127.0.0.1");
    for (const address of interfaces.current) expect(isIP(address), address).not.toBe(0);
  });
});

test("refused IPs are logged once a minute for each writer, with how many were not", () => {
  const { clock, pass } = manualClock();
  const lines: (LogFields | undefined)[] = [];
  const log = new PodIpLog({ ...silentLog, warn: (_, fields) => void lines.push(fields) }, clock);
  const refused = { key: "ns/a", ip: "127.0.0.1", why: "loopback", from: "10.0.0.66" } as const;
  for (let i = 0; i < 1_000; i++) log.tell({ ...refused, source: "peer" });
  log.tell({ ...refused, source: "informer", from: "" });
  pass(60_000);
  log.tell({ ...refused, source: "peer" });
  expect(lines).toEqual([
    { sandbox: "ns/a", ip: "127.0.0.1", why: "loopback", writer: "peer", from: "10.0.0.66" },
    { sandbox: "ns/a", ip: "127.0.0.1", why: "loopback", writer: "informer" },
    {
      sandbox: "ns/a",
      ip: "127.0.0.1",
      why: "loopback",
      writer: "peer",
      from: "10.0.0.66",
      untoldBefore: 999,
    },
  ]);
});
