import { z } from "zod";
import { HostError } from "../host-error.ts";
import { IpRoute, type NetworkNamespace } from "../iproute.ts";
import { understood } from "./printed-json.ts";
import { dumpNexthops, dumpRoutes } from "./route-dump.ts";
import { dumpRules } from "./rule-dump.ts";
import type {
  LinkAddress,
  LinkNexthop,
  LinkRoute,
  LinkRule,
  LinkSettings,
  LinkSnapshot,
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

const dumpedLink = z.object({
  ifindex: z.number(),
  ifname: z.string(),
  flags: z.array(z.string()),
  mtu: z.number(),
  qdisc: z.string().optional(),
  txqlen: z.number().default(0),
  address: z.string().default(""),
  ifalias: z.string().default(""),
  altnames: z.array(z.string()).default([]),
  group: z.string().default("0"),
  promiscuity: z.number().default(0),
  linkinfo: z.object({ info_kind: z.string().default("") }).optional(),
  inet6_addr_gen_mode: z.string().optional(),
  addr_info: z.array(z.unknown()).default([]),
});

const dumpedNeighbour = z.object({
  dst: z.string(),
  dev: z.string().optional(),
  lladdr: z.string().optional(),
  state: z.array(z.string()).default([]),
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
  const links = (await ip.json(["link", "show"])).map((entry) => understood(dumpedLink, entry));
  const found = links.find(({ ifname }) => ifname === name);
  return found && settingsOf(found);
}

function settingsOf(dumped: z.infer<typeof dumpedLink>): LinkSettings {
  const flags = new Set(dumped.flags);
  const generation = GENERATION.get(dumped.inet6_addr_gen_mode ?? "");
  return {
    name: dumped.ifname,
    index: dumped.ifindex,
    kind: dumped.linkinfo?.info_kind ?? "",
    mac: dumped.address,
    mtu: dumped.mtu,
    queueLength: dumped.txqlen,
    alias: dumped.ifalias,
    alternativeNames: [...dumped.altnames],
    group: dumped.group,
    up: flags.has("UP"),
    arp: !flags.has("NOARP"),
    multicast: flags.has("MULTICAST"),
    allMulticast: flags.has("ALLMULTI"),
    promiscuous: flags.has("PROMISC"),
    ...(generation && { addressGeneration: generation }),
  };
}

/**
 * Reads all that the link has and would lose by a move. Its gateways' neighbours are not looked at yet: see
 * {@link captureGateways}. Reading another namespace needs CAP_SYS_ADMIN. Throws `HostError`, `not_found` for the link.
 */
export async function captureLink(
  namespace: NetworkNamespace,
  name: string,
  takenAt: string,
): Promise<LinkSnapshot> {
  const ip = new IpRoute({ namespace });
  const link = await readSettings(ip, name);
  if (!link) throw linkNotFound(name, namespace);
  const [addressed, rules, allNexthops, routes4, routes6, sysctls, neighbours] = await Promise.all([
    ip.json(["address", "show", "dev", name]),
    dumpRules(ip),
    dumpNexthops(ip),
    dumpRoutes(ip, 4),
    dumpRoutes(ip, 6),
    readSysctls(namespace, name),
    ip.json(["neighbour", "show", "nud", "permanent"]),
  ]);
  const [listed] = addressed;
  const printed = listed === undefined ? [] : understood(dumpedLink, listed).addr_info;
  const dumped = printed.map((entry) => understood(dumpedAddress, entry));
  const addresses = dumped.filter(({ temporary }) => !temporary).map(addressOf);
  const sources = new Set(addresses.map(({ local }) => local));
  const touches = ({ hops, source }: LinkRoute): boolean =>
    hops.some(({ dev }) => dev === name) || (source !== undefined && sources.has(source));
  const routes = [...routes4, ...routes6].filter(touches);
  return {
    ...SNAPSHOT_MARKS,
    takenAt,
    link,
    addresses,
    rules: rules.filter((rule) => isOfLink(rule, name)),
    nexthops: nexthopsOf(allNexthops, name, routes),
    routes,
    sysctls,
    permanentNeighbours: neighbours
      .map((entry) => understood(dumpedNeighbour, entry))
      .flatMap(({ dst, dev, lladdr }) => (dev === name && lladdr ? [{ address: dst, mac: lladdr }] : [])),
    gateways: [],
    skippedGateways: [],
    notes: [
      ...dumped
        .filter(({ temporary }) => temporary)
        .map(({ local }) => `${local} is a temporary address: the kernel makes new ones`),
      ...rules
        .filter((rule) => !isOfLink(rule, name))
        .map((rule) => `rule ${rule.arguments.join(" ")} is for another link and stays`),
    ],
  };
}

/** The failure that a missing link is. */
export function linkNotFound(name: string, namespace: NetworkNamespace): HostError {
  return new HostError("not_found", `there is no link ${name} in ${describeNamespace(namespace)}`, {
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
