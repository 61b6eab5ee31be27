import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { routeLine, settingLines } from "../../../src/node/link/commands.ts";
import { differences } from "../../../src/node/link/differences.ts";
import { formatSnapshot, parseSnapshot, withLinkName } from "../../../src/node/link/snapshot.ts";
import { route, snapshotOf } from "./support/snapshots.ts";

const full = snapshotOf({
  addresses: [
    {
      family: 4,
      local: "10.8.0.201",
      prefixLength: 32,
      scope: 0,
      label: "eth0:web",
      noPrefixRoute: false,
      home: false,
      manageTemporary: false,
      autojoin: false,
    },
  ],
  rules: [
    {
      family: 4,
      priority: 5,
      table: 101,
      selective: true,
      iif: "eth0",
      arguments: ["from", "0.0.0.0/0", "iif", "eth0", "priority", "5", "lookup", "101"],
      unknown: [],
    },
  ],
  routes: [
    { ...route("0.0.0.0/0 via 10.8.0.157"), metrics: [{ name: "mtu", value: "1400", locked: true }] },
    route("10.8.0.157"),
  ],
  sysctls: { "ipv4/conf/proxy_arp": "0" },
  gateways: [{ address: "10.8.0.157", mac: "02:00:00:00:00:02" }],
});

describe("the file", () => {
  test("comes back as it was written", () => {
    expect(parseSnapshot(formatSnapshot(full), "eth0.json")).toEqual(full);
  });

  test.each([
    ["no JSON", "{", /^eth0.json is no JSON/],
    ["another version", JSON.stringify({ ...full, version: 2 }), /version: /],
    ["another file", "{}", /format: .*; version: .*; .* and \d+ more/],
    [
      "a word that would end the line of a batch",
      JSON.stringify({
        ...full,
        routes: [{ ...route("10.8.0.157"), destination: "10.8.0.157\nlink delete eth0" }],
      }),
      /routes\.0\.destination: must be one word/,
    ],
    [
      "a name that leads out of its folder",
      JSON.stringify({ ...full, link: { ...full.link, name: "../all" } }),
      /link\.name: must be the name of a link/,
    ],
    [
      "a setting of another link",
      JSON.stringify({ ...full, sysctls: { "ipv4/../ipv4/conf/all/forwarding": "1" } }),
      /sysctls/,
    ],
  ])("%s is refused, and the field named", (_, text, message) => {
    expect(() => parseSnapshot(text, "eth0.json")).toThrow(message);
    expect(() => parseSnapshot(text, "eth0.json")).toThrow(expect.objectContaining({ code: "invalid" }));
  });

  test("any text is refused or read, never anything else", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(() => parseSnapshot(text, "x")).toThrow(expect.objectContaining({ code: "invalid" }));
      }),
    );
  });
});

describe("the link under another name", () => {
  test("its routes, rules and labels follow; other words stay", () => {
    const renamed = withLinkName(full, "net1");
    expect(renamed.link.name).toBe("net1");
    expect(renamed.addresses[0]?.label).toBe("net1:web");
    expect(renamed.rules[0]?.arguments.join(" ")).toBe("from 0.0.0.0/0 iif net1 priority 5 lookup 101");
    expect(routeLine("append", renamed.routes[1]!)).toContain("dev net1");
    expect(withLinkName(renamed, "eth0")).toEqual(full);
  });
});

describe("what differs", () => {
  test("nothing, for the same", () => {
    expect(differences(full, full)).toEqual([]);
  });

  test("a route that is gone or new, a setting, a lock, a rule", () => {
    const [first, second] = [full.routes[0]!, full.routes[1]!];
    expect(differences(full, { ...full, routes: [first] })).toEqual([
      expect.stringMatching(/^missing: .*10.8.0.157/),
    ]);
    expect(differences({ ...full, routes: [second] }, full)).toEqual([
      expect.stringMatching(/^not in the snapshot: .*0\.0\.0\.0\/0/),
    ]);
    const unlocked = { ...first, metrics: [{ name: "mtu", value: "1400", locked: false }] };
    expect(differences(full, { ...full, routes: [unlocked, second] })).toHaveLength(2);
    expect(differences(full, { ...full, sysctls: { "ipv4/conf/proxy_arp": "1" } })).toEqual([
      "ipv4/conf/proxy_arp is 1, not 0",
    ]);
    expect(differences(full, { ...full, rules: [] })).toHaveLength(1);
    expect(differences(full, { ...full, link: { ...full.link, mtu: 9000 } })).toEqual([
      "the link's mtu is 9000, not 1500",
    ]);
  });

  test("seconds that ran down are no difference, an end where there was none is", () => {
    const expiring = { ...route("2001:db8::/32"), expiresS: 300 };
    const wanted = { ...full, routes: [expiring] };
    expect(differences(wanted, { ...full, routes: [{ ...expiring, expiresS: 7 }] })).toEqual([]);
    expect(differences(wanted, { ...full, routes: [route("2001:db8::/32")] })).toHaveLength(2);
  });

  test("a pinned gateway must be a permanent neighbour", () => {
    const excused = { onlink: [], unrestorable: [], pinned: true };
    expect(differences(full, full, excused)).toHaveLength(1);
    expect(differences(full, { ...full, permanentNeighbours: full.gateways }, excused)).toEqual([]);
  });
});

test("only settings that differ are set", () => {
  expect(settingLines(full.link, full.link)).toEqual([]);
  expect(settingLines({ ...full.link, mtu: 9000, promiscuous: true }, full.link)).toEqual([
    "link set dev eth0 mtu 9000 promisc on",
  ]);
});
