import { type Cidr, contains, type IpAddress, type IpFamily, parseAddress, parseCidr } from "../cidr.ts";
import { nexthopLine, routeLine, ruleLine } from "./commands.ts";
import type { Hop, LinkNexthop, LinkRoute, LinkSettings, LinkSnapshot } from "./snapshot.ts";

/** One command that puts a nexthop object or a route back. */
export interface RestoreStep {
  readonly kind: "nexthop" | "route";
  /** A line of iproute2's batch mode. */
  readonly line: string;
  /** It must be told by `-6` that it is IPv6: nothing in the line says so. */
  readonly needsSix: boolean;
  /** The same whatever the flags are: by this a step is asked to be `onlink`. */
  readonly key: string;
  /** It may be tried with `onlink` when the kernel can't resolve its gateway. */
  readonly canBeOnlink: boolean;
}

/** Something of a snapshot, and why it is not put back as it was. */
export interface Exception {
  /** The route or the nexthop object, as iproute2's command would name it. */
  readonly what: string;
  readonly why: string;
  readonly key: string;
}

/** How nexthop objects and routes are put back. */
export interface RestoreOrder {
  readonly steps: readonly RestoreStep[];
  /** Put back with the `onlink` flag, which they did not have. */
  readonly onlink: readonly Exception[];
  /** Not put back at all. */
  readonly unrestorable: readonly Exception[];
}

/** What is there already where the link is put up again. */
export interface RestorePlace {
  /** The link was made a moment ago and is set to this; nothing else is there. Default: the kernel is asked. */
  readonly made?: LinkSettings;
  /** Links that are there. Default: only this one. */
  readonly devices?: ReadonlySet<string>;
  /**
   * It is where the snapshot was taken: addresses of other links, which routes may use as their source, and rules that are not understood are there
   * still. Default: no.
   */
  readonly isHome?: boolean;
  /** Keys of what needs `onlink`, as an earlier try found out, and why. */
  readonly onlink?: ReadonlyMap<string, string>;
}

/** Key of the exception that a link has no master any more. */
export const MASTER_KEY = "master";

const SCOPE_LINK = 253;
const LOCAL_TABLE = 255;
const MAIN_TABLE = 254;
const DEFAULT_TABLE = 253;

interface Gateway {
  readonly family: IpFamily;
  readonly address: IpAddress;
  readonly dev: string | undefined;
}

interface Node {
  readonly step: RestoreStep;
  readonly route?: LinkRoute;
  readonly nexthop?: LinkNexthop;
  /** Table whose routes are asked first for a gateway. */
  readonly table: number | undefined;
  /** What the kernel resolves when this is added. */
  readonly gateways: readonly Gateway[];
  /** The route's destination. */
  readonly block: Cidr | undefined;
  /** Its object, or a group's members. */
  readonly objects: Set<Node>;
  /** What its gateways are resolved by. */
  readonly covers: Set<Node>;
  /** Whose gateway could not be resolved any more if this were there. */
  readonly hides: Set<Node>;
}

/**
 * The order in which the kernel takes back a link's nexthop objects and routes: a topological sort by what the kernel looks up when
 * each is added (docs/node/kernel.md#gateways).
 *
 * A gateway must be covered by a route without gateway, for IPv4 of scope link or host, in the route's own table or where
 * rules lead: that comes first. IPv6 takes the longest match: a route with a gateway that contains another's gateway, and
 * is longer than what covers that, comes after it. A route comes after its nexthop object, a group after its members.
 * Where no order exists, `onlink` spares the lookup, and the exception says so.
 */
export function restoreOrder(snapshot: LinkSnapshot, place: RestorePlace = {}): RestoreOrder {
  const { kept, unrestorable } = separate(snapshot, place);
  const onlink = new Map<string, Exception>();
  const wanted = place.onlink ?? new Map<string, string>();
  const nodes = [...kept.nexthops.map(nexthopNode), ...kept.routes.map(routeNode)];
  const exempt = (node: Node, why: string): void => {
    onlink.set(node.step.key, { what: node.step.line, why, key: node.step.key });
    node.covers.clear();
    for (const other of nodes) other.hides.delete(node);
  };
  connectObjects(nodes);
  for (const node of nodes) {
    const why = wanted.get(node.step.key);
    if (why !== undefined) onlink.set(node.step.key, { what: node.step.line, why, key: node.step.key });
  }
  for (const node of nodes) {
    if (onlink.has(node.step.key)) continue;
    const uncovered = connectGateways(node, nodes, snapshot);
    if (uncovered !== undefined) exempt(node, uncovered);
  }
  const ordered = sort(nodes, exempt);
  const steps = ordered.map(({ step, route, nexthop }): RestoreStep => {
    const { kind, key, needsSix, canBeOnlink } = step;
    const isOnlink = onlink.has(key);
    const line = nexthop
      ? nexthopLine(nexthop, isOnlink)
      : route
        ? routeLine(verbOf(route, snapshot), route, isOnlink)
        : step.line;
    return { kind, key, needsSix, canBeOnlink, line };
  });
  return { steps, onlink: [...onlink.values()], unrestorable };
}

