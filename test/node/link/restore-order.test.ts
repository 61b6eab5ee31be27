import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { restoreOrder } from "../../../src/node/link/restore-order.ts";
import type { LinkNexthop, LinkRule } from "../../../src/node/link/snapshot.ts";
import { route, snapshotOf } from "./support/snapshots.ts";

const orderOf = (...words: readonly string[]) => restoreOrder(snapshotOf({ routes: words.map(route) }));
/** Destinations, in the order in which they are put back. */
const destinations = (order: ReturnType<typeof orderOf>) =>
  order.steps.map(({ line }) => / (?:unicast|id) (\S+)/.exec(line)?.[1]);

const lookup = (table: number, priority: number): LinkRule => ({
  family: 4,
  priority,
  table,
  selective: false,
  arguments: ["from", "0.0.0.0/0", "priority", String(priority), "lookup", String(table)],
  unknown: [],
});

describe("IPv4", () => {
  test("the route to the gateway comes before the default route through it, as on Cilium's /32 layout", () => {
    const order = orderOf("0.0.0.0/0 via 10.8.0.157", "10.8.0.157 scope 253");
    expect(destinations(order)).toEqual(["10.8.0.157", "0.0.0.0/0"]);
    expect(order.onlink).toEqual([]);
    expect(order.unrestorable).toEqual([]);
  });

  test("a route of scope global covers no gateway: onlink, and why", () => {
    const { steps, onlink } = orderOf("0.0.0.0/0 via 10.8.0.157", "10.8.0.157 scope 0");
    expect(onlink).toMatchObject([
      { why: "no route without a gateway of scope link or host covers its gateway 10.8.0.157" },
    ]);
    expect(steps.at(-1)?.line).toContain("via 10.8.0.157 dev eth0 onlink");
  });

  test("a route that has a gateway itself covers none", () => {
    expect(orderOf("10.0.0.0/8 via 10.8.0.157", "10.8.0.157", "0.0.0.0/0 via 10.9.9.9").onlink).toHaveLength(
      1,
    );
  });

  test("an own address is a gateway that needs no route", () => {
    const { onlink } = restoreOrder(
      snapshotOf({
        addresses: [
          {
            family: 4,
            local: "10.8.0.201",
            prefixLength: 32,
            scope: 0,
            noPrefixRoute: false,
            home: false,
            manageTemporary: false,
            autojoin: false,
          },
        ],
        routes: [route("0.0.0.0/0 via 10.8.0.201")],
      }),
    );
    expect(onlink).toEqual([]);
  });

  test("a route of another table covers only where rules lead, and its own table counts without", () => {
    const routes = [
      route("0.0.0.0/0 via 10.8.0.157"),
      route("10.8.0.157 table 101"),
      route("10.1.0.0/16 via 10.8.0.157 table 101"),
    ];
    expect(restoreOrder(snapshotOf({ routes })).onlink).toMatchObject([
      { what: expect.stringContaining("0.0.0.0/0") },
    ]);
    expect(restoreOrder(snapshotOf({ routes, rules: [lookup(101, 50)] })).onlink).toEqual([]);
    const selective = { ...lookup(101, 50), selective: true };
    expect(restoreOrder(snapshotOf({ routes, rules: [selective] })).onlink).toHaveLength(1);
  });

  test("the cover must be on the route's own device", () => {
    const routes = [route("0.0.0.0/0 via 10.8.0.157"), route("10.8.0.157 dev eth1")];
    const { onlink } = restoreOrder(snapshotOf({ routes }), { devices: new Set(["eth0", "eth1"]) });
    expect(onlink).toHaveLength(1);
  });
});

describe("IPv6", () => {
  const [C, A, B] = [
    "2001:db8:c::/48 metric 1024",
    "2001:db8:d::/64 via 2001:db8:c:5::9 metric 1024",
    "2001:db8:c:5::/64 via 2001:db8::157 metric 1024",
  ] as const;
  const link = "2001:db8::157 metric 1024";

  test("what would hide a gateway's cover comes after: C, A, B in whatever order they were listed", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([A, B, C, link], { minLength: 4 }), (words) => {
        const order = orderOf(...words);
        const placed = destinations(order);
        expect(order.onlink).toEqual([]);
        const [c, a, b] = ["2001:db8:c::/48", "2001:db8:d::/64", "2001:db8:c:5::/64"].map((one) =>
          placed.indexOf(one),
        );
        expect(c).toBeLessThan(a!);
        expect(a).toBeLessThan(b!);
      }),
    );
  });

  test("a link-local gateway needs no route", () => {
    expect(orderOf("::/0 via fe80::1").onlink).toEqual([]);
  });

  test("routes that hide each other's gateways have no order: one gets onlink, and the circle is named", () => {
    const { onlink, steps } = orderOf(
      "2001:db8::/32",
      "2001:db8:1::/48 via 2001:db8:2::1",
      "2001:db8:2::/48 via 2001:db8:1::1",
    );
    expect(steps).toHaveLength(3);
    expect(onlink).toHaveLength(1);
    expect(onlink[0]?.why).toMatch(/in a circle: .*2001:db8:1::\/48.* → .*2001:db8:2::\/48/);
  });

  test("of two routes with one destination, the smaller metric hides the other", () => {
    const placed = destinations(
      orderOf(
        "2001:db8:1::/48 via 2001:db8:9::1 metric 10",
        "2001:db8:9::/48 metric 1024",
        "2001:db8:5::/48 via 2001:db8:1::1",
        "2001:db8:1::/48 metric 1024",
      ),
    );
    expect(placed).toEqual(["2001:db8:9::/48", "2001:db8:1::/48", "2001:db8:5::/48", "2001:db8:1::/48"]);
  });
});

