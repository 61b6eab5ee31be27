import { addressLine, nexthopLine, pinLine, proxyLine, routeLine, ruleLine } from "./commands.ts";
import type { Exception } from "./restorable.ts";
import { MASTER_KEY, routeKey } from "./restorable.ts";
import type { LinkAddress, LinkRoute, LinkSnapshot } from "./snapshot.ts";

const ROUTER_ADVERTISEMENT = 9;

/** What may differ. */
export interface Excused {
  readonly onlink: readonly Exception[];
  readonly unrestorable: readonly Exception[];
  /** The gateways that were captured must be permanent entries. */
  readonly pinned: boolean;
}

/**
 * What a link has otherwise than a snapshot of it says, one line each. Lifetimes run down, so their length is not compared; what a
 * router advertised in the meantime, rules that were there, and more permanent neighbours are no difference.
 */
export function differences(
  want: LinkSnapshot,
  have: LinkSnapshot,
  excused: Excused = { onlink: [], unrestorable: [], pinned: false },
): readonly string[] {
  const [onlink, unrestorable] = [keysOf(excused.onlink), keysOf(excused.unrestorable)];
  const routesOf = ({ routes }: LinkSnapshot): readonly string[] =>
    routes
      .filter((route) => !unrestorable.has(routeKey(route)))
      .map((route) => comparableRoute(route, onlink.has(routeKey(route))));
  const nexthopsOf = ({ nexthops }: LinkSnapshot): readonly string[] =>
    nexthops
      .filter(({ id }) => !unrestorable.has(`nexthop ${id}`))
      .map((nexthop) => nexthopLine(nexthop, onlink.has(`nexthop ${nexthop.id}`)));
  const learned = new Set([
    ...have.routes
      .filter(({ protocol, expiresS }) => protocol === ROUTER_ADVERTISEMENT || expiresS !== undefined)
      .map((route) => comparableRoute(route, false)),
    ...have.addresses
      .filter(({ validS }) => validS !== undefined)
      .map((address) => comparableAddress(address, have.link.name)),
  ]);
  const pins = [...want.permanentNeighbours, ...(excused.pinned ? want.gateways : [])];
  const pinsOf = (of: typeof pins): readonly string[] => of.map((pin) => pinLine(pin, want.link.name));
  return [
    ...settingDifferences(want, have, unrestorable.has(MASTER_KEY)),
    ...listDifferences(addressesOf(want), addressesOf(have), learned),
    ...orderDifference(want, have),
    ...missing(rulesOf(want), rulesOf(have)),
    ...listDifferences(nexthopsOf(want), nexthopsOf(have), new Set()),
    ...listDifferences(routesOf(want), routesOf(have), learned),
    ...missing(pinsOf(pins), pinsOf(have.permanentNeighbours)),
    ...missing(proxiesOf(want), proxiesOf(have)),
    ...Object.entries(want.sysctls).flatMap(([name, value]) => {
      const now = have.sysctls[name];
      return now === undefined || now === value ? [] : [`${name} is ${now}, not ${value}`];
    }),
  ];
}

function keysOf(exceptions: readonly Exception[]): ReadonlySet<string> {
  return new Set(exceptions.map(({ key }) => key));
}

function addressesOf({ addresses, link }: LinkSnapshot): readonly string[] {
  return addresses.map((address) => comparableAddress(address, link.name));
}

function proxiesOf({ proxyNeighbours, link }: LinkSnapshot): readonly string[] {
  return proxyNeighbours.map((address) => proxyLine(address, link.name));
}

function rulesOf({ rules }: LinkSnapshot): readonly string[] {
  return rules
    .filter(({ unknown }) => unknown.length === 0)
    .map((rule) => `${rule.family} ${ruleLine("add", rule)}`);
}

function comparableRoute(route: LinkRoute, onlink: boolean): string {
  const line = routeLine(
    "append",
    { ...route, expiresS: route.expiresS === undefined ? undefined : 1 },
    onlink,
  );
  return line.replace(/^route append /, "route ");
}

function comparableAddress(address: LinkAddress, dev: string): string {
  const { validS, preferredS } = address;
  const limited = {
    validS: validS === undefined ? undefined : 1,
    preferredS: preferredS === undefined ? undefined : 1,
  };
  return addressLine({ ...address, ...limited }, dev).replace(/^address add /, "address ");
}

function settingDifferences(
  { link: want }: LinkSnapshot,
  { link: have }: LinkSnapshot,
  isMasterLost: boolean,
): readonly string[] {
  // The index may change on the way, and that of the peer is not told to the peer's own namespace.
  const { index: _, peerIndex: __, master, ...others } = want;
  const settings = { ...others, ...(!isMasterLost && { master }) };
  return Object.entries(settings).flatMap(([name, value]) => {
    const now = have[name as keyof typeof settings];
    return JSON.stringify(now) === JSON.stringify(value)
      ? []
      : [`the link's ${name} is ${JSON.stringify(now)}, not ${JSON.stringify(value)}`];
  });
}

/** The order of addresses decides which one the kernel takes for packets of its own. */
function orderDifference(want: LinkSnapshot, have: LinkSnapshot): readonly string[] {
  const [wanted, there] = [want, have].map(({ addresses }) => new Set(addresses.map(({ local }) => local)));
  if (!wanted || !there) return [];
  const [one, other] = [localsOf(want, there), localsOf(have, wanted)];
  return one === other ? [] : [`the addresses are in the order ${other}, not ${one}`];
}

function localsOf({ addresses }: LinkSnapshot, among: ReadonlySet<string>): string {
  return addresses
    .map(({ local }) => local)
    .filter((local) => among.has(local))
    .join(", ");
}

function missing(want: readonly string[], have: readonly string[]): readonly string[] {
  const left = [...have];
  return want.flatMap((line) => {
    const at = left.indexOf(line);
    if (at < 0) return [`missing: ${line}`];
    left.splice(at, 1);
    return [];
  });
}

function listDifferences(
  want: readonly string[],
  have: readonly string[],
  excess: ReadonlySet<string>,
): readonly string[] {
  const surplus = missing(have, want).map((line) => line.replace(/^missing: /, ""));
  return [
    ...missing(want, have),
    ...surplus.filter((line) => !excess.has(line)).map((line) => `not in the snapshot: ${line}`),
  ];
}
