import { type Cidr, contains, formatCidr } from "../cidr.ts";
import { type KernelRoute, type NextHop } from "../fib/kernel-route.ts";
import { HostError } from "../host-error.ts";
import type { StaticRoute } from "./spec.ts";

/** A wanted route that says by which way. */
export interface ResolvedRoute {
  readonly destination: Cidr;
  /** Absent: on the link itself. */
  readonly gateway?: string;
  readonly dev: string;
  readonly metric: number;
}

/** Whether a route needs the default route to be resolved. */
export function needsDefault({ gateway, dev }: StaticRoute): boolean {
  return gateway === undefined || dev === undefined;
}

/**
 * Fills in what an entry leaves out from the default routes, of which none may be there. Of several ways out of the default route (multipath,
 * or two halves) the first that goes by the entry's `dev`, or that is for its destination. Throws {@link HostError} `not_found`.
 */
export function resolveRoute(
  { destination, gateway, dev, metric }: StaticRoute,
  defaults: readonly KernelRoute[],
): ResolvedRoute {
  if (gateway !== undefined && dev !== undefined) return { destination, gateway, dev, metric };
  const name = formatCidr(destination);
  if (defaults.length === 0) {
    throw new HostError(
      "not_found",
      `${name}: there is no default route to take its gateway and device from`,
      {
        fix: "give the entry gateway and dev, or see why the network is not up",
      },
    );
  }
  const hops = waysOut(defaults, destination);
  const hop = dev === undefined ? hops[0] : hops.find((one) => one.dev === dev);
  if (!hop) {
    const names = [...new Set(hops.map((one) => one.dev))].join(", ");
    throw new HostError("not_found", `${name}: the default route leaves by ${names}, not by ${dev ?? ""}`, {
      fix: "give the entry its gateway",
    });
  }
  const chosen = gateway ?? hop.gateway;
  return { destination, ...(chosen !== undefined && { gateway: chosen }), dev: hop.dev, metric };
}

function waysOut(defaults: readonly KernelRoute[], destination: Cidr): readonly NextHop[] {
  const sorted = [
    ...defaults.filter((route) => contains(route.destination, destination)),
    ...defaults.filter((route) => !contains(route.destination, destination)),
  ];
  const hops = sorted.flatMap(({ nextHops }) => nextHops);
  const living = hops.filter(({ dead }) => !dead);
  return living.length > 0 ? living : hops;
}