describe("nexthop objects", () => {
  const object = (id: number, via?: string): LinkNexthop => ({
    id,
    protocol: 0,
    family: 4,
    hop: {
      dev: "eth0",
      onlink: false,
      ...(via !== undefined && { gateway: { family: 4 as const, address: via } }),
    },
    unknown: [],
  });

  test("an object comes after what covers its gateway, a group after its members, a route after its object", () => {
    const order = restoreOrder(
      snapshotOf({
        nexthops: [
          { id: 1, protocol: 0, group: [{ id: 2, weight: 1 }], unknown: [] },
          object(2, "10.8.0.157"),
          object(3),
        ],
        routes: [route("10.1.0.0/16 nhid 1 via 10.8.0.157"), route("10.8.0.157 nhid 3")],
      }),
    );
    expect(order.onlink).toEqual([]);
    expect(destinations(order)).toEqual(["3", "10.8.0.157", "2", "1", "10.1.0.0/16"]);
  });

  test("one on another link takes its group and their routes along, each named", () => {
    const { unrestorable, steps } = restoreOrder(
      snapshotOf({
        nexthops: [
          { ...object(2), hop: { dev: "eth1", onlink: false } },
          { id: 1, protocol: 0, group: [{ id: 2, weight: 1 }], unknown: [] },
        ],
        routes: [route("10.1.0.0/16 nhid 1 dev eth1")],
      }),
    );
    expect(steps).toEqual([]);
    expect(unrestorable.map(({ why }) => why)).toEqual([
      "it also uses eth1, which is not there",
      "its member 2 can't be put back",
      "its nexthop object 1 can't be put back",
    ]);
  });
});

test("an IPv6 gateway that has become an own address is refused by the kernel: named", () => {
  const own = {
    family: 6 as const,
    local: "2001:db8::1",
    prefixLength: 64,
    scope: 0,
    noPrefixRoute: false,
    home: false,
    manageTemporary: false,
    autojoin: false,
  };
  const { unrestorable } = restoreOrder(
    snapshotOf({ addresses: [own], routes: [route("2001:db8:1::/48 via 2001:db8::1")] }),
  );
  expect(unrestorable).toMatchObject([
    { why: "its gateway 2001:db8::1 has become an address of the link itself" },
  ]);
});

test("what can't be put back is named with its reason", () => {
  const { unrestorable } = restoreOrder(
    snapshotOf({
      routes: [
        route("10.1.0.0/16 src 10.7.7.7"),
        route("10.2.0.0/16 dev eth1"),
        { ...route("10.3.0.0/16"), unknown: ["encap"] },
      ],
    }),
  );
  expect(unrestorable.map(({ why }) => why)).toEqual([
    "its source 10.7.7.7 is not an address of the link",
    "it also uses eth1, which is not there",
    "it has encap, which is not supported",
  ]);
});

test("every step comes once, whatever the routes", () => {
  const octets = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 3 }));
  const words = fc
    .tuple(octets, fc.constantFrom(32, 40, 48, 64), fc.option(octets))
    .map(([[one, two], length, via]) => {
      const block = length === 32 ? "2001:db8::" : length === 40 ? "2001:db8::" : `2001:db8:${one}::`;
      const destination = length === 64 ? `2001:db8:${one}:${two}::/64` : `${block}/${length}`;
      return via ? `${destination} via 2001:db8:${via[0]}:${via[1]}::1` : destination;
    });
  fc.assert(
    fc.property(fc.uniqueArray(words, { maxLength: 12 }), (all) => {
      const { steps } = orderOf(...all);
      expect(steps.map(({ key }) => key).sort()).toEqual(
        orderOf(...all.toReversed())
          .steps.map(({ key }) => key)
          .sort(),
      );
      expect(steps).toHaveLength(all.length);
    }),
  );
});
