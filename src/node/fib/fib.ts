import { type Cidr, type IpFamily, overlaps } from "../cidr.ts";
import type { IpRoute } from "../iproute.ts";
import { type KernelRoute, readKernelRoute } from "./kernel-route.ts";
import { type KernelRule, readKernelRule } from "./kernel-rule.ts";
import { type RouteGroup, type RouteInterval, intervalsWithin, routeIntervals } from "./route-intervals.ts";

/**
 * Packets that are treated alike: `plain` ones, that a program here sends without a mark and without binding an address, or those that
 * also fulfil the conditions of the rules which lead to one `table`, or the `condition` of routes, such as `tos 0x10`.
 */
export type PacketKind = "plain" | { readonly table?: number; readonly condition?: string };

/** What becomes of the packets to some addresses. */
export interface Fate {
  readonly first: bigint;
  readonly last: bigint;
  readonly outcome: Outcome;
}

/** Where a lookup ends. */
export type Outcome =
  /** Several routes: IPv6 takes any of those of one metric. Never empty, never `throw`. */
  | { readonly kind: "routes"; readonly routes: readonly KernelRoute[]; readonly rule: KernelRule }
  | { readonly kind: "rule"; readonly rule: KernelRule }
  | { readonly kind: "no_route" };

/**
 * The forwarding information base of one family: rules and tables, with the kernel's own lookup (longest match, then metric; `throw`,
 * suppressed and dead routes passed over) worked out for whole ranges of addresses at once.
 */
export class Fib {
  readonly family: IpFamily;
  readonly rules: readonly KernelRule[];
  readonly routes: readonly KernelRoute[];
  readonly #tables = new Map<number, KernelRoute[]>();
  #taken: ReadonlySet<string> | undefined;
  /** By table and condition. */
  readonly #intervals = new Map<string, readonly RouteInterval[]>();

  constructor(family: IpFamily, rules: readonly KernelRule[], routes: readonly KernelRoute[]) {
    this.family = family;
    this.rules = rules.toSorted((one, other) => one.priority - other.priority);
    this.routes = routes;
    for (const route of routes) {
      const table = this.#tables.get(route.table);
      if (table) table.push(route);
      else this.#tables.set(route.table, [route]);
    }
  }

  /** `plain`, and one kind for each table that only some packets are led to, and for each condition of a route into `cidr`. */
  packetKinds(cidr: Cidr): readonly PacketKind[] {
    const tables = new Set<number>();
    for (const { takes, action } of this.rules)
      if (takes === "sometimes" && action.kind === "table") tables.add(action.table);
    const byRule: PacketKind[] = ["plain", ...[...tables].map((table) => ({ table }))];
    const conditional = this.routes.filter(
      ({ condition, destination }) => condition !== "" && overlaps(destination, cidr),
    );
    if (conditional.length === 0) return byRule;
    const kinds: PacketKind[] = [];
    for (const kind of byRule) {
      const asked = new Set(
        this.#rulesOf(kind).flatMap(({ action }) => (action.kind === "table" ? [action.table] : [])),
      );
      kinds.push(kind);
      const conditions = conditional
        .filter(({ table }) => asked.has(table))
        .map(({ condition }) => condition);
      for (const condition of new Set(conditions))
        kinds.push(kind === "plain" ? { condition } : { ...kind, condition });
    }
    return kinds;
  }

  /** In words, which packets these are; empty for `plain`. */
  conditionOf(kind: PacketKind): string {
    if (kind === "plain") return "";
    const { table, condition = "" } = kind;
    const rules = this.rules.filter(
      (rule) => table !== undefined && rule.takes === "sometimes" && leadsTo(rule, table),
    );
    const [first = "", ...others] = rules.map((rule) => rule.condition);
    const byRule = others.length > 0 ? `${first} (and ${others.length} more rules)` : first;
    return [byRule, condition].filter((words) => words !== "").join(" and ");
  }

