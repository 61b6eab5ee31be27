import type { Clock } from "../../clock.ts";
import { type Fib, readFib } from "../fib/fib.ts";
import { HostError } from "../host-error.ts";
import type { IpRoute } from "../iproute.ts";
import { commandOf, formatStep, planRoutes, type Step } from "./plan.ts";
import { needsDefault, type ResolvedRoute, resolveRoute } from "./resolve.ts";
import type { StaticRoute } from "./spec.ts";

/** How long, and by what clock, the default route is waited for. */
export interface Waiting {
  readonly waitMs: number;
  readonly clock: Clock;
}

const POLL_MS = 500;

/** What the kernel lacks or has too much. Waits for a default route when an entry needs one. Changes nothing. */
export async function planNow(
  ip: IpRoute,
  routes: readonly StaticRoute[],
  waiting: Waiting,
): Promise<readonly Step[]> {
  const fib = await fibWithDefault(ip, routes.some(needsDefault), waiting);
  return planRoutes(resolved(routes, fib), fib.routes);
}

/**
 * Makes the kernel's main table have exactly `routes` among the routes that are ours, and reads it again to be sure. Returns what was done.
 * A conflict with another's route, or a refusal of the kernel, is a failure that names the route; the others are made all the same.
 * Throws {@link HostError}.
 */
export async function applyRoutes(
  ip: IpRoute,
  routes: readonly StaticRoute[],
  waiting: Waiting,
): Promise<readonly Step[]> {
  const steps = await planNow(ip, routes, waiting);
  const doing = steps.flatMap((step) => {
    const command = commandOf(step);
    return command === undefined ? [] : [{ step, command }];
  });
  const failures = await ip.batch(doing.map(({ command }) => command));
  const faults = [
    ...steps.filter(({ kind }) => kind === "conflict").map(formatStep),
    ...failures.map(({ index, error }) => {
      const step = doing[index]?.step;
      return `${step ? formatStep(step) : ""}: ${error.said}${adviceOn(error.reason)}`;
    }),
  ];
  if (faults.length > 0) {
    const denied = failures.some(({ error }) => error.reason === "not_permitted");
    throw new HostError(denied ? "not_permitted" : "failed", faults.join("\n"), {
      ...(denied && { fix: "run it with CAP_NET_ADMIN" }),
    });
  }
  const left = (await planNow(ip, routes, { ...waiting, waitMs: 0 })).filter(({ kind }) => kind !== "keep");
  if (left.length > 0) {
    throw new HostError("failed", `the routes changed at the same time: ${left.map(formatStep).join("; ")}`, {
      fix: "see who else writes routes on this node, and run it again",
    });
  }
  return steps;
}

function adviceOn(reason: string): string {
  if (reason === "unreachable")
    return ": the gateway is on no link of that device; give the entry another dev or gateway";
  if (reason === "not_found") return ": see that the device is there, or give the entry another dev";
  if (reason === "down") return ": set the device up first";
  return "";
}

function resolved(routes: readonly StaticRoute[], fib: Fib): readonly ResolvedRoute[] {
  const defaults = fib.defaultRoutes();
  return routes.map((route) => resolveRoute(route, defaults));
}

async function fibWithDefault(ip: IpRoute, needed: boolean, { waitMs, clock }: Waiting): Promise<Fib> {
  const untilMs = clock.monotonicMs() + waitMs;
  for (;;) {
    const fib = await readFib(ip, 4);
    if (!needed || fib.defaultRoutes().length > 0) return fib;
    if (clock.monotonicMs() >= untilMs) {
      throw new HostError("timeout", `no IPv4 default route came up within ${waitMs / 1000} s`, {
        fix: "give every entry gateway and dev, or see why the network is not up",
      });
    }
    await pause(clock, Math.min(POLL_MS, Math.max(1, untilMs - clock.monotonicMs())));
  }
}

function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, delayMs));
}