/** The key of a route's step. */
export function routeKey(route: LinkRoute): string {
  return `route ${routeLine("append", { ...withoutOnlink(route), expiresS: undefined })}`;
}

function withoutOnlink(route: LinkRoute): LinkRoute {
  return { ...route, hops: route.hops.map((hop) => ({ ...hop, onlink: false })) };
}

/** What is left of a route that also goes by another link is there: it is replaced. */
function verbOf(route: LinkRoute, { link }: LinkSnapshot): "append" | "replace" {
  return route.hops.some(({ dev }) => dev !== link.name) ? "replace" : "append";
}

function routeNode(route: LinkRoute): Node {
  const gateways = route.nexthopId === undefined ? gatewaysOf(route.hops) : [];
  return {
    step: {
      kind: "route",
      line: routeLine("append", route),
      needsSix: false,
      key: routeKey(route),
      canBeOnlink: gateways.length > 0,
    },
    route,
    table: route.table,
    gateways,
    block: parseCidr(route.destination, "destination"),
    ...edges(),
  };
}

function nexthopNode(nexthop: LinkNexthop): Node {
  const gateways = gatewaysOf(nexthop.hop ? [nexthop.hop] : []);
  return {
    step: {
      kind: "nexthop",
      line: nexthopLine(nexthop, false),
      needsSix: nexthop.family === 6 && !nexthop.hop?.gateway,
      key: `nexthop ${nexthop.id}`,
      canBeOnlink: gateways.length > 0,
    },
    nexthop,
    table: undefined,
    gateways,
    block: undefined,
    ...edges(),
  };
}

function edges(): Pick<Node, "objects" | "covers" | "hides"> {
  return { objects: new Set(), covers: new Set(), hides: new Set() };
}

/** Those that the kernel looks up: not with `onlink`, and not IPv6's link-local ones. */
function gatewaysOf(hops: readonly Hop[]): readonly Gateway[] {
  return hops.flatMap(({ gateway, dev, onlink }) => {
    const address = gateway && parseAddress(gateway.address);
    if (!gateway || !address || onlink || isLinkLocal(address)) return [];
    return [{ family: gateway.family, address, dev }];
  });
}

function isLinkLocal({ family, value }: IpAddress): boolean {
  return family === 6 && value >> 118n === 0xfe80n >> 6n;
}

/** A route is after its nexthop object, a group after its members. */
function connectObjects(nodes: readonly Node[]): void {
  const byId = new Map(nodes.flatMap((node) => (node.nexthop ? [[node.nexthop.id, node] as const] : [])));
  for (const { nexthop, route, objects } of nodes) {
    const ids = [...(nexthop?.group?.map(({ id }) => id) ?? []), route?.nexthopId];
    for (const id of ids) {
      const object = id === undefined ? undefined : byId.get(id);
      if (object) objects.add(object);
    }
  }
}

interface Path {
  readonly covers: readonly Node[];
  /** What must come later. */
  readonly blockers: readonly Node[];
}

/** Puts `node` after what covers its gateways and before what would hide that. Returns why a gateway has no cover. */
function connectGateways(node: Node, nodes: readonly Node[], snapshot: LinkSnapshot): string | undefined {
  const paths: Path[] = [];
  for (const gateway of node.gateways) {
    // What covers a gateway of another link is there, and not in this snapshot.
    if (gateway.dev !== snapshot.link.name) continue;
    if (gateway.family === 4 && isOwnAddress(gateway, snapshot)) continue;
    const possible = pathsTo(gateway, node, nodes, snapshot);
    const [best] = possible.sort((one, other) => one.blockers.length - other.blockers.length);
    if (!best) {
      const scope = gateway.family === 4 ? " of scope link or host" : "";
      return `no route without a gateway${scope} covers its gateway ${textOf(gateway, node)}`;
    }
    paths.push(best);
  }
  for (const { covers, blockers } of paths) {
    for (const cover of covers) node.covers.add(cover);
    for (const blocker of blockers) blocker.hides.add(node);
  }
  return undefined;
}

