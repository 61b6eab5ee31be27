import { z } from "zod";
import { NodeToolError } from "../node-tool-error.ts";
import type { IpRoute, Tasks } from "../iproute.ts";
import type { NetworkNamespace } from "../network-namespace.ts";
import {
  type Answers,
  listedLink,
  type ListedLink,
  type NamespaceDump,
  namespaceFrom,
  readNamespace,
} from "./namespace-dump.ts";
import { understood } from "./printed-json.ts";
import { readQdiscs } from "./qdiscs.ts";
import type {
  LinkAddress,
  LinkNexthop,
  LinkRoute,
  LinkRule,
  LinkSettings,
  LinkSnapshot,
  Neighbour,
} from "./snapshot.ts";
import { SNAPSHOT_MARKS } from "./snapshot.ts";
import { readSysctls } from "./sysctls.ts";

const FOREVER = 0xffff_ffff;

const dumpedAddress = z.object({
  family: z.enum(["inet", "inet6"]),
  local: z.string(),
  address: z.string().optional(),
  prefixlen: z.number(),
  broadcast: z.string().optional(),
  scope: z.string().transform(Number),
  label: z.string().optional(),
  metric: z.number().optional(),
  protocol: z.string().optional(),
  noprefixroute: z.boolean().default(false),
  home: z.boolean().default(false),
  mngtmpaddr: z.boolean().default(false),
  autojoin: z.boolean().default(false),
  temporary: z.boolean().default(false),
  valid_life_time: z.number().default(FOREVER),
  preferred_life_time: z.number().default(FOREVER),
});

const GENERATION = new Map<string, LinkSettings["addressGeneration"]>([
  ["eui64", "eui64"],
  ["none", "none"],
  ["stable_secret", "stable_secret"],
  ["random", "random"],
]);

/** The link as it is listed, or `undefined` when the namespace has none of that name. */
export async function readSettings(ip: IpRoute, name: string): Promise<LinkSettings | undefined> {
  // All of them: a name that isn't there must not look like another failure, and an alternative name must not match.
  const links = (await ip.json(["link", "show"])).map((entry) => understood(listedLink, entry));
  const found = links.find(({ ifname }) => ifname === name);
  return found && settingsOf(found);
}

/** The link's settings in a dump, or `undefined` when the namespace has none of that name. */
export function settingsIn({ links, tokens }: NamespaceDump, name: string): LinkSettings | undefined {
  const found = links.find(({ ifname }) => ifname === name);
  if (!found) return undefined;
  const token = tokens.get(name) ?? "::";
  return { ...settingsOf(found), ...(token !== "::" && { token }) };
}

function settingsOf(listed: ListedLink): LinkSettings {
  const flags = new Set(listed.flags);
  const generation = GENERATION.get(listed.inet6_addr_gen_mode ?? "");
  const { master, linkinfo, link_index: peerIndex } = listed;
  const masterKind = linkinfo?.info_slave_kind ?? "";
  return {
    name: listed.ifname,
    index: listed.ifindex,
    kind: linkinfo?.info_kind ?? "",
    mac: listed.address,
    mtu: listed.mtu,
    queueLength: listed.txqlen,
    alias: listed.ifalias,
    alternativeNames: [...listed.altnames],
    group: listed.group,
    up: flags.has("UP"),
    arp: !flags.has("NOARP"),
    multicast: flags.has("MULTICAST"),
    allMulticast: flags.has("ALLMULTI"),
    promiscuous: flags.has("PROMISC"),
    ...(generation && { addressGeneration: generation }),
    ...(master !== undefined && {
      master: {
        name: master,
        kind: masterKind || "unknown",
        options: portOptions(linkinfo?.info_slave_data),
      },
    }),
    ...(listed["netns-immutable"] === true && { immutable: true as const }),
    ...(peerIndex !== undefined && { peerIndex }),
  };
}

