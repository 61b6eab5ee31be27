import { type Clock, sleep } from "../../system/clock.ts";
import { type Fib, readFib } from "../fib/fib.ts";
import { NodeToolError } from "../node-tool-error.ts";
import type { IpRoute } from "../iproute.ts";
import { foresee, linksOf } from "./foresee.ts";
import { commandOf, formatStep, planRoutes, type Step } from "./plan.ts";
import { type ResolvedRoute, resolveRoute } from "./resolve.ts";
import type { StaticRoute } from "./spec.ts";

/** How long, and by what clock, the default route is waited for. */
export interface Waiting {
  readonly waitMs: number;
  readonly clock: Clock;
}

const POLL_MS = 500;

/**
 * What the kernel lacks or has too much, and what of it the kernel would refuse. Waits for a default route when an entry needs one.
 * Changes nothing and needs no right.
 */
export async function planNow(
  ip: IpRoute,
  routes: readonly StaticRoute[],
  waiting: Waiting,
): Promise<readonly Step[]> {
  const { steps, fib } = await stepsNow(ip, routes, waiting);
  return foresee(steps, fib, linksOf(await ip.json(["link", "show"])));
}

async function stepsNow(
  ip: IpRoute,
  routes: readonly StaticRoute[],
  waiting: Waiting,
): Promise<{ readonly steps: readonly Step[]; readonly fib: Fib }> {
  const { resolved, fib } = await resolveAll(ip, routes, waiting);
  return { steps: planRoutes(resolved, fib.routes), fib };
}

/**
 * Makes the kernel's main table have exactly `routes` among the routes that are ours, and reads it again to be sure. Returns what was done.
 * A conflict with another's route, or a refusal of the kernel, is a failure that names the route; the others are made all the same, and the
 * message says which. Throws {@link NodeToolError}.
 */
export async function applyRoutes(
  ip: IpRoute,
  routes: readonly StaticRoute[],
  waiting: Waiting,
): Promise<readonly Step[]> {
  const { steps } = await stepsNow(ip, routes, waiting);
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
    const refused = new Set(failures.map(({ index }) => index));
    const done = doing.filter((_, index) => !refused.has(index)).map(({ step }) => formatStep(step));
    const denied = failures.some(({ error }) => error.reason === "not_permitted");
    throw new NodeToolError(
      denied ? "not_permitted" : "failed",
      [...faults, ...changedWords(done)].join("\n"),
      {
        ...(denied && { fix: "run it with CAP_NET_ADMIN" }),
      },
    );
  }
  const after = await stepsNow(ip, routes, { ...waiting, waitMs: 0 });
  const left = after.steps.filter(({ kind }) => kind !== "keep");
  if (left.length > 0) {
    throw new NodeToolError(
      "failed",
      `the routes changed at the same time: ${left.map(formatStep).join("; ")}`,
      {
        fix: "see who else writes routes on this node, and run it again",
      },
    );
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

function changedWords(done: readonly string[]): readonly string[] {
  return done.length === 0 ? ["nothing was changed"] : ["changed all the same:", ...done];
}

async function resolveAll(
  ip: IpRoute,
  routes: readonly StaticRoute[],
  { waitMs, clock }: Waiting,
): Promise<{ readonly resolved: readonly ResolvedRoute[]; readonly fib: Fib }> {
  const untilMs = clock.monotonicMs() + waitMs;
  for (;;) {
    const fib = await readFib(ip, 4);
    try {
      return { resolved: routes.map((route) => resolveRoute(route, fib)), fib };
    } catch (error) {
      // A default route that is missing may still come: of some device, or of the one that an entry names.
      if (!(error instanceof NodeToolError) || error.code !== "not_found") throw error;
      if (clock.monotonicMs() >= untilMs) {
        if (fib.defaultRoutes().length > 0) throw error;
        throw new NodeToolError("timeout", `no IPv4 default route came up within ${waitMs / 1000} s`, {
          cause: error,
          fix: "give every entry gateway and dev, or see why the network is not up",
        });
      }
    }
    await sleep(clock, Math.min(POLL_MS, Math.max(1, untilMs - clock.monotonicMs())));
  }
}