function textOf(gateway: Gateway, { route, nexthop }: Node): string {
  const hops = route?.hops ?? (nexthop?.hop ? [nexthop.hop] : []);
  const found = hops.find(
    ({ gateway: one }) => one && parseAddress(one.address)?.value === gateway.address.value,
  );
  return found?.gateway?.address ?? "";
}

function isOwnAddress({ address }: Gateway, { addresses }: LinkSnapshot): boolean {
  return addresses.some(({ local, family }) => {
    return family === address.family && parseAddress(local)?.value === address.value;
  });
}

/** The ways in which the kernel can resolve a gateway: in the route's own table, else where rules lead. */
function pathsTo(gateway: Gateway, node: Node, nodes: readonly Node[], snapshot: LinkSnapshot): Path[] {
  const around = nodes.filter((other) => {
    return other !== node && other.block !== undefined && contains(other.block, gateway.address);
  });
  const inTable = (table: number): readonly Node[] => around.filter(({ route }) => route?.table === table);
  const paths: Path[] = [];
  if (node.table !== undefined) {
    const path = pathIn(inTable(node.table), gateway);
    if (path.covers.length > 0) paths.push(path);
  }
  const passed: Node[] = [];
  for (const table of tablesByRules(gateway.family, snapshot)) {
    const path = pathIn(inTable(table), gateway);
    if (path.covers.length > 0) {
      paths.push({ covers: path.covers, blockers: [...passed, ...path.blockers] });
      break;
    }
    passed.push(...path.blockers);
  }
  return paths;
}

function pathIn(around: readonly Node[], gateway: Gateway): Path {
  const fitting = around.filter(({ route }) => route && isCover(route, gateway));
  // IPv4 passes over what has a wider scope than link; all that covers may as well be there.
  if (gateway.family === 4) return { covers: fitting, blockers: [] };
  const best = fitting.reduce<Node | undefined>(
    (longest, other) => (longest && isBefore(longest, other) ? longest : other),
    undefined,
  );
  const gatewayed = around.filter(({ route }) => route?.hops.some(({ gateway }) => gateway));
  return {
    covers: best ? [best] : [],
    blockers: best ? gatewayed.filter((other) => isBefore(other, best)) : gatewayed,
  };
}

/** Whether a lookup finds `one` rather than `other`: the longer, then the one of the smaller metric. */
function isBefore(one: Node, other: Node): boolean {
  const [length = 0, otherLength = 0] = [one.block?.prefixLength, other.block?.prefixLength];
  if (length !== otherLength) return length > otherLength;
  return (one.route?.metric ?? 0) <= (other.route?.metric ?? 0);
}

function isCover({ family, hops, scope }: LinkRoute, { dev }: Gateway): boolean {
  if (hops.some(({ gateway }) => gateway)) return false;
  if (family === 4 && scope < SCOPE_LINK) return false;
  return dev === undefined || hops.some((hop) => hop.dev === dev);
}

/** The tables that a gateway's lookup goes through: it has no source, no mark and no port. */
function tablesByRules(family: IpFamily, { rules }: LinkSnapshot): readonly number[] {
  const own = rules.flatMap(({ family: of, selective, table, priority }) => {
    return of === family && !selective && table !== undefined ? [{ table, priority }] : [];
  });
  const initial = [
    { table: LOCAL_TABLE, priority: 0 },
    { table: MAIN_TABLE, priority: 32_766 },
    { table: DEFAULT_TABLE, priority: 32_767 },
  ];
  return [...own, ...initial].sort((one, other) => one.priority - other.priority).map(({ table }) => table);
}

/** Kahn's algorithm, level by level: objects and routes without gateways first, else the kernel's order. `exempt` cuts a cycle. */
function sort(nodes: readonly Node[], exempt: (node: Node, why: string) => void): readonly Node[] {
  const left = new Set(nodes.toSorted((one, other) => tierOf(one) - tierOf(other)));
  const ordered: Node[] = [];
  while (left.size > 0) {
    const before = ordered.length;
    for (const node of left) {
      if (waitsFor(node).some((other) => left.has(other))) continue;
      left.delete(node);
      ordered.push(node);
    }
    if (ordered.length > before) continue;
    const cycle = findCycle(left);
    const cut = cycle.find(({ step }) => step.canBeOnlink);
    // Only gateways make cycles: the kernel has no group in a group, and a route is no object's member.
    if (!cut) return [...ordered, ...left];
    const names = cycle.map(({ step }) => step.line.replace(/^\S+ \S+ /, "")).join(" → ");
    exempt(cut, `each of these would hide the next one's gateway, in a circle: ${names}`);
  }
  return ordered;
}

