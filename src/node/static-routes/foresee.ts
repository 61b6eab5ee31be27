import { contains, parseAddress } from "../cidr.ts";
import type { Fib } from "../fib/fib.ts";
import { isRecord, type KernelRoute, LOCAL_TABLE, SCOPE_LINK } from "../fib/kernel-route.ts";
import type { Step } from "./plan.ts";
import type { ResolvedRoute } from "./resolve.ts";

/** Whether each link is up, by name. */
export type Links = ReadonlyMap<string, boolean>;

/** Reads `ip -json link show`. */
export function linksOf(listed: readonly unknown[]): Links {
  return new Map(
    listed
      .filter(isRecord)
      .map(({ ifname, flags }) => [String(ifname), Array.isArray(flags) && flags.includes("UP")]),
  );
}

/**
 * Steps that the kernel would refuse become `refused`, with its reason: a device that is missing or down, or a gateway that is on no link of
 * its device (fib_check_nh of Linux: a route of scope link or host by that device must cover it). Routes on a link that the steps make count. Pure.
 */
export function foresee(steps: readonly Step[], fib: Fib, links: Links): readonly Step[] {
  const made = steps.flatMap((step) =>
    (step.kind === "add" || step.kind === "replace") && step.route.gateway === undefined ? [step.route] : [],
  );
  return steps.map((step) => {
    if (step.kind !== "add" && step.kind !== "replace") return step;
    const why = refusalOf(step.route, fib, links, made);
    return why === undefined ? step : { kind: "refused", route: step.route, why };
  });
}

function refusalOf(
  { gateway, dev }: ResolvedRoute,
  fib: Fib,
  links: Links,
  made: readonly ResolvedRoute[],
): string | undefined {
  const isUp = links.get(dev);
  if (isUp === undefined) return `there is no device ${dev}; see ip link, or give the entry another dev`;
  if (!isUp) return `the device ${dev} is down; set it up first`;
  const address = gateway === undefined ? undefined : parseAddress(gateway);
  if (!address) return undefined;
  // The kernel looks the gateway up as for a packet that leaves by the device.
  const asked = fib.tablesAsked(`oif ${dev}`);
  const around = fib.routes.filter(
    (route) => contains(route.destination, address) && asked.has(route.table) && route.condition === "",
  );
  const own = around.find(
    ({ table, destination }) => table === LOCAL_TABLE && destination.first === destination.last,
  );
  if (own?.type === "broadcast")
    return `the gateway is a broadcast address of ${own.nextHops[0]?.dev ?? "a link"}`;
  const covers = (route: KernelRoute): boolean =>
    (route.type === "unicast" || route.type === "local") &&
    route.scope >= SCOPE_LINK &&
    route.nextHops.some((hop) => hop.dev === dev);
  if (around.some(covers)) return undefined;
  if (made.some((route) => route.dev === dev && contains(route.destination, address))) return undefined;
  return `the gateway is on no link of ${dev}; give the entry another dev or gateway`;
}
