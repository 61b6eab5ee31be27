import type { LinkRoute, LinkSnapshot } from "../../../../src/node/link/snapshot.ts";

/** A route as a snapshot has it: through `eth0`, from the words of `ip route add`. */
export function route(words: string): LinkRoute {
  const [destination = "", ...rest] = words.split(" ");
  const option = (name: string): string | undefined => {
    const at = rest.indexOf(name);
    return at < 0 ? undefined : rest[at + 1];
  };
  const family = destination.includes(":") ? 6 : 4;
  const via = option("via");
  const nhid = option("nhid");
  const metric = option("metric");
  const source = option("src");
  return {
    family,
    type: "unicast",
    destination,
    table: Number(option("table") ?? 254),
    protocol: 3,
    scope: Number(option("scope") ?? (family === 4 && via === undefined ? 253 : 0)),
    ...(metric !== undefined && { metric: Number(metric) }),
    ...(source !== undefined && { source }),
    ...(nhid !== undefined && { nexthopId: Number(nhid) }),
    metrics: [],
    hops: [
      {
        dev: option("dev") ?? "eth0",
        ...(via !== undefined && {
          gateway: { family: via.includes(":") ? (6 as const) : (4 as const), address: via },
        }),
        onlink: rest.includes("onlink"),
      },
    ],
    unknown: [],
  };
}

/** A snapshot of `eth0` with nothing but what is given. */
export function snapshotOf(given: Partial<LinkSnapshot>): LinkSnapshot {
  return {
    format: "lychgate-link-snapshot",
    version: 1,
    takenAt: "2026-01-01T00:00:00.000Z",
    link: {
      name: "eth0",
      index: 2,
      kind: "veth",
      mac: "02:00:00:00:00:01",
      mtu: 1500,
      queueLength: 1000,
      alias: "",
      alternativeNames: [],
      group: "0",
      up: true,
      arp: true,
      multicast: true,
      allMulticast: false,
      promiscuous: false,
      addressGeneration: "eui64",
    },
    addresses: [],
    rules: [],
    nexthops: [],
    routes: [],
    sysctls: {},
    permanentNeighbours: [],
    proxyNeighbours: [],
    gateways: [],
    skippedGateways: [],
    losses: [],
    notes: [],
    ...given,
  };
}
