import { z } from "zod";
import type { IpFamily } from "../cidr.ts";
import { KERNEL_PROTOCOL, LOCAL_TABLE } from "../fib/kernel-route.ts";
import { understood } from "./printed-json.ts";
import type { Hop, LinkNexthop, LinkRoute } from "./snapshot.ts";

const TYPES = new Map<string, LinkRoute["type"]>([
  ["1", "unicast"],
  ["2", "local"],
  ["3", "broadcast"],
  ["4", "anycast"],
  ["5", "multicast"],
]);

const numeric = z.union([z.number(), z.string().regex(/^\d+$/)]).transform(Number);
const hopFields = {
  dev: z.string().optional(),
  gateway: z.string().optional(),
  via: z.object({ family: z.string(), host: z.string() }).optional(),
  flags: z.array(z.string()).default([]),
  weight: z.number().optional(),
};

const dumpedHop = z.object(hopFields);
const dumpedRoute = z.looseObject({
  ...hopFields,
  type: z.string().default("1"),
  dst: z.string(),
  table: numeric,
  protocol: numeric,
  scope: numeric,
  tos: z.string().optional(),
  metric: z.number().optional(),
  prefsrc: z.string().optional(),
  from: z.string().optional(),
  pref: z.string().optional(),
  expires: z.number().optional(),
  flow: z.object({ from: z.string().optional(), to: z.string() }).optional(),
  nhid: z.number().optional(),
  nexthops: z.array(z.unknown()).optional(),
});

const KNOWN = new Set([...Object.keys(dumpedRoute.shape), "metrics", "nh_info", "ttl-propogate", "cache"]);
const KNOWN_HOP = new Set(Object.keys(hopFields));

/** As `ip -details` prints them, in its spelling. */
const METRIC =
  /(?:^|\s)(mtu|window|rtt|rttvar|ssthresh|cwnd|advmss|reordering|hoplimit|initcwnd|initrwnd|rto_min|congctl|features|quickack|fastopen_no_cookie)\s+(lock\s+)?(\S+)/g;

/** Whether some route has metrics: then their text is needed too. */
export function haveMetrics(entries: readonly unknown[]): boolean {
  return entries.some((entry) => typeof entry === "object" && entry !== null && "metrics" in entry);
}

/**
 * The routes of a family from iproute2's JSON, in the kernel's order, without those that come and go with an address. Metrics are read from the
 * text, since JSON loses their locks and units (docs/node/kernel.md#iproute2); without metrics none is needed. `undefined` when the two are not of one moment.
 */
export function routesFrom(
  entries: readonly unknown[],
  text: string | undefined,
  family: IpFamily,
): readonly LinkRoute[] | undefined {
  const routes = entries.map((entry) => understood(dumpedRoute, entry));
  if (text === undefined) return routes.flatMap((route) => routeOf(route, "", family) ?? []);
  const lines = text.split("\n").filter((line) => line !== "" && !/^\s/.test(line));
  const isSame =
    lines.length === routes.length && routes.every(({ dst }, at) => lines[at]?.split(" ").includes(dst));
  if (!isSame) return undefined;
  return routes.flatMap((route, at) => routeOf(route, lines[at] ?? "", family) ?? []);
}

function routeOf(dumped: z.infer<typeof dumpedRoute>, line: string, family: IpFamily): LinkRoute | undefined {
  const type = TYPES.get(dumped.type);
  const { table, protocol } = dumped;
  // blackhole, unreachable and so on have no link; the local table's own come and go with the addresses.
  if (!type || (table === LOCAL_TABLE && protocol === KERNEL_PROTOCOL)) return undefined;
  const { dst, scope, tos, metric, prefsrc, from, pref, expires, flow, nhid, nexthops } = dumped;
  const strange = Object.keys(dumped).filter((key) => !KNOWN.has(key));
  const strangeInHops = (nexthops ?? [])
    .flatMap((hop) => Object.keys(Object(hop)))
    .filter((key) => !KNOWN_HOP.has(key));
  return {
    family,
    type,
    destination: dst === "default" ? (family === 4 ? "0.0.0.0/0" : "::/0") : dst,
    table,
    protocol,
    scope,
    ...(tos !== undefined && { tos }),
    ...(metric !== undefined && { metric }),
    ...(prefsrc !== undefined && { source: prefsrc }),
    ...(from !== undefined && { from }),
    ...(pref !== undefined && { pref }),
    ...(expires !== undefined && { expiresS: Math.max(1, expires) }),
    ...(flow && { realms: flow.from === undefined ? flow.to : `${flow.from}/${flow.to}` }),
    ...(nhid !== undefined && { nexthopId: nhid }),
    metrics: [...line.matchAll(METRIC)].map(([, name = "", locked, value = ""]) => ({
      name,
      value,
      locked: locked !== undefined,
    })),
    hops: (nexthops?.map((hop) => understood(dumpedHop, hop)) ?? [dumped]).map((hop) => hopOf(hop, family)),
    unknown: [...new Set([...strange, ...strangeInHops].filter((key) => !key.startsWith("encap_")))],
  };
}

function hopOf({ dev, gateway, via, weight, flags }: z.infer<typeof dumpedHop>, family: IpFamily): Hop {
  const gatewayOf = (): Hop["gateway"] => {
    if (gateway !== undefined) return { family, address: gateway };
    return via && { family: via.family === "inet6" ? 6 : 4, address: via.host };
  };
  const resolved = gatewayOf();
  return {
    ...(dev !== undefined && { dev }),
    ...(resolved && { gateway: resolved }),
    ...(weight !== undefined && { weight }),
    onlink: flags.includes("onlink"),
  };
}

const dumpedNexthop = z.looseObject({
  ...hopFields,
  id: z.number(),
  protocol: numeric,
  scope: numeric.optional(),
  group: z.array(z.object({ id: z.number(), weight: z.number().default(1) })).optional(),
  type: z.string().optional(),
  resilient_args: z
    .looseObject({ buckets: z.number(), idle_timer: z.number(), unbalanced_timer: z.number() })
    .optional(),
});

const KNOWN_NEXTHOP = new Set(Object.keys(dumpedNexthop.shape));

/** All nexthop objects from iproute2's JSON, in the order of their IDs. `ofSix`: the IPv6 ones alone. */
export function nexthopsFrom(entries: readonly unknown[], ofSix: readonly unknown[]): readonly LinkNexthop[] {
  const sixIds = new Set(ofSix.map((entry) => understood(dumpedNexthop, entry).id));
  // An entry does not tell its family; the list that it is in does.
  return entries.map((entry) => {
    const dumped = understood(dumpedNexthop, entry);
    return nexthopOf(dumped, sixIds.has(dumped.id) ? 6 : 4);
  });
}

function nexthopOf(dumped: z.infer<typeof dumpedNexthop>, family: IpFamily): LinkNexthop {
  const { id, protocol, group, dev, type, resilient_args: resilient } = dumped;
  const unknown = Object.keys(dumped).filter((key) => !KNOWN_NEXTHOP.has(key));
  if (!group) {
    return { id, protocol, family, ...(dev !== undefined && { hop: hopOf(dumped, family) }), unknown };
  }
  return {
    id,
    protocol,
    group,
    ...(resilient && {
      resilient: {
        buckets: resilient.buckets,
        idleTimerS: resilient.idle_timer,
        unbalancedTimerS: resilient.unbalanced_timer,
      },
    }),
    unknown: type === undefined || type === "mpath" || resilient ? unknown : [...unknown, `type ${type}`],
  };
}