  /** Whether a table has a route to just this destination that an added one would clash with: of metric 0 (IPv6: of any). */
  isTaken(table: number, destination: Cidr): boolean {
    this.#taken ??= new Set(
      this.routes
        .filter(({ metric, condition }) => condition === "" && (metric === 0 || this.family === 6))
        .map((route) => keyOf(route.table, route.destination)),
    );
    return this.#taken.has(keyOf(table, destination));
  }

  /** The tables that a lookup without mark, source or port may come to: by rules without a condition, or with just this one. */
  tablesAsked(condition: string): ReadonlySet<number> {
    const rules = this.rules.filter((rule) => rule.takes === "always" || rule.condition === condition);
    return new Set(rules.flatMap(({ action }) => (action.kind === "table" ? [action.table] : [])));
  }

  /** What becomes of packets to each address from the first to the last of `cidr`, in order; neighbours with one fate are one. */
  fates(cidr: Pick<Cidr, "first" | "last">, kind: PacketKind = "plain"): readonly Fate[] {
    const fates: Fate[] = [];
    for (const fate of this.#resolve(kind, this.#rulesOf(kind), 0, cidr.first, cidr.last)) {
      const before = fates.at(-1);
      if (before && sameOutcome(before.outcome, fate.outcome))
        fates[fates.length - 1] = { ...before, last: fate.last };
      else fates.push(fate);
    }
    return fates;
  }

  /**
   * The routes that packets take for which there is nothing better: the default route of the first table, in the order of the rules, that
   * has one, or its pair of halves (0.0.0.0/1 and 128.0.0.0/1). Empty without one.
   */
  defaultRoutes(kind: PacketKind = "plain"): readonly KernelRoute[] {
    for (const { to, toOthers, action } of this.#rulesOf(kind)) {
      if (to && !toOthers && to.prefixLength > 0) continue;
      if (action.kind === "refuse") return [];
      if (action.kind !== "table") continue;
      const usable = (this.#tables.get(action.table) ?? []).filter(
        (route) => isFor(kind, route) && route.destination.prefixLength > action.suppressUpTo,
      );
      const halves = [0n, 1n].map((half) =>
        this.#best(
          usable.filter(
            ({ destination }) => destination.prefixLength === 1 && destination.first > 0n === half > 0n,
          ),
        ),
      );
      const whole = this.#best(usable.filter(({ destination }) => destination.prefixLength === 0));
      const found = halves.every((routes) => routes.length > 0) ? halves.flat() : whole;
      const [first] = found;
      if (!first || first.type === "throw") continue;
      return found.filter(({ type }) => type === "unicast");
    }
    return [];
  }

  #rulesOf(kind: PacketKind): readonly KernelRule[] {
    return this.rules.filter(
      (rule) =>
        rule.takes === "always" ||
        (rule.takes === "sometimes" &&
          kind !== "plain" &&
          kind.table !== undefined &&
          leadsTo(rule, kind.table)),
    );
  }

  *#resolve(
    kind: PacketKind,
    rules: readonly KernelRule[],
    from: number,
    first: bigint,
    last: bigint,
  ): Generator<Fate, void, undefined> {
    const rule = rules[from];
    if (!rule) {
      yield { first, last, outcome: { kind: "no_route" } };
      return;
    }
    for (const piece of splitByDestination(rule, first, last)) {
      if (piece.taken) yield* this.#apply(kind, rules, from, piece.first, piece.last);
      else yield* this.#resolve(kind, rules, from + 1, piece.first, piece.last);
    }
  }

  *#apply(
    kind: PacketKind,
    rules: readonly KernelRule[],
    at: number,
    first: bigint,
    last: bigint,
  ): Generator<Fate, void, undefined> {
    const rule = rules[at];
    if (!rule) return;
    const { action } = rule;
    switch (action.kind) {
      case "nothing":
        yield* this.#resolve(kind, rules, at + 1, first, last);
        return;
      case "refuse":
        yield { first, last, outcome: { kind: "rule", rule } };
        return;
      case "goto": {
        // The kernel takes only targets further on.
        const target = rules.findIndex(({ priority }, index) => index > at && priority >= action.priority);
        yield* this.#resolve(kind, rules, target < 0 ? rules.length : target, first, last);
        return;
      }
      case "table":
        for (const interval of intervalsWithin(this.#intervalsOf(action.table, kind), first, last)) {
          const routes = this.#match(interval.group, action.suppressUpTo);
          if (routes.length > 0)
            yield { first: interval.first, last: interval.last, outcome: { kind: "routes", routes, rule } };
          else yield* this.#resolve(kind, rules, at + 1, interval.first, interval.last);
        }
    }
  }

  /** The routes of the longest match that can be used; empty where the kernel asks the next rule. */
  #match(group: RouteGroup | undefined, suppressUpTo: number): readonly KernelRoute[] {
    for (let around = group; around; around = around.parent) {
      const best = this.#best(around.routes);
      const [first] = best;
      if (!first) continue;
      if (first.type === "throw" || first.destination.prefixLength <= suppressUpTo) return [];
      return best;
    }
    return [];
  }

  /** Of routes to one destination: those with a condition first (Linux sorts them so), then the lowest metric. */
  #best(routes: readonly KernelRoute[]): readonly KernelRoute[] {
    const living = routes
      .filter(({ nextHops }) => nextHops.length === 0 || nextHops.some(({ dead }) => !dead))
      .toSorted(
        (one, other) =>
          Number(one.condition === "") - Number(other.condition === "") || one.metric - other.metric,
      );
    const [first] = living;
    if (!first) return [];
    if (this.family === 4) return [first];
    return living.filter(({ metric, condition }) => metric === first.metric && condition === first.condition);
  }

  #intervalsOf(table: number, kind: PacketKind): readonly RouteInterval[] {
    const key = `${table} ${kind === "plain" ? "" : (kind.condition ?? "")}`;
    let intervals = this.#intervals.get(key);
    if (!intervals) {
      const routes = (this.#tables.get(table) ?? []).filter((route) => isFor(kind, route));
      intervals = routeIntervals(this.family, routes);
      this.#intervals.set(key, intervals);
    }
    return intervals;
  }
}

