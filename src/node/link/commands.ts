import type {
  Hop,
  LinkAddress,
  LinkNexthop,
  LinkRoute,
  LinkRule,
  LinkSettings,
  Neighbour,
} from "./snapshot.ts";

type Words = readonly (string | number | false | undefined)[];

function line(words: Words): string {
  return words.filter((word) => word !== undefined && word !== false && word !== "").join(" ");
}

function option(name: string, value: string | number | undefined): Words {
  return value === undefined ? [] : [name, value];
}

/** `address add …`: what puts an address back; IPv6 without the wait for duplicates, so that routes can use it at once. */
export function addressLine(address: LinkAddress, dev: string): string {
  const { family, local, prefixLength, peer, broadcast, scope, label, metric, protocol } = address;
  const isLimited = address.validS !== undefined || address.preferredS !== undefined;
  return line([
    "address add",
    peer === undefined ? `${local}/${prefixLength}` : local,
    ...(peer === undefined ? [] : ["peer", `${peer}/${prefixLength}`]),
    ...option("broadcast", broadcast),
    "dev",
    dev,
    // IPv6 derives it from the address.
    ...(family === 4 ? ["scope", scope, ...option("label", label)] : []),
    ...option("metric", metric),
    ...option("proto", protocol),
    ...(isLimited
      ? ["valid_lft", address.validS ?? "forever", "preferred_lft", address.preferredS ?? "forever"]
      : []),
    address.noPrefixRoute && "noprefixroute",
    address.home && "home",
    address.manageTemporary && "mngtmpaddr",
    address.autojoin && "autojoin",
    family === 6 && "nodad",
  ]);
}

/** `rule add …` or `rule delete …`. */
export function ruleLine(verb: "add" | "delete", { arguments: words }: LinkRule): string {
  return line(["rule", verb, ...words]);
}

/** `nexthop replace …`: replaced, since what an earlier run made may be there. */
export function nexthopLine(nexthop: LinkNexthop, onlink: boolean): string {
  const { id, group, resilient, hop, protocol } = nexthop;
  const members = group?.map((member) => `${member.id},${member.weight}`).join("/");
  return line([
    "nexthop replace id",
    id,
    ...(members === undefined ? hopWords(hop, onlink) : ["group", members]),
    ...(resilient
      ? [
          "type resilient buckets",
          resilient.buckets,
          "idle_timer",
          resilient.idleTimerS,
          "unbalanced_timer",
          resilient.unbalancedTimerS,
        ]
      : []),
    ...(protocol === 0 ? [] : ["proto", protocol]),
  ]);
}

/**
 * `route append …` and so on: appended, since the kernel may hold several routes with one key, in an order that matters.
 * `onlink` gives every gateway that flag, whatever the route had.
 */
export function routeLine(verb: "append" | "replace" | "delete", route: LinkRoute, onlink = false): string {
  const { family, hops, nexthopId } = route;
  const [first, ...more] = hops;
  const single = nexthopId === undefined && first && more.length === 0;
  return line([
    "route",
    verb,
    route.type,
    route.destination,
    ...option("from", route.from),
    ...option("tos", route.tos),
    ...option("nhid", nexthopId),
    ...(single ? hopWords(first, onlink) : []),
    "table",
    route.table,
    "proto",
    route.protocol,
    ...(family === 4 ? ["scope", route.scope] : []),
    ...option("src", route.source),
    ...(route.metric ? ["metric", route.metric] : []),
    ...option("realms", route.realms),
    ...option("pref", route.pref),
    ...option("expires", route.expiresS),
    ...route.metrics.flatMap(({ name, value, locked }) => [name, locked && takesLock(name) && "lock", value]),
    ...(nexthopId === undefined && !single ? hops.flatMap((hop) => weightedHopWords(hop, onlink)) : []),
  ]);
}

/** A `rto_min` is always locked, and iproute2 takes no word for it. */
function takesLock(metric: string): boolean {
  return metric !== "rto_min";
}

function hopWords(hop: Hop | undefined, onlink: boolean): Words {
  if (!hop) return [];
  const { gateway, dev } = hop;
  return [
    ...(gateway ? ["via", gateway.family === 6 && "inet6", gateway.address] : []),
    ...option("dev", dev),
    gateway !== undefined && (hop.onlink || onlink) && "onlink",
  ];
}

function weightedHopWords(hop: Hop, onlink: boolean): Words {
  return ["nexthop", ...hopWords(hop, onlink), ...option("weight", hop.weight)];
}

/** `neighbour replace …`: the entry as one that neither ages nor asks. */
export function pinLine({ address, mac, noArp }: Neighbour, dev: string): string {
  return line([
    "neighbour replace",
    address,
    "lladdr",
    mac,
    "nud",
    noArp ? "noarp" : "permanent",
    "dev",
    dev,
  ]);
}

/** `neighbour replace proxy …`. */
export function proxyLine(address: string, dev: string): string {
  return line(["neighbour replace proxy", address, "dev", dev]);
}

/** Makes the link a port of its master, with the options that the port had. */
export function masterLines({ name, master }: LinkSettings): readonly string[] {
  if (!master) return [];
  const options = master.options.flatMap((one) => [one.name, one.value]);
  return [
    line(["link set dev", name, "master", master.name]),
    ...(options.length > 0 ? [line(["link set dev", name, "type", `${master.kind}_slave`, ...options])] : []),
  ];
}

function onOff(on: boolean): string {
  return on ? "on" : "off";
}

/** What sets the link as it was, without bringing it up. Only what differs is set: some drivers refuse the rest. */
export function settingLines(want: LinkSettings, have: LinkSettings): readonly string[] {
  const words: Words = [
    ...(want.mac && want.mac !== have.mac ? ["address", want.mac] : []),
    ...(want.mtu === have.mtu ? [] : ["mtu", want.mtu]),
    ...(want.queueLength === have.queueLength ? [] : ["txqueuelen", want.queueLength]),
    ...(want.group === have.group ? [] : ["group", want.group]),
    ...(want.arp === have.arp ? [] : ["arp", onOff(want.arp)]),
    ...(want.multicast === have.multicast ? [] : ["multicast", onOff(want.multicast)]),
    ...(want.allMulticast === have.allMulticast ? [] : ["allmulticast", onOff(want.allMulticast)]),
    ...(want.promiscuous === have.promiscuous ? [] : ["promisc", onOff(want.promiscuous)]),
  ];
  return words.length === 0 ? [] : [line(["link set dev", want.name, ...words])];
}
