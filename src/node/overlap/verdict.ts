import { type Cidr, formatAddress, formatCidr, type IpFamily } from "../cidr.ts";
import type { Fate, Fib, Outcome, PacketKind } from "../fib/fib.ts";
import { formatKernelRoute, interfacesOf, type KernelRoute } from "../fib/kernel-route.ts";
import { formatKernelRule } from "../fib/kernel-rule.ts";
import { judgedParts } from "./expected-cidrs.ts";
import { type Fix, fixOf } from "./fix.ts";

/**
 * Where the kernel sends a CIDR: all of it out of the default route's interface (`ok`); some of it out of another (`overlap`); some of it
 * nowhere (`no_route`), or to a route or rule that refuses it (`unreachable`); or there is no default route to compare with
 * (`no_default`). Of several the first in the order of overlap, unreachable, no_route is told.
 */
export type OverlapVerdict = "ok" | "overlap" | "no_route" | "unreachable" | "no_default";

/** Something wrong with a part of a CIDR. */
export interface Finding {
  readonly verdict: Exclude<OverlapVerdict, "ok" | "no_default">;
  /** Which part, as `first-last` or as a CIDR; the first parts only. */
  readonly parts: readonly string[];
  /** Parts that are not listed. */
  readonly moreParts: number;
  /** The winning route in iproute2's words, or the rule; empty when there is none. */
  readonly route: string;
  /** Where the route leads, those that are expected included. */
  readonly interfaces: readonly string[];
  /** Which packets alone are concerned, such as `fwmark 0x200/0xf00`; empty: all. */
  readonly condition: string;
  /** `tables`: worked out from the routes; `kernel`: what the kernel answered for one address, against what they say. */
  readonly source: "tables" | "kernel";
  readonly fix: Fix;
}

/** What was found of one expected CIDR. */
export interface CidrVerdict {
  readonly cidr: string;
  readonly verdict: OverlapVerdict;
  /** The interfaces that it should leave by. */
  readonly expected: readonly string[];
  readonly findings: readonly Finding[];
  /** Findings that are not listed. */
  readonly moreFindings: number;
}

/** What a CIDR is judged by. */
export interface ExpectedWay {
  /** The default routes of plain packets; none: `no_default`, unless `alsoInterfaces` names some. */
  readonly defaults: readonly KernelRoute[];
  /** Further interfaces that are right: names, or beginnings of names with `*` at the end. */
  readonly alsoInterfaces: readonly string[];
}

const MAX_FINDINGS = 20;
const MAX_PARTS = 4;
/** Of routes, and of next hops of one route, that share the packets. */
const MAX_ROUTES = 2;

/** A finding with what it was made of, until it is settled. */
export interface RawFinding {
  readonly verdict: Finding["verdict"];
  readonly outcome: Outcome;
  readonly parts: readonly Fate[];
  readonly kind: PacketKind;
  readonly source: Finding["source"];
}

/** The interfaces of the default route. */
export function expectedInterfaces(defaults: readonly KernelRoute[]): readonly string[] {
  return [...new Set(defaults.flatMap(interfacesOf))];
}

/** Whether an interface is one of `names`, which may end in `*`. */
export function matchesInterface(names: readonly string[], dev: string): boolean {
  return names.some((name) => (name.endsWith("*") ? dev.startsWith(name.slice(0, -1)) : name === dev));
}

/** Looks for what is wrong with any address of `cidr`, for any kind of packet. */
export function findingsIn(fib: Fib, cidr: Cidr, way: ExpectedWay): readonly RawFinding[] {
  const findings: RawFinding[] = [];
  const parts = judgedParts(cidr);
  for (const kind of fib.packetKinds(cidr)) {
    const allowed = allowedInterfaces(fib, way, kind);
    for (const fate of parts.flatMap((part) => fib.fates(part, kind))) {
      const verdict = judge(fate.outcome, allowed);
      if (verdict === "ok") continue;
      // What some packets alone don't get may well be meant to be fenced off; and what all of them suffer was told before.
      if (kind !== "plain" && (verdict !== "overlap" || findings.some((one) => sameRoute(one, fate.outcome))))
        continue;
      const known = findings.findIndex(
        (one) => one.kind === kind && one.verdict === verdict && sameRoute(one, fate.outcome),
      );
      const finding = findings[known];
      if (finding) findings[known] = { ...finding, parts: [...finding.parts, fate] };
      else findings.push({ verdict, outcome: fate.outcome, parts: [fate], kind, source: "tables" });
    }
  }
  return findings;
}