function waitsFor({ objects, covers, hides }: Node): readonly Node[] {
  return [...objects, ...covers, ...hides];
}

function tierOf({ nexthop, gateways, route }: Node): number {
  if (gateways.length > 0) return 2;
  return nexthop && !route ? 0 : 1;
}

/** Every node of `left` waits for another one of it: following them ends in a circle. */
function findCycle(left: ReadonlySet<Node>): readonly Node[] {
  const trail: Node[] = [];
  let [node] = left;
  while (node && !trail.includes(node)) {
    trail.push(node);
    node = waitsFor(node).find((other) => left.has(other));
  }
  return node ? trail.slice(trail.indexOf(node)) : trail;
}

/** What the link loses beside nexthop objects and routes. */
function lossesOf(
  { link: { master }, rules, losses }: LinkSnapshot,
  devices: ReadonlySet<string>,
  isHome: boolean,
): Exception[] {
  const strange = isHome ? [] : rules.filter(({ unknown }) => unknown.length > 0);
  return [
    ...(master && !devices.has(master.name)
      ? [
          {
            what: `master ${master.name} (${master.kind})`,
            why: `${master.name} is not there`,
            key: MASTER_KEY,
          },
        ]
      : []),
    ...strange.map((rule) => ({
      what: ruleLine("add", rule),
      why: `it has ${rule.unknown.join(", ")}, which is not supported`,
      key: `rule ${ruleLine("add", rule)}`,
    })),
    ...losses.map(({ what, why }) => ({ what, why, key: `loss ${what}` })),
  ];
}

/** What can be put back, and what can't with the reason. */
function separate(
  snapshot: LinkSnapshot,
  { devices, isHome = false }: RestorePlace,
): {
  readonly kept: { readonly nexthops: readonly LinkNexthop[]; readonly routes: readonly LinkRoute[] };
  readonly unrestorable: readonly Exception[];
} {
  const there = devices ?? new Set([snapshot.link.name]);
  const sources = new Set(snapshot.addresses.map(({ local }) => local));
  const unrestorable: Exception[] = lossesOf(snapshot, there, isHome);
  const lost = new Set<number>();
  const missingDevice = (hops: readonly Hop[]): string | undefined =>
    hops.map(({ dev }) => dev).find((dev) => dev !== undefined && !there.has(dev));
  const faultOf = (unknown: readonly string[], hops: readonly Hop[]): string | undefined => {
    if (unknown.length > 0) return `it has ${unknown.join(", ")}, which is not supported`;
    const missing = missingDevice(hops);
    if (missing !== undefined) return `it also uses ${missing}, which is not there`;
    // It was there before the address; IPv6 does not take it any more, not even with onlink.
    const own = hops.find(({ gateway }) => gateway?.family === 6 && sources.has(gateway.address));
    return own && `its gateway ${own.gateway?.address} has become an address of the link itself`;
  };
  const nexthops = snapshot.nexthops.filter((nexthop) => {
    const { id, hop, unknown } = nexthop;
    const fault = faultOf(unknown, hop ? [hop] : []);
    if (fault === undefined) return true;
    lost.add(id);
    unrestorable.push({ what: nexthopLine(nexthop, false), why: fault, key: `nexthop ${id}` });
    return false;
  });
  const whole = nexthops.filter((nexthop) => {
    const missing = nexthop.group?.find(({ id }) => lost.has(id));
    if (!missing) return true;
    lost.add(nexthop.id);
    unrestorable.push({
      what: nexthopLine(nexthop, false),
      why: `its member ${missing.id} can't be put back`,
      key: `nexthop ${nexthop.id}`,
    });
    return false;
  });
  const routes = snapshot.routes.filter((route) => {
    const { source, nexthopId } = route;
    const fault =
      (nexthopId !== undefined && lost.has(nexthopId)
        ? `its nexthop object ${nexthopId} can't be put back`
        : undefined) ??
      faultOf(route.unknown, route.hops) ??
      (source === undefined || isHome || sources.has(source)
        ? undefined
        : `its source ${source} is not an address of the link`);
    if (fault === undefined) return true;
    unrestorable.push({ what: routeLine("append", route), why: fault, key: routeKey(route) });
    return false;
  });
  return { kept: { nexthops: whole, routes }, unrestorable };
}
