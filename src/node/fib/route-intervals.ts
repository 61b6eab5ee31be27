import { addressBits, contains, type IpFamily } from "../cidr.ts";
import type { KernelRoute } from "./kernel-route.ts";

/** The routes to one destination, and the narrowest destination around it. */
export interface RouteGroup {
  /** Lowest metric first; then in the kernel's order. */
  readonly routes: readonly KernelRoute[];
  readonly parent: RouteGroup | undefined;
}

/** Addresses that have the same longest match in a table. */
export interface RouteInterval {
  readonly first: bigint;
  readonly last: bigint;
  /** Absent: no route matches. */
  readonly group: RouteGroup | undefined;
}

/**
 * A table as intervals, in order and without gaps over the whole of the family: the longest match of every address at once. Takes
 * n log n for n routes.
 */
export function routeIntervals(family: IpFamily, routes: readonly KernelRoute[]): readonly RouteInterval[] {
  const end = 1n << BigInt(addressBits(family));
  const intervals: RouteInterval[] = [];
  const open: (RouteGroup & { readonly last: bigint })[] = [];
  let next = 0n;
  const fillUpTo = (until: bigint): void => {
    if (until <= next) return;
    intervals.push({ first: next, last: until - 1n, group: open.at(-1) });
    next = until;
  };
  const closeBefore = (first: bigint): void => {
    for (let group = open.at(-1); group && group.last < first; group = open.at(-1)) {
      fillUpTo(group.last + 1n);
      open.pop();
    }
  };
  for (const group of groups(routes)) {
    const [{ destination }] = group;
    closeBefore(destination.first);
    fillUpTo(destination.first);
    open.push({ routes: group, parent: open.at(-1), last: destination.last });
  }
  closeBefore(end);
  fillUpTo(end);
  return intervals;
}

/** The intervals that share an address with `first` to `last`, cut to that. */
export function* intervalsWithin(
  intervals: readonly RouteInterval[],
  first: bigint,
  last: bigint,
): Generator<RouteInterval, void, undefined> {
  let low = 0;
  let high = intervals.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((intervals[middle]?.last ?? first) < first) low = middle + 1;
    else high = middle;
  }
  for (let index = low; index < intervals.length; index += 1) {
    const interval = intervals[index];
    if (!interval || interval.first > last) return;
    yield {
      first: interval.first < first ? first : interval.first,
      last: interval.last > last ? last : interval.last,
      group: interval.group,
    };
  }
}

type Group = [KernelRoute, ...KernelRoute[]];

/** Routes by destination, those around before those within. */
function groups(routes: readonly KernelRoute[]): readonly Group[] {
  const sorted = routes.toSorted(
    ({ destination: one, metric: oneMetric }, { destination: other, metric: otherMetric }) =>
      compare(one.first, other.first) || one.prefixLength - other.prefixLength || oneMetric - otherMetric,
  );
  const found: Group[] = [];
  for (const route of sorted) {
    const group = found.at(-1);
    const same =
      group &&
      group[0].destination.prefixLength === route.destination.prefixLength &&
      contains(group[0].destination, route.destination);
    if (same) group.push(route);
    else found.push([route]);
  }
  return found;
}

function compare(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
