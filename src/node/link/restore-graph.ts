import { type Cidr, contains, type IpAddress, type IpFamily, parseAddress, parseCidr } from "../cidr.ts";
import { SCOPE_LINK } from "../fib/kernel-route.ts";
import { INITIAL_RULES } from "../fib/kernel-rule.ts";
import { nexthopLine, routeLine } from "./commands.ts";
import { routeKey } from "./restorable.ts";
import type { Hop, LinkNexthop, LinkRoute, LinkSnapshot } from "./snapshot.ts";

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

interface Gateway {
  readonly family: IpFamily;
  readonly address: IpAddress;
  readonly dev: string | undefined;
}

/** A step, and the steps that must come before it. */
export interface Node {
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

/** The step of a route, without the edges. */
export function routeNode(route: LinkRoute): Node {
  const gateways = route.nexthopId === undefined ? lookedUpGateways(route.hops) : [];
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

/** The step of a nexthop object, without the edges. */
export function nexthopNode(nexthop: LinkNexthop): Node {
  const gateways = lookedUpGateways(nexthop.hop ? [nexthop.hop] : []);
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
function lookedUpGateways(hops: readonly Hop[]): readonly Gateway[] {
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
export function connectObjects(nodes: readonly Node[]): void {
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
export function connectGateways(
  node: Node,
  nodes: readonly Node[],
  snapshot: LinkSnapshot,
): string | undefined {
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
  return [...own, ...INITIAL_RULES]
    .sort((one, other) => one.priority - other.priority)
    .map(({ table }) => table);
}

/** The steps that must come before `node`. */
export function waitsFor({ objects, covers, hides }: Node): readonly Node[] {
  return [...objects, ...covers, ...hides];
}
