import { addressBits, type Cidr, cidrAt, formatCidr } from "../cidr.ts";
import type { Outcome } from "../fib/fib.ts";
import { formatKernelRoute, type KernelRoute, tableName } from "../fib/kernel-route.ts";
import { formatKernelRule } from "../fib/kernel-rule.ts";

/** An entry of the specification of `lychgate host static-routes`. */
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

const MAIN_TABLE = 254;
const LOCAL_TABLE = 255;

/** What would make the packets of a finding leave by the default route's interface. */
export function fixOf(finding: {
  readonly cidr: Cidr;
  readonly outcome: Outcome;
  readonly condition: string;
  /** Of plain packets. */
  readonly defaults: readonly KernelRoute[];
}): Fix {
  const { cidr, outcome, condition, defaults } = finding;
  const way = wayOf(cidr, defaults);
  if (outcome.kind === "rule") {
    return noEntry(`no route can: remove ${formatKernelRule(outcome.rule)}, or put a rule before it`);
  }
  if (!way) return noEntry("add a default route first");
  const route = outcome.kind === "routes" ? outcome.routes[0] : undefined;
  if (condition !== "" || (route && route.table !== MAIN_TABLE)) return inOtherTable(cidr, route, way);
  const destinations = route ? winningDestinations(cidr, route) : [cidr];
  if (destinations.length === 0) {
    return noEntry(
      `no narrower route can win: ip ${cidr.family === 6 ? "-6 " : ""}route del ${route ? formatKernelRoute(route) : ""}`,
    );
  }
  if (cidr.family === 6) {
    const commands = destinations.map((one) => `ip -6 route add ${formatCidr(one)} ${words(way)}`);
    return noEntry(`static-routes is for IPv4; ${commands.join(" && ")}`);
  }
  const entries = destinations.map((one) => Object.assign({ destination: formatCidr(one) }, way));
  return { entries, text: `static-routes ${entries.map(entryText).join(", ")}` };
}

/** An entry as YAML's flow style writes it: `{destination: 10.0.0.0/8, dev: eth0}`. */
export function entryText(entry: StaticRouteEntry): string {
  return `{${Object.entries(entry)
    .map(([key, value]) => `${key}: ${value}`)
    .join(", ")}}`;
}

type Way = Omit<StaticRouteEntry, "destination">;

/** By which gateway and device the default route sends to `cidr`: of halves, the one that holds it. */
function wayOf(cidr: Cidr, defaults: readonly KernelRoute[]): Way | undefined {
  const route =
    defaults.find(({ destination }) => destination.first <= cidr.first && cidr.first <= destination.last) ??
    defaults[0];
  const hop = route?.nextHops.find(({ dead }) => !dead) ?? route?.nextHops[0];
  return hop && { ...(hop.gateway !== undefined && { gateway: hop.gateway }), dev: hop.dev };
}

/** The destinations in the main table that take `cidr` back from `route`. */
function winningDestinations(cidr: Cidr, route: KernelRoute): readonly Cidr[] {
  const { destination, metric } = route;
  if (destination.prefixLength < cidr.prefixLength) return [cidr];
  // Of one length the lower metric wins, and that of an entry is 0. Else its two halves are narrower.
  if (metric > 0 && cidr.family === 4) return [destination];
  if (destination.prefixLength === addressBits(destination.family)) return [];
  const { family, first, last, prefixLength } = destination;
  const half = (last - first + 1n) / 2n;
  return [first, first + half].map((value) => cidrAt({ family, value }, prefixLength + 1));
}

function inOtherTable(cidr: Cidr, route: KernelRoute | undefined, way: Way): Fix {
  if (route?.table === LOCAL_TABLE) {
    return noEntry(
      `the machine has this address itself: take it from ${route.nextHops.map(({ dev }) => dev).join(", ")}`,
    );
  }
  if (!route) return noEntry(`add a route to ${formatCidr(cidr)} in the table that these packets are led to`);
  const table = tableName(route.table);
  const destinations = winningDestinations(cidr, route);
  const advice = destinations.map(
    (one) => `ip ${cidr.family === 6 ? "-6 " : ""}route add ${formatCidr(one)} ${words(way)} table ${table}`,
  );
  return noEntry(
    `static-routes writes the main table, and table ${table} is asked before it: ${
      advice.join(" && ") || `remove the route from table ${table}`
    }`,
  );
}

function noEntry(text: string): Fix {
  return { entries: [], text };
}

function words({ gateway, dev }: Way): string {
  return `${gateway === undefined ? "" : `via ${gateway} `}dev ${dev ?? ""}`;
}
