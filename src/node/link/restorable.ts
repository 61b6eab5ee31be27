import { nexthopLine, routeLine, ruleLine } from "./commands.ts";
import type { Hop, LinkNexthop, LinkRoute, LinkSettings, LinkSnapshot } from "./snapshot.ts";

/** Something of a snapshot, and why it is not put back as it was. */
export interface Exception {
  /** The route or the nexthop object, as iproute2's command would name it. */
  readonly what: string;
  readonly why: string;
  readonly key: string;
}

/** `route … (why)`. */
export function describedException({ what, why }: Exception): string {
  return `${what} (${why})`;
}

/** What is there already where the link is put up again. */
export interface RestorePlace {
  /** The link is to be made first, `by` these lines, and is set to `settings` then; nothing else is there. Default: it is there, and the kernel is asked. */
  readonly made?: { readonly by: readonly string[]; readonly settings: LinkSettings };
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

/** The key of a route's step. */
export function routeKey(route: LinkRoute): string {
  return `route ${routeLine("append", { ...withoutOnlink(route), expiresS: undefined })}`;
}

function withoutOnlink(route: LinkRoute): LinkRoute {
  return { ...route, hops: route.hops.map((hop) => ({ ...hop, onlink: false })) };
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
export function separate(
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