function keyOf(table: number, { first, prefixLength }: Cidr): string {
  return `${table} ${first}/${prefixLength}`;
}

/** Whether packets of a kind may take the route. */
function isFor(kind: PacketKind, { condition }: KernelRoute): boolean {
  return condition === "" || (kind !== "plain" && kind.condition === condition);
}

/** Reads the kernel's rules and all its tables of one family. Throws `IpRouteError`. */
export async function readFib(ip: Pick<IpRoute, "json">, family: IpFamily): Promise<Fib> {
  const [rules, routes] = await Promise.all([
    ip.json([`-${family}`, "rule", "show"]),
    ip.json([`-${family}`, "route", "show", "table", "all"]),
  ]);
  return new Fib(
    family,
    rules.map((rule) => readKernelRule(rule, family)).filter((rule) => rule !== undefined),
    routes.map((route) => readKernelRoute(route, family)).filter((route) => route !== undefined),
  );
}

function leadsTo({ action }: KernelRule, table: number): boolean {
  return action.kind === "table" && action.table === table;
}

function* splitByDestination(
  { to, toOthers }: KernelRule,
  first: bigint,
  last: bigint,
): Generator<{ readonly first: bigint; readonly last: bigint; readonly taken: boolean }, void, undefined> {
  if (!to || to.last < first || last < to.first) {
    yield { first, last, taken: !to || toOthers };
    return;
  }
  const from = to.first > first ? to.first : first;
  const until = to.last < last ? to.last : last;
  if (first < from) yield { first, last: from - 1n, taken: toOthers };
  yield { first: from, last: until, taken: !toOthers };
  if (until < last) yield { first: until + 1n, last, taken: toOthers };
}

function sameOutcome(one: Outcome, other: Outcome): boolean {
  if (one.kind === "routes" && other.kind === "routes") {
    return (
      one.rule === other.rule &&
      one.routes.length === other.routes.length &&
      one.routes.every((route, index) => route === other.routes[index])
    );
  }
  if (one.kind === "rule" && other.kind === "rule") return one.rule === other.rule;
  return one.kind === other.kind;
}
