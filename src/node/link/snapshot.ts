import { z } from "zod";
import { NodeToolError } from "../node-tool-error.ts";

const FORMAT = "lychgate-link-snapshot";

/** A word on a line of iproute2's batch mode: nothing that ends, quotes or comments it out. */
const word = z.string().regex(/^[^\s"'\\#\0]+$/, "must be one word without spaces, quotes, backslashes or #");
/** A name that is part of a path under /proc/sys as well. */
const linkName = z
  .string()
  .regex(/^(?!\.{1,2}$)[^\s/:"'\\#\0]{1,15}$/, "must be the name of a link: at most 15 bytes, no / or :");
const family = z.union([z.literal(4), z.literal(6)]);
const count = z.int().min(0).max(0xffff_ffff);

const gateway = z.strictObject({ family, address: word });

const hop = z.strictObject({
  dev: linkName.optional(),
  gateway: gateway.optional(),
  weight: count.optional(),
  onlink: z.boolean(),
});

const route = z.strictObject({
  family,
  /** `unicast`, `local` … */
  type: z.enum(["unicast", "local", "broadcast", "anycast", "multicast"]),
  /** With the prefix length, or one address; the default route is `0.0.0.0/0` or `::/0`. */
  destination: word,
  table: count,
  protocol: count,
  /** IPv4: 0 global, 253 link, 254 host. IPv6 has none: 0. */
  scope: count,
  tos: word.optional(),
  metric: count.optional(),
  /** The preferred source address. */
  source: word.optional(),
  /** IPv6: only packets from here. */
  from: word.optional(),
  pref: word.optional(),
  /** Seconds that were left. */
  expiresS: count.optional(),
  realms: word.optional(),
  /** Nexthop object that it uses; `hops` are then that object's. */
  nexthopId: count.optional(),
  metrics: z.array(z.strictObject({ name: word, value: word, locked: z.boolean() })),
  hops: z.array(hop),
  /** What it has that can't be given back, such as an encapsulation. */
  unknown: z.array(z.string()),
});

const nexthop = z.strictObject({
  id: count,
  protocol: count,
  family: family.optional(),
  hop: hop.optional(),
  group: z.array(z.strictObject({ id: count, weight: count })).optional(),
  resilient: z
    .strictObject({ buckets: count, idleTimerS: z.number().min(0), unbalancedTimerS: z.number().min(0) })
    .optional(),
  unknown: z.array(z.string()),
});

const rule = z.strictObject({
  family,
  priority: count,
  /** Where it leads, when it is a lookup. */
  table: count.optional(),
  /** It says no to some packets: by source, mark, port … A gateway's lookup has none of these. */
  selective: z.boolean(),
  iif: linkName.optional(),
  oif: linkName.optional(),
  /** What stands after `ip rule add`. */
  arguments: z.array(word),
  unknown: z.array(z.string()),
});

const address = z.strictObject({
  family,
  local: word,
  prefixLength: z.int().min(0).max(128),
  peer: word.optional(),
  broadcast: word.optional(),
  scope: count,
  label: word.optional(),
  metric: count.optional(),
  protocol: word.optional(),
  noPrefixRoute: z.boolean(),
  home: z.boolean(),
  manageTemporary: z.boolean(),
  autojoin: z.boolean(),
  /** Seconds that were left; absent: forever. */
  validS: count.optional(),
  preferredS: count.optional(),
});

const link = z.strictObject({
  name: linkName,
  index: count,
  /** `veth`, `macvlan` …; empty for hardware. */
  kind: z.string(),
  mac: z.string().regex(/^[\da-fA-F:.]*$/),
  mtu: count,
  queueLength: count,
  alias: z.string().max(255),
  alternativeNames: z.array(word),
  group: word,
  up: z.boolean(),
  arp: z.boolean(),
  multicast: z.boolean(),
  allMulticast: z.boolean(),
  promiscuous: z.boolean(),
  addressGeneration: z.enum(["eui64", "none", "stable_secret", "random"]).optional(),
  /** IPv6: what `ip token` set for the lower half of addresses. */
  token: word.optional(),
  /** The bridge, bond or VRF that it is a port of, with the options of the port. */
  master: z
    .strictObject({
      name: linkName,
      kind: word,
      options: z.array(z.strictObject({ name: word, value: word })),
    })
    .optional(),
  /** The kernel says that it never leaves its namespace. */
  immutable: z.literal(true).optional(),
  /** Index of the other end of a veth pair in another namespace: no two links of this machine have had the same. */
  peerIndex: count.optional(),
});

const neighbour = z.strictObject({
  address: word,
  mac: z.string().regex(/^[\da-fA-F:.]+$/),
  /** It is one that is used and never asked for, as some overlays set them; else a permanent one. */
  noArp: z.literal(true).optional(),
});

const snapshot = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal(1),
  takenAt: z.string(),
  link,
  /** In the kernel's order: for IPv4 that in which they were added, for IPv6 the newest first. */
  addresses: z.array(address),
  rules: z.array(rule),
  nexthops: z.array(nexthop),
  /** In the kernel's order. */
  routes: z.array(route),
  /** `ipv4/conf/proxy_arp` → `0`; the link's name stands between the last two. */
  sysctls: z.record(z.string().regex(/^ipv[46]\/(conf|neigh)\/[a-z\d_]+$/), z.string().regex(/^[^\r\n\0]*$/)),
  /** Entries that someone had made permanent, or to be used without asking. */
  permanentNeighbours: z.array(neighbour),
  /** Addresses that it answers ARP and neighbour discovery for, in place of others. */
  proxyNeighbours: z.array(word).default([]),
  /** What answered for the gateways: pinned after a move. */
  gateways: z.array(neighbour),
  skippedGateways: z.array(z.strictObject({ address: word, why: z.string() })),
  /** What it has and loses by a move, for good. */
  losses: z.array(z.strictObject({ what: z.string(), why: z.string() })).default([]),
  /** What belongs near the link and is not in the snapshot. */
  notes: z.array(z.string()),
});

/** All that a link has and would lose in another network namespace, as `lychgate node link snapshot` writes it. */
export type LinkSnapshot = z.infer<typeof snapshot>;
/** Where packets of a route go next. */
export type Hop = z.infer<typeof hop>;
/** A route that leaves through the link. */
export type LinkRoute = z.infer<typeof route>;
/** A nexthop object, or a group of such. */
export type LinkNexthop = z.infer<typeof nexthop>;
/** A routing rule. */
export type LinkRule = z.infer<typeof rule>;
/** An address of the link. */
export type LinkAddress = z.infer<typeof address>;
/** What the link itself is set to. */
export type LinkSettings = z.infer<typeof link>;
/** An address and the MAC that answers for it. */
export type Neighbour = z.infer<typeof neighbour>;

/** The schema of a snapshot inside another file. */
export const snapshotSchema = snapshot;

/** The marks of a snapshot that this version writes. */
export const SNAPSHOT_MARKS = { format: FORMAT, version: 1 } as const;

/** The file's text. */
export function formatSnapshot(value: LinkSnapshot): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Reads a file's text. Throws `NodeToolError` `invalid` that names `what`, each field and what it must be. */
export function parseSnapshot(text: string, what: string): LinkSnapshot {
  return parseFile(text, what, snapshot, "write it with lychgate node link snapshot");
}

/** Reads JSON by a schema. Throws `NodeToolError` `invalid` with all faults. */
export function parseFile<T>(text: string, what: string, schema: z.ZodType<T>, fix: string): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new NodeToolError("invalid", `${what} is no JSON`, { cause, fix });
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const faults = result.error.issues.map(
    ({ path, message }) => `${path.join(".") || "the file"}: ${message}`,
  );
  const shown = faults.slice(0, 5).join("; ");
  const more = faults.length > 5 ? ` and ${faults.length - 5} more` : "";
  throw new NodeToolError("invalid", `${what} is malformed: ${shown}${more}`, { fix });
}

/** The same for a link that has another name where it is going. */
export function withLinkName(of: LinkSnapshot, name: string): LinkSnapshot {
  const was = of.link.name;
  if (was === name) return of;
  const renamed = (dev: string | undefined): string | undefined => (dev === was ? name : dev);
  const hopOf = (hop: Hop): Hop => ({ ...hop, dev: renamed(hop.dev) });
  return {
    ...of,
    link: { ...of.link, name },
    addresses: of.addresses.map((address) => ({
      ...address,
      label: address.label && relabelled(address.label, was, name),
    })),
    rules: of.rules.map((rule) => ({
      ...rule,
      iif: renamed(rule.iif),
      oif: renamed(rule.oif),
      arguments: rule.arguments.map((word, index) =>
        /^[io]if$/.test(rule.arguments[index - 1] ?? "") && word === was ? name : word,
      ),
    })),
    nexthops: of.nexthops.map((nexthop) => ({ ...nexthop, hop: nexthop.hop && hopOf(nexthop.hop) })),
    routes: of.routes.map((route) => ({ ...route, hops: route.hops.map(hopOf) })),
  };
}

/** `eth0:web` → `net1:web`: a label begins with its link's name, and has 15 bytes. */
function relabelled(label: string, was: string, name: string): string {
  if (label === was) return name;
  return label.startsWith(`${was}:`) ? `${name}${label.slice(was.length)}`.slice(0, 15) : name;
}
