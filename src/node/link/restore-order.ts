import { nexthopLine, routeLine } from "./commands.ts";
import { type Exception, type RestorePlace, separate } from "./restorable.ts";
import {
  connectGateways,
  connectObjects,
  nexthopNode,
  type Node,
  type RestoreStep,
  routeNode,
  waitsFor,
} from "./restore-graph.ts";
import type { LinkRoute, LinkSnapshot } from "./snapshot.ts";

/** How nexthop objects and routes are put back. */
export interface RestoreOrder {
  readonly steps: readonly RestoreStep[];
  /** Put back with the `onlink` flag, which they did not have. */
  readonly onlink: readonly Exception[];
  /** Not put back at all. */
  readonly unrestorable: readonly Exception[];
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

/** What is left of a route that also goes by another link is there: it is replaced. */
function verbOf(route: LinkRoute, { link }: LinkSnapshot): "append" | "replace" {
  return route.hops.some(({ dev }) => dev !== link.name) ? "replace" : "append";
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