/** Judges one outcome of plain packets. */
export function judgeOutcome(fib: Fib, way: ExpectedWay, outcome: Outcome): Finding["verdict"] | "ok" {
  return judge(outcome, allowedInterfaces(fib, way, "plain"));
}

/** The verdict on `cidr`, for people and programs. */
export function verdictOn(fib: Fib, cidr: Cidr, way: ExpectedWay, raw: readonly RawFinding[]): CidrVerdict {
  const expected = expectedInterfaces(way.defaults);
  if (expected.length === 0 && way.alsoInterfaces.length === 0) {
    return { cidr: formatCidr(cidr), verdict: "no_default", expected, findings: [], moreFindings: 0 };
  }
  const verdict =
    (["overlap", "unreachable", "no_route"] as const).find((word) =>
      raw.some((one) => one.verdict === word),
    ) ?? "ok";
  return {
    cidr: formatCidr(cidr),
    verdict,
    expected: [...expected, ...way.alsoInterfaces.filter((name) => !expected.includes(name))],
    findings: raw.slice(0, MAX_FINDINGS).map((finding) => findingOf(fib, cidr, way, finding)),
    moreFindings: Math.max(0, raw.length - MAX_FINDINGS),
  };
}

/** Addresses `first` to `last`: as a CIDR where they are one. */
export function formatPart(family: IpFamily, first: bigint, last: bigint): string {
  const size = last - first + 1n;
  const aligned = (size & (size - 1n)) === 0n && first % size === 0n;
  const from = formatAddress({ family, value: first });
  if (!aligned) return `${from}-${formatAddress({ family, value: last })}`;
  return `${from}/${(family === 4 ? 32 : 128) - (size.toString(2).length - 1)}`;
}

function allowedInterfaces(fib: Fib, way: ExpectedWay, kind: PacketKind): (dev: string) => boolean {
  // A table that only some packets are led to, with a default route of its own, is another network for them.
  const own = kind === "plain" ? [] : expectedInterfaces(fib.defaultRoutes(kind));
  const names = new Set([...expectedInterfaces(way.defaults), ...own]);
  return (dev) => names.has(dev) || matchesInterface(way.alsoInterfaces, dev);
}

function judge(outcome: Outcome, allowed: (dev: string) => boolean): Finding["verdict"] | "ok" {
  switch (outcome.kind) {
    case "no_route":
      return "no_route";
    case "rule":
      return "unreachable";
    case "routes":
      if (outcome.routes.some(({ type }) => REFUSING.has(type))) return "unreachable";
      return outcome.routes.every((route) => isExpected(route, allowed)) ? "ok" : "overlap";
  }
}

const REFUSING: ReadonlySet<string> = new Set(["blackhole", "unreachable", "prohibit"]);

function isExpected(route: KernelRoute, allowed: (dev: string) => boolean): boolean {
  // An address of this machine's own on lo takes nobody's packets; a whole block on lo does.
  const { type, destination } = route;
  const single = destination.first === destination.last;
  return interfacesOf(route).every((dev) => allowed(dev) || (type === "local" && single && dev === "lo"));
}

function sameRoute(finding: RawFinding, outcome: Outcome): boolean {
  const one = finding.outcome;
  if (one.kind === "routes" && outcome.kind === "routes") return one.routes[0] === outcome.routes[0];
  if (one.kind === "rule" && outcome.kind === "rule") return one.rule === outcome.rule;
  return one.kind === outcome.kind;
}

function findingOf(fib: Fib, cidr: Cidr, way: ExpectedWay, raw: RawFinding): Finding {
  const { verdict, outcome, parts, kind, source } = raw;
  const shown = parts.slice(0, MAX_PARTS);
  const condition = fib.conditionOf(kind);
  return {
    verdict,
    parts: shown.map(({ first, last }) => formatPart(cidr.family, first, last)),
    moreParts: parts.length - shown.length,
    route: formatOutcome(outcome),
    interfaces: outcome.kind === "routes" ? [...new Set(outcome.routes.flatMap(interfacesOf))] : [],
    condition,
    source,
    fix: fixOf({
      cidr,
      parts,
      outcome,
      kind,
      isKernelsWord: source === "kernel",
      defaults: way.defaults,
      fib,
    }),
  };
}

function formatOutcome(outcome: Outcome): string {
  switch (outcome.kind) {
    case "no_route":
      return "";
    case "rule":
      return formatKernelRule(outcome.rule);
    case "routes": {
      const shown = outcome.routes
        .slice(0, MAX_ROUTES)
        .map((route) => formatKernelRoute(route, MAX_ROUTES))
        .join("; ");
      const more = outcome.routes.length - MAX_ROUTES;
      return more > 0 ? `${shown}; and ${more} more` : shown;
    }
  }
}
