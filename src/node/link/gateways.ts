import { resolveGateways, type ResolveOptions } from "../neighbours/gateway-neighbours.ts";
import type { IpRoute } from "../iproute.ts";
import { pinLine } from "./commands.ts";
import type { LinkSnapshot } from "./snapshot.ts";

/** The gateways that the link's routes and nexthop objects name, each once. */
export function gatewaysOf({ link, routes, nexthops }: LinkSnapshot): readonly string[] {
  const hops = [...routes.flatMap(({ hops }) => hops), ...nexthops.flatMap(({ hop }) => hop ?? [])];
  const through = hops.filter(({ dev }) => dev === link.name);
  return [...new Set(through.flatMap(({ gateway }) => gateway?.address ?? []))];
}

/**
 * The snapshot with the MACs of its gateways: to be taken while the link is where it can ask. A gateway whose entry is permanent
 * already is in the snapshot as that.
 */
export async function captureGateways(
  ip: IpRoute,
  snapshot: LinkSnapshot,
  options: ResolveOptions,
): Promise<LinkSnapshot> {
  const permanent = new Set(snapshot.permanentNeighbours.map(({ address }) => address));
  const open = gatewaysOf(snapshot).filter((address) => !permanent.has(address));
  if (open.length === 0) return snapshot;
  if (!snapshot.link.up) {
    return { ...snapshot, skippedGateways: open.map((address) => ({ address, why: "the link is down" })) };
  }
  if (!snapshot.link.arp) {
    return {
      ...snapshot,
      skippedGateways: open.map((address) => ({ address, why: "the link has no neighbours to resolve" })),
    };
  }
  const { resolved, skipped } = await resolveGateways(ip, snapshot.link.name, open, options);
  return { ...snapshot, gateways: [...resolved], skippedGateways: [...skipped] };
}

/** Makes the captured gateways permanent neighbours, as the snapshot says. Throws the first refusal. */
export async function pinGateways(ip: IpRoute, { gateways, link }: LinkSnapshot): Promise<void> {
  const [first] = await ip.batch(gateways.map((gateway) => pinLine(gateway, link.name)));
  if (first) throw first.error;
}