/** Options of a bridge's port by iproute2's JSON, and as `type bridge_slave` takes them. What is not here is the port's state. */
const PORT_OPTIONS = new Map([
  ["priority", "priority"],
  ["cost", "cost"],
  ["hairpin", "hairpin"],
  ["guard", "guard"],
  ["root_block", "root_block"],
  ["fastleave", "fastleave"],
  ["learning", "learning"],
  ["flood", "flood"],
  ["proxy_arp", "proxy_arp"],
  ["proxy_arp_wifi", "proxy_arp_wifi"],
  ["mcast_flood", "mcast_flood"],
  ["bcast_flood", "bcast_flood"],
  ["mcast_to_unicast", "mcast_to_unicast"],
  ["multicast_router", "mcast_router"],
  ["neigh_suppress", "neigh_suppress"],
  ["vlan_tunnel", "vlan_tunnel"],
  ["isolated", "isolated"],
  ["locked", "locked"],
  ["mab", "mab"],
]);

function portOptions(data: Readonly<Record<string, unknown>> = {}): { name: string; value: string }[] {
  return [...PORT_OPTIONS].flatMap(([key, name]) => {
    const value = data[key];
    if (typeof value === "boolean") return [{ name, value: value ? "on" : "off" }];
    return typeof value === "number" ? [{ name, value: String(value) }] : [];
  });
}

/**
 * Reads all that the link has and would lose by a move. Its gateways' neighbours and its queueing disciplines are not looked at: see
 * {@link captureGateways} and {@link captureWithLosses}. Reading another namespace needs CAP_SYS_ADMIN. Throws `NodeToolError`, `not_found` for the link.
 */
export async function captureLink(ip: IpRoute, name: string, takenAt: string): Promise<LinkSnapshot> {
  return linkFrom(ip, name, takenAt, await ip.together(readLink(ip, name)));
}

/** What {@link captureLink} reads: for `ip.together`, and then {@link linkFrom}. */
export function readLink(ip: IpRoute, name: string): Tasks<LinkAnswers> {
  return [...readNamespace(ip), readSysctls(name)];
}

/** The link from what {@link readLink} was answered. */
export async function linkFrom(
  ip: IpRoute,
  name: string,
  takenAt: string,
  [general, six, sysctls]: LinkAnswers,
): Promise<LinkSnapshot> {
  return snapshotOf(ip.namespace, name, takenAt, await namespaceFrom(ip, general, six), sysctls);
}

type LinkAnswers = readonly [general: Answers, six: Answers, LinkSnapshot["sysctls"]];

/**
 * {@link captureLink}, with what the link has and no tool puts back: queueing disciplines that someone set, and with them filters and
 * eBPF programs. Without `tc` a note says that nobody looked.
 */
export async function captureWithLosses(ip: IpRoute, name: string, takenAt: string): Promise<LinkSnapshot> {
  const [general, six, sysctls, qdiscs] = await ip.together([
    ...readNamespace(ip),
    readSysctls(name),
    readQdiscs(name),
  ]);
  const dump = await namespaceFrom(ip, general, six);
  return withLosses(snapshotOf(ip.namespace, name, takenAt, dump, sysctls), qdiscs);
}

function snapshotOf(
  namespace: NetworkNamespace,
  name: string,
  takenAt: string,
  dump: NamespaceDump,
  sysctls: LinkSnapshot["sysctls"],
): LinkSnapshot {
  const link = settingsIn(dump, name);
  if (!link) throw linkNotFound(name, namespace);
  const listed = dump.links.find(({ ifname }) => ifname === name);
  const dumped = (listed?.addr_info ?? []).map((entry) => understood(dumpedAddress, entry));
  const addresses = dumped.filter(({ temporary }) => !temporary).map(addressOf);
  const sources = new Set(addresses.map(({ local }) => local));
  const touches = ({ hops, source }: LinkRoute): boolean =>
    hops.some(({ dev }) => dev === name) || (source !== undefined && sources.has(source));
  const routes = dump.routes.filter(touches);
  return {
    ...SNAPSHOT_MARKS,
    takenAt,
    link,
    addresses,
    rules: dump.rules.filter((rule) => isOfLink(rule, name)),
    nexthops: nexthopsOf(dump.nexthops, name, routes),
    routes,
    sysctls,
    permanentNeighbours: dump.neighbours.filter(({ dev }) => dev === name).flatMap(permanentOf),
    proxyNeighbours: dump.proxies.filter(({ dev }) => dev === name).map(({ dst }) => dst),
    gateways: [],
    skippedGateways: [],
    losses: [],
    notes: [
      ...dumped
        .filter(({ temporary }) => temporary)
        .map(({ local }) => `${local} is a temporary address: the kernel makes new ones`),
      ...dump.rules
        .filter((rule) => !isOfLink(rule, name))
        .map((rule) => `rule ${rule.arguments.join(" ")} is for another link and stays`),
      ...(listed?.xdp === undefined ? [] : ["an XDP program is attached: it moves with the link"]),
      ...(link.master?.kind === "bridge"
        ? [`VLANs and static forwarding entries of its port of ${link.master.name} are not captured`]
        : []),
    ],
  };
}

