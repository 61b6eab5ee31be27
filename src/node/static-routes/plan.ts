import { type Cidr, formatCidr } from "../cidr.ts";
import { formatKernelRoute, type KernelRoute, MAIN_TABLE } from "../fib/kernel-route.ts";
import type { ResolvedRoute } from "./resolve.ts";

/**
 * `rtm_protocol` of the routes that are ours: what has it is changed and removed, what has another is never touched. 76 is "L"; no
 * routing daemon is known by it (rtnetlink(7), /etc/iproute2/rt_protos).
 */
export const STATIC_ROUTES_PROTOCOL = 76;

/** One difference between what is wanted and what the kernel has, or one thing that is as it should be. */
export type Step =
  | { readonly kind: "add"; readonly route: ResolvedRoute }
  /** `others`: it is another's route, which does the same. */
  | { readonly kind: "keep"; readonly route: ResolvedRoute; readonly others?: KernelRoute }
  | { readonly kind: "replace"; readonly route: ResolvedRoute; readonly before: KernelRoute }
  | { readonly kind: "remove"; readonly before: KernelRoute }
  /** Another's route has this destination and metric, and another way: only one of them can be. */
  | { readonly kind: "conflict"; readonly route: ResolvedRoute; readonly before: KernelRoute }
  /** The kernel would refuse it; only a plan foresees that. */
  | { readonly kind: "refused"; readonly route: ResolvedRoute; readonly why: string };

/**
 * What to do so that the kernel's main table has exactly `wanted` among the routes that are ours. In an order that the kernel takes: routes on a
 * link before those by a gateway, removals last. Pure.
 */
export function planRoutes(
  wanted: readonly ResolvedRoute[],
  kernel: readonly KernelRoute[],
): readonly Step[] {
  const main = kernel.filter(
    ({ table, destination, condition }) =>
      table === MAIN_TABLE && destination.family === 4 && condition === "",
  );
  const ours = main.filter(({ protocol }) => protocol === STATIC_ROUTES_PROTOCOL);
  const others = new Map(
    main
      .filter((route) => !ours.includes(route))
      // Of several the kernel uses the first.
      .toReversed()
      .map((route) => [keyOf(route.destination, route.metric), route]),
  );
  const steps: Step[] = [];
  const claimed = new Set<KernelRoute>();
  const ordered = wanted.toSorted(
    (one, other) => Number(one.gateway !== undefined) - Number(other.gateway !== undefined),
  );
  for (const route of ordered) {
    const key = keyOf(route.destination, route.metric);
    const candidates = ours.filter((one) => keyOf(one.destination, one.metric) === key);
    const before = candidates.find((one) => isSame(one, route)) ?? candidates[0];
    const other = others.get(key);
    if (other)
      steps.push(
        isSame(other, route)
          ? { kind: "keep", route, others: other }
          : { kind: "conflict", route, before: other },
      );
    else if (!before) steps.push({ kind: "add", route });
    else steps.push(isSame(before, route) ? { kind: "keep", route } : { kind: "replace", route, before });
    if (before) claimed.add(before);
  }
  const left = ours.filter((route) => !claimed.has(route));
  return [...steps, ...left.map((before): Step => ({ kind: "remove", before }))];
}

/** A step as a line of a diff: `+`, `-`, `~`, `=` or `!`. */
export function formatStep(step: Step): string {
  switch (step.kind) {
    case "add":
      return `+ ${formatRoute(step.route)}`;
    case "keep":
      return `= ${formatRoute(step.route)}${step.others ? ` (another's, the same: ${formatKernelRoute(step.others)})` : ""}`;
    case "replace":
      return `~ ${formatRoute(step.route)} (was ${formatKernelRoute(step.before)})`;
    case "remove":
      return `- ${formatKernelRoute(step.before)}`;
    case "conflict":
      return `! ${formatRoute(step.route)}: ${formatKernelRoute(step.before)} is another's; ${conflictFix(step.route)}`;
    case "refused":
      return `! ${formatRoute(step.route)}: the kernel would refuse it: ${step.why}`;
  }
}

/** `172.16.5.0/24 via 192.168.0.1 dev eth0`. */
export function formatRoute({ destination, gateway, dev, metric }: ResolvedRoute): string {
  return [
    formatCidr(destination),
    ...(gateway === undefined ? [] : [`via ${gateway}`]),
    `dev ${dev}`,
    ...(metric > 0 ? [`metric ${metric}`] : []),
  ].join(" ");
}

/** The line of `ip -batch` that does a step; `undefined` for what needs none. */
export function commandOf(step: Step): string | undefined {
  const proto = `proto ${STATIC_ROUTES_PROTOCOL}`;
  switch (step.kind) {
    // Not "replace": should another have put a route there meanwhile, the kernel refuses.
    case "add":
      return `route add ${formatRoute(step.route)} ${proto}`;
    case "replace":
      return `route replace ${formatRoute(step.route)} ${proto}`;
    case "remove": {
      const { destination, metric, nextHops } = step.before;
      const [hop, ...more] = nextHops;
      const gateway = hop?.gateway === undefined ? "" : ` via ${hop.gateway}`;
      // Of several of ours the one that is meant.
      const way = hop && more.length === 0 ? `${gateway} dev ${hop.dev}` : "";
      return `route del ${formatCidr(destination)}${way}${metric > 0 ? ` metric ${metric}` : ""} ${proto}`;
    }
    case "keep":
    case "conflict":
    case "refused":
      return undefined;
  }
}

function conflictFix({ destination, metric }: ResolvedRoute): string {
  if (metric > 0) return "give the entry another metric";
  return destination.prefixLength < 32
    ? "write the destination as its two halves, which are narrower and win"
    : "take that route away first";
}

function isSame({ type, nextHops }: KernelRoute, { gateway, dev }: ResolvedRoute): boolean {
  const [hop, ...more] = nextHops;
  return type === "unicast" && more.length === 0 && hop?.dev === dev && hop.gateway === gateway;
}

function keyOf(destination: Cidr, metric: number): string {
  return `${formatCidr(destination)} ${metric}`;
}
