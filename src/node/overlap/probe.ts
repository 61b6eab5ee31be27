import { addressBits, type Cidr, cidrAt, formatAddress, type IpAddress } from "../cidr.ts";
import type { Outcome } from "../fib/fib.ts";
import { type KernelRoute, MAIN_TABLE, readKernelRoute } from "../fib/kernel-route.ts";
import type { KernelRule } from "../fib/kernel-rule.ts";
import type { IpRoute } from "../iproute.ts";
import { IpRouteError } from "../iproute-error.ts";
import { judgedParts } from "./expected-cidrs.ts";

/**
 * Where to ask the kernel about `cidr`: at its start and at the start of each quarter, so that every probe is aligned and none is a broadcast
 * address; none where nothing is ever routed.
 */
export function probesOf(cidr: Cidr): readonly IpAddress[] {
  const { family, first, last } = cidr;
  const quarter = (last - first + 1n) / 4n;
  const values = quarter === 0n ? [first] : [0n, 1n, 2n, 3n].map((count) => first + count * quarter);
  const parts = judgedParts(cidr);
  return values.flatMap((value) => {
    const part = parts.find((one) => value <= one.last);
    return part ? [{ family, value: value < part.first ? part.first : value }] : [];
  });
}

/**
 * Asks the kernel which route it would take to each address: `ip route get fibmatch`, all in one process. Outcomes in the order of the addresses.
 * Throws `IpRouteError`.
 */
export async function askKernel(
  ip: Pick<IpRoute, "jsonBatch">,
  addresses: readonly IpAddress[],
): Promise<readonly Outcome[]> {
  const answers = await ip.jsonBatch(
    addresses.map((address) => `route get fibmatch ${formatAddress(address)}`),
  );
  return addresses.map((address, index): Outcome => {
    const answer = answers[index] ?? [];
    if (answer instanceof IpRouteError) {
      const outcome = refusalOf(answer.said, address);
      if (outcome) return outcome;
      throw answer;
    }
    const route = readKernelRoute(answer[0], address.family);
    return route ? { kind: "routes", routes: [route], rule: UNKNOWN_RULE } : { kind: "no_route" };
  });
}

/** `get` doesn't tell which rule led to the route. */
const UNKNOWN_RULE: KernelRule = {
  priority: 0,
  toOthers: false,
  takes: "always",
  condition: "",
  action: { kind: "nothing" },
};

/** The kernel's words for routes that refuse (docs/node/kernel.md#refusing-routes). */
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
    table: MAIN_TABLE,
    metric: 0,
    protocol: 0,
    nextHops: [],
    scope: 0,
    condition: "",
  };
  return { kind: "routes", routes: [route], rule: UNKNOWN_RULE };
}
