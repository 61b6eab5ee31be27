import {
  addressBits,
  type Cidr,
  cidrAt,
  formatCidr,
  type IpFamily,
  parseAddress,
  parseCidr,
} from "../cidr.ts";

/** What the kernel does with a packet that a route takes (rtnetlink(7), `rtm_type`). */
export type RouteType =
  | "unicast"
  | "local"
  | "broadcast"
  | "anycast"
  | "multicast"
  | "blackhole"
  | "unreachable"
  | "prohibit"
  | "throw"
  | "other";

/** One way out of a route. */
export interface NextHop {
  /** Absent: whoever is asked for is on the link itself. May be of the other family. */
  readonly gateway?: string;
  readonly dev: string;
  /** Its device is gone or down: the kernel skips it. */
  readonly dead: boolean;
}

/** A route, as the kernel holds it. */
export interface KernelRoute {
  readonly destination: Cidr;
  readonly type: RouteType;
  readonly table: number;
  /** Lower wins. */
  readonly metric: number;
  /** Who installed it (rtnetlink(7), `rtm_protocol`). */
  readonly protocol: number;
  readonly nextHops: readonly NextHop[];
  /** The address that packets of this machine's own get as their source. */
  readonly source?: string;
  /** IPv4: 0 global, 253 link, 254 host (rtnetlink(7), `rtm_scope`). IPv6: 0. */
  readonly scope: number;
  /** Only packets with this TOS, or from these addresses (IPv6), take it. In words, such as `tos 0x10`; empty: all packets do. */
  readonly condition: string;
}

/** Number of the main table (rtnetlink(7), `rtm_table`). */
export const MAIN_TABLE = 254;
/** Number of the table that the last rule leads to. */
export const DEFAULT_TABLE = 253;
/** Number of the table with the machine's own addresses. */
export const LOCAL_TABLE = 255;
/** `rtm_scope` of what is on a link itself. */
export const SCOPE_LINK = 253;
/** `rtm_protocol` of routes that the kernel made itself. */
export const KERNEL_PROTOCOL = 2;

const TYPES: Readonly<Record<number, RouteType>> = {
  1: "unicast",
  2: "local",
  3: "broadcast",
  4: "anycast",
  5: "multicast",
  6: "blackhole",
  7: "unreachable",
  8: "prohibit",
  9: "throw",
};

/** Reads one element of `ip -json -details -N route show`; `undefined` for what is no route of this family. */
export function readKernelRoute(value: unknown, family: IpFamily): KernelRoute | undefined {
  if (!isRecord(value)) return undefined;
  const destination = destinationOf(value["dst"], family);
  if (!destination) return undefined;
  const { type, tos, prefsrc } = value;
  return {
    destination,
    // Left out: unicast.
    type: type === undefined ? "unicast" : (TYPES[Number(type)] ?? "other"),
    table: Number(value["table"] ?? MAIN_TABLE),
    metric: Number(value["metric"] ?? 0),
    protocol: Number(value["protocol"] ?? 0),
    nextHops: Array.isArray(value["nexthops"])
      ? value["nexthops"].filter(isRecord).map(nextHopOf)
      : typeof value["dev"] === "string"
        ? [nextHopOf(value)]
        : [],
    ...(typeof prefsrc === "string" && { source: prefsrc }),
    scope: Number(value["scope"] ?? 0),
    condition: conditionOf(tos, value["from"]),
  };
}

/** The interfaces that a route may send by, each once: dead ones are left out while there is another. */
export function interfacesOf({ nextHops }: KernelRoute): readonly string[] {
  const living = nextHops.filter(({ dead }) => !dead);
  return [...new Set((living.length > 0 ? living : nextHops).map(({ dev }) => dev))];
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  0: "unspec",
  1: "redirect",
  2: "kernel",
  3: "boot",
  4: "static",
  9: "ra",
  12: "bird",
  16: "dhcp",
  18: "keepalived",
  42: "babel",
  186: "bgp",
  187: "isis",
  188: "ospf",
  189: "rip",
};

const TABLES: Readonly<Record<number, string>> = { 253: "default", 254: "main", 255: "local" };

/** A table's name, or its number. */
export function tableName(table: number): string {
  return TABLES[table] ?? String(table);
}

/**
 * A route in iproute2's words: `172.16.0.0/16 dev ib0 proto kernel`; the table and the metric when they are not the usual ones. Of many next hops only the
 * first `maxHops` are listed, which is for people.
 */
export function formatKernelRoute(route: KernelRoute, maxHops = Number.POSITIVE_INFINITY): string {
  const { destination, type, nextHops, protocol, metric, table, condition } = route;
  const hops = nextHops.map(({ gateway, dev }) => (gateway ? `via ${gateway} dev ${dev}` : `dev ${dev}`));
  return [
    ...(type === "unicast" ? [] : [type]),
    destination.prefixLength === 0 ? "default" : formatCidr(destination),
    ...(condition === "" ? [] : [condition]),
    ...(hops.length > 1 ? hops.slice(0, maxHops).map((hop) => `nexthop ${hop}`) : hops),
    ...(hops.length > maxHops ? [`(and ${hops.length - maxHops} more)`] : []),
    `proto ${PROTOCOLS[protocol] ?? protocol}`,
    ...(metric > 0 ? [`metric ${metric}`] : []),
    ...(table === MAIN_TABLE ? [] : [`table ${tableName(table)}`]),
  ].join(" ");
}

/** A value of iproute2's JSON that has fields. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function conditionOf(tos: unknown, from: unknown): string {
  return [
    ...((typeof tos === "string" || typeof tos === "number") && Number(tos) !== 0 ? [`tos ${tos}`] : []),
    ...(typeof from === "string" ? [`from ${from}`] : []),
  ].join(" ");
}

function destinationOf(dst: unknown, family: IpFamily): Cidr | undefined {
  if (typeof dst !== "string") return undefined;
  if (dst === "default") return cidrAt({ family, value: 0n }, 0);
  const cidr = dst.includes("/") ? parseCidr(dst, "a route to") : hostOf(dst);
  return cidr?.family === family ? cidr : undefined;
}

function hostOf(text: string): Cidr | undefined {
  const address = parseAddress(text);
  return address && cidrAt(address, addressBits(address.family));
}

function nextHopOf(value: Readonly<Record<string, unknown>>): NextHop {
  const via = isRecord(value["via"]) ? value["via"]["host"] : undefined;
  const gateway = value["gateway"] ?? via;
  return {
    ...(typeof gateway === "string" && { gateway }),
    dev: typeof value["dev"] === "string" ? value["dev"] : "?",
    dead: Array.isArray(value["flags"]) && value["flags"].includes("dead"),
  };
}