function withLosses(snapshot: LinkSnapshot, qdiscs: readonly string[] | undefined): LinkSnapshot {
  if (qdiscs === undefined) {
    const note = "tc is not there: queueing disciplines, which a move loses, were not looked for";
    return { ...snapshot, notes: [...snapshot.notes, note] };
  }
  const why = "the kernel removes queueing disciplines, their filters and eBPF programs with the move";
  return { ...snapshot, losses: qdiscs.map((what) => ({ what: `qdisc ${what}`, why })) };
}

/** Entries that only a person or a program makes: permanent ones, and those without ARP that are for one host. */
function permanentOf({ dst, lladdr, state }: NamespaceDump["neighbours"][number]): Neighbour[] {
  if (!lladdr) return [];
  if (state.includes("PERMANENT")) return [{ address: dst, mac: lladdr }];
  // The kernel makes the same for multicast and broadcast: by the group bit of the MAC.
  const isGroup = (Number.parseInt(lladdr.slice(0, 2), 16) & 1) === 1 || /^[0:]+$/.test(lladdr);
  return state.includes("NOARP") && !isGroup ? [{ address: dst, mac: lladdr, noArp: true }] : [];
}

/** The failure that a missing link is. */
export function linkNotFound(name: string, namespace: NetworkNamespace): NodeToolError {
  return new NodeToolError("not_found", `there is no link ${name} in ${describeNamespace(namespace)}`, {
    fix: "see ip link show there",
  });
}

/** For messages: `network namespace pod`. */
export function describeNamespace(namespace: NetworkNamespace): string {
  switch (namespace.kind) {
    case "own":
      return "this network namespace";
    case "name":
      return `network namespace ${namespace.name}`;
    case "path":
      return `network namespace ${namespace.path}`;
  }
}

function addressOf(dumped: z.infer<typeof dumpedAddress>): LinkAddress {
  const { local, address: peer, broadcast, label, metric, protocol } = dumped;
  const { valid_life_time: valid, preferred_life_time: preferred } = dumped;
  return {
    family: dumped.family === "inet" ? 4 : 6,
    local,
    prefixLength: dumped.prefixlen,
    ...(peer !== undefined && { peer }),
    ...(broadcast !== undefined && { broadcast }),
    scope: dumped.scope,
    ...(label !== undefined && { label }),
    ...(metric !== undefined && { metric }),
    // What the kernel marks as its own it marks again.
    ...(protocol !== undefined && !protocol.startsWith("kernel") && { protocol }),
    noPrefixRoute: dumped.noprefixroute,
    home: dumped.home,
    manageTemporary: dumped.mngtmpaddr,
    autojoin: dumped.autojoin,
    ...(valid !== FOREVER && { validS: valid }),
    ...(preferred !== FOREVER && { preferredS: preferred }),
  };
}

/** Rules say how a whole namespace routes: all but those that are for another link. */
function isOfLink({ iif, oif }: LinkRule, name: string): boolean {
  return [iif, oif].every((dev) => dev === undefined || dev === name || dev === "lo");
}

/** Those through the link, those that its routes use, and the members of their groups. */
function nexthopsOf(all: readonly LinkNexthop[], name: string, routes: readonly LinkRoute[]): LinkNexthop[] {
  const ids = new Set(routes.flatMap(({ nexthopId }) => nexthopId ?? []));
  for (const { id, hop } of all) if (hop?.dev === name) ids.add(id);
  for (const { id, group } of all) if (group?.some((member) => ids.has(member.id))) ids.add(id);
  for (const { id, group } of all) if (ids.has(id)) for (const member of group ?? []) ids.add(member.id);
  return all.filter(({ id }) => ids.has(id));
}
