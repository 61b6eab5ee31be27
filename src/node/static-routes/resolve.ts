import { type Cidr, contains, formatCidr, parseAddress } from "../cidr.ts";
import { type Fib } from "../fib/fib.ts";
import { type KernelRoute, MAIN_TABLE, type NextHop, SCOPE_LINK } from "../fib/kernel-route.ts";
import { NodeToolError } from "../node-tool-error.ts";
import { NO_GATEWAY, type StaticRoute } from "./spec.ts";

/** A wanted route that says by which way. */
export interface ResolvedRoute {
  readonly destination: Cidr;
  /** Absent: on the link itself. */
  readonly gateway?: string;
  readonly dev: string;
  readonly metric: number;
}

/**
 * Fills in what an entry leaves out, from what the kernel has:
 *
 * - a gateway without `dev` goes by the link that it is on, else by the default route's;
 * - a `dev` without gateway takes the gateway of the default route by that device, also when another device's default route wins;
 * - without both, those of the default route. Of several ways out of it (multipath, or two halves) the one for the destination.
 *
 * Throws {@link NodeToolError} `not_found` when the kernel has no such default route (yet).
 */
export function resolveRoute(entry: StaticRoute, fib: Fib): ResolvedRoute {
  const { destination, gateway, dev, metric } = entry;
  if (dev !== undefined && gateway === NO_GATEWAY) return { destination, dev, metric };
  if (dev !== undefined && gateway !== undefined) return { destination, gateway, dev, metric };
  const link = gateway === undefined || gateway === NO_GATEWAY ? undefined : linkOf(gateway, fib.routes);
  if (link !== undefined && gateway !== undefined) return { destination, gateway, dev: link, metric };

  const name = formatCidr(destination);
  const defaults = fib.defaultRoutes();
  const winning = waysOut(defaults, destination);
  const all = [...winning, ...waysOut(defaultsOf(fib.routes), destination)];
  const hop = dev === undefined ? winning[0] : all.find((one) => one.dev === dev);
  if (!hop) {
    const names = [...new Set(all.map((one) => one.dev))].join(", ");
    throw dev === undefined || names === ""
      ? new NodeToolError(
          "not_found",
          `${name}: there is no default route to take its gateway and device from`,
          {
            fix: "give the entry gateway and dev, or see why the network is not up",
          },
        )
      : new NodeToolError("not_found", `${name}: the default route leaves by ${names}, not by ${dev}`, {
          fix: "give the entry its gateway, or gateway: none when its addresses are on that link",
        });
  }
  const chosen = gateway === NO_GATEWAY ? undefined : (gateway ?? hop.gateway);
  return { destination, ...(chosen !== undefined && { gateway: chosen }), dev: hop.dev, metric };
}

/** The device of the narrowest route on a link that `gateway` lies in. */
function linkOf(gateway: string, routes: readonly KernelRoute[]): string | undefined {
  const address = parseAddress(gateway);
  if (!address) return undefined;
  const around = routes.filter(
    ({ table, type, scope, condition, destination, nextHops }) =>
      table === MAIN_TABLE &&
      type === "unicast" &&
      scope >= SCOPE_LINK &&
      condition === "" &&
      destination.prefixLength > 0 &&
      nextHops.length === 1 &&
      contains(destination, address),
  );
  const [narrowest] = around.toSorted(
    (one, other) =>
      other.destination.prefixLength - one.destination.prefixLength || one.metric - other.metric,
  );
  return narrowest?.nextHops[0]?.dev;
}

/** All default routes of the main table, those that win first. */
function defaultsOf(routes: readonly KernelRoute[]): readonly KernelRoute[] {
  return routes
    .filter(
      ({ table, type, condition, destination }) =>
        table === MAIN_TABLE && type === "unicast" && condition === "" && destination.prefixLength === 0,
    )
    .toSorted((one, other) => one.metric - other.metric);
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
