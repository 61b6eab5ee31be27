import { addressBits, type Cidr, cidrAt, cidrsOfRange, formatCidr, type IpFamily } from "../cidr.ts";
import type { Fib, Outcome, PacketKind } from "../fib/fib.ts";
import {
  formatKernelRoute,
  KERNEL_PROTOCOL,
  type KernelRoute,
  LOCAL_TABLE,
  MAIN_TABLE,
  tableName,
} from "../fib/kernel-route.ts";
import { formatKernelRule } from "../fib/kernel-rule.ts";

/** An entry of the specification of `lychgate node static-routes`. */
export interface StaticRouteEntry {
  readonly destination: string;
  readonly gateway?: string;
  readonly dev?: string;
}

/** What would put a finding right. */
export interface Fix {
  /** Entries of static-routes that would; empty where none can. */
  readonly entries: readonly StaticRouteEntry[];
  /** In one line. */
  readonly text: string;
}

const IN_PLACE_OF_A_GATEWAY = "none";
/** More than these in one fix help nobody: the next check names the rest. */
const MAX_DESTINATIONS = 16;

/** What is wrong, and where it is. */
export interface Faulty {
  readonly cidr: Cidr;
  /** The addresses of `cidr` that are concerned. */
  readonly parts: readonly { readonly first: bigint; readonly last: bigint }[];
  readonly outcome: Outcome;
  readonly kind: PacketKind;
  /** The tables can't tell: the kernel said so of one address. */
  readonly isKernelsWord: boolean;
  /** The default routes of plain packets. */
  readonly defaults: readonly KernelRoute[];
  readonly fib: Fib;
}

/** What would make the packets of a finding leave by the default route's interface. */
export function fixOf(faulty: Faulty): Fix {
  const { cidr, outcome, kind, isKernelsWord, defaults } = faulty;
  const { family } = cidr;
  if (outcome.kind === "rule") {
    const { priority } = outcome.rule;
    return noEntry(
      `no route can: remove ${formatKernelRule(outcome.rule)}: ${ip(family)} rule del priority ${priority}`,
    );
  }
  const way = wayOf(cidr, defaults);
  if (!way) return noEntry("add a default route first");
  const route = outcome.kind === "routes" ? outcome.routes[0] : undefined;
  if (isKernelsWord && route?.type !== "unicast") {
    return noEntry("the tables do not say why the kernel refuses it: look at ip rule and ip xfrm policy");
  }
  if (route?.table === LOCAL_TABLE) return ownAddress(family, route);
  const table = route?.table ?? (kind === "plain" ? undefined : kind.table) ?? MAIN_TABLE;
  const destinations = destinationsOf(faulty, route, table);
  if (destinations.length === 0) {
    const words = route ? formatKernelRoute(route) : `throw ${faultyText(faulty)}`;
    return noEntry(`no narrower route can win: ${ip(family)} route del ${words}`);
  }
  const commands = destinations
    .map((one) => `${ip(family)} route add ${formatCidr(one)} ${words(way, family)}${tableWords(table)}`)
    .join(" && ");
  if (table !== MAIN_TABLE) {
    return noEntry(
      `static-routes writes the main table, and table ${tableName(table)} is asked before it: ${commands}`,
    );
  }
  if (family === 6 || way.gateway?.includes(":")) return noEntry(`static-routes is for IPv4; ${commands}`);
  const gateway = way.gateway ?? IN_PLACE_OF_A_GATEWAY;
  const entries = destinations.map((one) => ({ destination: formatCidr(one), gateway, dev: way.dev }));
  return { entries, text: `static-routes ${entries.map(entryText).join(", ")}` };
}

/** An entry as YAML's flow style writes it: `{destination: 10.0.0.0/8, dev: eth0}`. */
export function entryText(entry: StaticRouteEntry): string {
  return `{${Object.entries(entry)
    .map(([key, value]) => `${key}: ${value}`)
    .join(", ")}}`;
}

interface Way {
  readonly gateway: string | undefined;
  readonly dev: string;
}

/** By which gateway and device the default route sends to `cidr`: of halves, the one that holds it. */
function wayOf(cidr: Cidr, defaults: readonly KernelRoute[]): Way | undefined {
  const route =
    defaults.find(({ destination }) => destination.first <= cidr.first && cidr.first <= destination.last) ??
    defaults[0];
  const hop = route?.nextHops.find(({ dead }) => !dead) ?? route?.nextHops[0];
  return hop && { gateway: hop.gateway, dev: hop.dev };
}

/** The destinations that take the packets back in `table`; empty where none can. */
function destinationsOf(
  { cidr, parts, fib }: Faulty,
  route: KernelRoute | undefined,
  table: number,
): readonly Cidr[] {
  const wanted = route
    ? winningDestinations(cidr, route)
    : parts.flatMap(({ first, last }) => cidrsOfRange(cidr.family, first, last));
  // What has a route already, such as one that says throw, has room for narrower ones only.
  const free = wanted.flatMap((one) => (fib.isTaken(table, one) ? halvesOf(one) : [one]));
  return free.slice(0, MAX_DESTINATIONS);
}

/** The destinations that take `cidr` back from `route`. */
function winningDestinations(cidr: Cidr, route: KernelRoute): readonly Cidr[] {
  const { destination, metric, condition } = route;
  if (destination.prefixLength < cidr.prefixLength) return [cidr];
  // Of one length the lower metric wins, and that of an entry is 0; but a route with a condition wins over any without.
  if (metric > 0 && cidr.family === 4 && condition === "") return [destination];
  return halvesOf(destination);
}

function halvesOf({ family, first, last, prefixLength }: Cidr): readonly Cidr[] {
  if (prefixLength === addressBits(family)) return [];
  const half = (last - first + 1n) / 2n;
  return [first, first + half].map((value) => cidrAt({ family, value }, prefixLength + 1));
}

/** Routes of the local table come with an address, or someone made them by hand. */
function ownAddress(family: IpFamily, route: KernelRoute): Fix {
  const { protocol, source, nextHops } = route;
  const dev = nextHops[0]?.dev ?? "lo";
  if (protocol !== KERNEL_PROTOCOL) {
    return noEntry(`the machine takes these as its own: ${ip(family)} route del ${formatKernelRoute(route)}`);
  }
  // IPv6 takes an address away by its prefix length alone, which the route does not tell.
  const how = family === 4 && source !== undefined ? `: ip address del ${source} dev ${dev}` : "";
  return noEntry(`the machine has this address itself: take it from ${dev}${how}`);
}

function faultyText({ cidr: { family }, parts: [part] }: Faulty): string {
  return part ? cidrsOfRange(family, part.first, part.last).slice(0, 1).map(formatCidr).join() : "";
}

function noEntry(text: string): Fix {
  return { entries: [], text };
}

function ip(family: IpFamily): string {
  return family === 6 ? "ip -6" : "ip";
}

function tableWords(table: number): string {
  return table === MAIN_TABLE ? "" : ` table ${tableName(table)}`;
}

function words({ gateway, dev }: Way, family: IpFamily): string {
  const other = family === 4 && gateway?.includes(":") ? "inet6 " : "";
  return `${gateway === undefined ? "" : `via ${other}${gateway} `}dev ${dev}`;
}
