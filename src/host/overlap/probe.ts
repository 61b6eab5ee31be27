import { addressBits, type Cidr, cidrAt, formatAddress, type IpAddress } from "../cidr.ts";
import type { Outcome } from "../fib/fib.ts";
import { type KernelRoute, readKernelRoute } from "../fib/kernel-route.ts";
import type { KernelRule } from "../fib/kernel-rule.ts";
import { type IpRoute, IpRouteError } from "../iproute.ts";

/**
 * Where to ask the kernel about `cidr`: at its start and at the start of each quarter, so that every probe is aligned and none is a broadcast
 * address.
 */
export function probesOf({ family, first, last }: Cidr): readonly IpAddress[] {
  const quarter = (last - first + 1n) / 4n;
  const values = quarter === 0n ? [first] : [0n, 1n, 2n, 3n].map((count) => first + count * quarter);
  return values.map((value) => ({ family, value }));
}

/** Asks the kernel which route it would take to `address`: `ip route get fibmatch`. Throws `IpRouteError`. */
export async function askKernel(ip: Pick<IpRoute, "json">, address: IpAddress): Promise<Outcome> {
  const { family } = address;
  let answer: readonly unknown[];
  try {
    answer = await ip.json([`-${family}`, "route", "get", "fibmatch", formatAddress(address)]);
  } catch (error) {
    const outcome = error instanceof IpRouteError ? refusalOf(error.said, address) : undefined;
    if (outcome) return outcome;
    throw error;
  }
  const route = readKernelRoute(answer[0], family);
  return route ? { kind: "routes", routes: [route], rule: UNKNOWN_RULE } : { kind: "no_route" };
}

/** `get` doesn't tell which rule led to the route. */
const UNKNOWN_RULE: KernelRule = {
  priority: 0,
  toOthers: false,
  takes: "always",
  condition: "",
  action: { kind: "nothing" },
};

/** The kernel's words for routes that refuse (docs/host/kernel.md#refusing-routes). */
const REFUSALS: readonly (readonly [RegExp, KernelRoute["type"]])[] = [
  [/No route to host/, "unreachable"],
  [/Invalid argument/, "blackhole"],
  [/RTNETLINK answers: Permission denied/, "prohibit"],
];

function refusalOf(said: string, address: IpAddress): Outcome | undefined {
  if (said.includes("Network is unreachable")) return { kind: "no_route" };
  const type = REFUSALS.find(([pattern]) => pattern.test(said))?.[1];
  if (!type) return undefined;
  const destination = cidrAt(address, addressBits(address.family));
  const route: KernelRoute = {
    destination,
    type,
    table: 254,
    metric: 0,
    protocol: 0,
    nextHops: [],
    conditional: false,
  };
  return { kind: "routes", routes: [route], rule: UNKNOWN_RULE };
}
