import { type Cidr, formatAddress, type IpAddress, type IpFamily } from "../cidr.ts";
import { type Fib, type Outcome, readFib } from "../fib/fib.ts";
import { formatKernelRoute } from "../fib/kernel-route.ts";
import type { IpRoute } from "../iproute.ts";
import { askKernel, probesOf } from "./probe.ts";
import {
  type CidrVerdict,
  type ExpectedWay,
  expectedInterfaces,
  findingsIn,
  judgeOutcome,
  type OverlapVerdict,
  type RawFinding,
  verdictOn,
} from "./verdict.ts";

/** What to check. */
export interface OverlapRequest {
  readonly cidrs: readonly Cidr[];
  /** Interfaces that are right beside the default route's: names, or beginnings of names with `*` at the end. */
  readonly alsoInterfaces: readonly string[];
}

/** What a check found. */
export interface OverlapResult {
  /** Every CIDR is `ok`. */
  readonly ok: boolean;
  readonly defaults: readonly {
    readonly family: IpFamily;
    readonly routes: readonly string[];
    readonly interfaces: readonly string[];
  }[];
  readonly cidrs: readonly CidrVerdict[];
  /** Addresses that the kernel was asked for. */
  readonly probes: number;
}

/** The tables are looked through whole in any case. */
const MAX_PROBES = 128;

/**
 * Where does the kernel send each expected CIDR? All rules and tables are worked out for every address, and the kernel itself is asked for
 * some of them: where the two differ, the kernel is right. Needs no privilege. Throws `IpRouteError`.
 */
export async function checkOverlap(
  ip: Pick<IpRoute, "json" | "jsonBatch">,
  request: OverlapRequest,
): Promise<OverlapResult> {
  const families = ([4, 6] as const).filter((family) => request.cidrs.some((cidr) => cidr.family === family));
  const judged = new Map<Cidr, { fib: Fib; way: ExpectedWay; findings: readonly RawFinding[] }>();
  const defaults: OverlapResult["defaults"][number][] = [];
  for (const family of families) {
    const fib = await readFib(ip, family);
    const way: ExpectedWay = { defaults: fib.defaultRoutes(), alsoInterfaces: request.alsoInterfaces };
    const routes = way.defaults.map((route) => formatKernelRoute(route));
    defaults.push({ family, routes, interfaces: expectedInterfaces(way.defaults) });
    for (const cidr of request.cidrs)
      if (cidr.family === family) judged.set(cidr, { fib, way, findings: findingsIn(fib, cidr, way) });
  }

  const probes = chooseProbes(request.cidrs, (cidr) => judged.get(cidr)?.findings ?? []);
  const outcomes = await askKernel(
    ip,
    probes.map(({ address }) => address),
  );
  for (const [index, { cidr, address }] of probes.entries()) {
    const [known, outcome] = [judged.get(cidr), outcomes[index]];
    if (known && outcome) judged.set(cidr, { ...known, findings: settle(known, address, outcome) });
  }
  const cidrs = request.cidrs.flatMap((cidr) => {
    const known = judged.get(cidr);
    return known ? [verdictOn(known.fib, cidr, known.way, known.findings)] : [];
  });
  return { ok: cidrs.every(({ verdict }) => verdict === "ok"), defaults, cidrs, probes: probes.length };
}

/** How many CIDRs have each verdict. */
export function verdictCounts({ cidrs }: OverlapResult): Partial<Record<OverlapVerdict, number>> {
  const counts: Partial<Record<OverlapVerdict, number>> = {};
  for (const { verdict } of cidrs) counts[verdict] = (counts[verdict] ?? 0) + 1;
  return counts;
}

/** One line for a CIDR that is not ok: `172.16.5.0/24 leaves by ib0 (172.16.0.0/16 dev ib0 proto kernel), not by eth0`. */
export function describeCidr({ cidr, verdict, expected, findings }: CidrVerdict): string {
  const finding = findings.find((one) => one.verdict === verdict);
  const part = finding?.parts[0];
  const where = part === undefined || part === cidr ? cidr : `${cidr} (${part})`;
  switch (verdict) {
    case "ok":
      return `${cidr} leaves by ${expected.join(", ")}`;
    case "no_default":
      return `${cidr}: there is no default route to compare with`;
    case "no_route":
      return `${where} has no route`;
    case "unreachable":
      return `${where} is refused by ${finding?.route ?? ""}`;
    case "overlap": {
      const packets = finding?.condition ? ` for packets with ${finding.condition}` : "";
      const taken = `leaves by ${finding?.interfaces.join(", ") ?? ""} (${finding?.route ?? ""})`;
      return `${where} ${taken}${packets}, not by ${expected.join(", ")}`;
    }
  }
}

interface Probe {
  readonly cidr: Cidr;
  readonly address: IpAddress;
}

/** First where something seems wrong, then each CIDR's start, then the rest, as far as they are allowed. */
function chooseProbes(
  cidrs: readonly Cidr[],
  findingsOf: (cidr: Cidr) => readonly RawFinding[],
): readonly Probe[] {
  const suspected = cidrs.flatMap((cidr) =>
    findingsOf(cidr)
      .filter(({ kind }) => kind === "plain")
      .flatMap(({ parts: [part] }) =>
        part ? [{ cidr, address: { family: cidr.family, value: part.first } }] : [],
      ),
  );
  const aligned = cidrs.map((cidr) => probesOf(cidr).map((address) => ({ cidr, address })));
  const all = [
    ...suspected,
    ...aligned.flatMap((probes) => probes.slice(0, 1)),
    ...aligned.flatMap((probes) => probes.slice(1)),
  ];
  const unique = new Map(all.map((probe) => [keyOf(probe), probe]));
  return [...unique.values()].slice(0, MAX_PROBES);
}

function keyOf({ cidr, address }: Probe): string {
  return `${formatAddress(address)} ${cidr.first}/${cidr.prefixLength}`;
}

const REFUSED: ReadonlySet<string> = new Set(["no_route", "unreachable"]);

/** Puts what the kernel answered for one address over what the tables say of it. */
function settle(
  known: { readonly fib: Fib; readonly way: ExpectedWay; readonly findings: readonly RawFinding[] },
  address: IpAddress,
  outcome: Outcome,
): readonly RawFinding[] {
  const { fib, way, findings } = known;
  const told = judgeOutcome(fib, way, outcome);
  const { value } = address;
  const holds = ({ first, last }: { first: bigint; last: bigint }) => first <= value && value <= last;
  const found = findings.find(({ kind, parts }) => kind === "plain" && parts.some(holds));
  const thought = found?.verdict ?? "ok";
  // Which of the two words the kernel answers with for a refusal depends on the family; the tables say more.
  if (told === thought || (REFUSED.has(told) && REFUSED.has(thought))) return findings;
  const others = findings.flatMap((finding) => {
    if (finding !== found) return [finding];
    const parts = finding.parts.filter((part) => !holds(part));
    return parts.length > 0 ? [{ ...finding, parts }] : [];
  });
  if (told === "ok") return others;
  const here = { first: value, last: value, outcome };
  return [...others, { verdict: told, outcome, parts: [here], kind: "plain", source: "kernel" }];
}
