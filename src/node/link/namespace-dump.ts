import { z } from "zod";
import type { IpFamily } from "../cidr.ts";
import { NodeToolError } from "../node-tool-error.ts";
import type { IpRoute } from "../iproute.ts";
import { IpRouteError } from "../iproute-error.ts";
import type { Task } from "../shell-script.ts";
import { understood } from "./printed-json.ts";
import { haveMetrics, nexthopsFrom, routesFrom } from "./route-dump.ts";
import { rulesFrom } from "./rule-dump.ts";
import type { LinkNexthop, LinkRoute, LinkRule } from "./snapshot.ts";

/** A link as `ip link show` and `ip address show` list it. */
export const listedLink = z.object({
  ifindex: z.number(),
  ifname: z.string(),
  flags: z.array(z.string()),
  link_index: z.number().optional(),
  mtu: z.number(),
  master: z.string().optional(),
  txqlen: z.number().default(0),
  address: z.string().default(""),
  ifalias: z.string().default(""),
  altnames: z.array(z.string()).default([]),
  group: z.string().default("0"),
  promiscuity: z.number().default(0),
  linkinfo: z
    .object({
      info_kind: z.string().default(""),
      info_slave_kind: z.string().optional(),
      info_slave_data: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
  inet6_addr_gen_mode: z.string().optional(),
  xdp: z.unknown().optional(),
  /** Since iproute2 6.14. */
  "netns-immutable": z.unknown().optional(),
  addr_info: z.array(z.unknown()).default([]),
});

/** See {@link listedLink}. */
export type ListedLink = z.infer<typeof listedLink>;

const listedNeighbour = z.object({
  dst: z.string(),
  dev: z.string().optional(),
  lladdr: z.string().optional(),
  state: z.array(z.string()).default([]),
});

const listedToken = z.object({ token: z.string(), ifname: z.string() });

/** Rules and routes of both families. */
export interface RoutingDump {
  /** Without the three that every namespace begins with. */
  readonly rules: readonly LinkRule[];
  /** In the kernel's order, without those that come and go with an address. */
  readonly routes: readonly LinkRoute[];
}

/** What a network namespace has, as far as a link of it may lose it. */
export interface NamespaceDump extends RoutingDump {
  readonly links: readonly ListedLink[];
  readonly neighbours: readonly z.infer<typeof listedNeighbour>[];
  readonly proxies: readonly { readonly dst: string; readonly dev?: string | undefined }[];
  /** By link; `::` where none is set. */
  readonly tokens: ReadonlyMap<string, string>;
  /** In the order of their IDs. */
  readonly nexthops: readonly LinkNexthop[];
}

/** Tables that change while they are read are read again, this often. */
const TRIES = 5;

/** What the questions of one task were answered. */
export type Answers = readonly (readonly unknown[])[];
type ReadTasks = readonly [general: Task<Answers>, six: Task<Answers>];

const GENERAL_QUESTIONS = [
  "link show",
  "address show",
  "neighbour show nud all",
  "neighbour show proxy",
  "token list",
  "nexthop show",
];
/** Of one family, that of the option `-4` or `-6`. */
const FAMILY_QUESTIONS = ["rule show", "route show table all"];
/** Without an option rules are those of IPv4, and routes those of both families unless a prefix tells. */
const FOUR_QUESTIONS = ["rule show", "route show table all root 0.0.0.0/0"];

/** What reads a namespace: for `ip.together`, and then {@link namespaceFrom}. */
export function readNamespace(ip: IpRoute): ReadTasks {
  return [ask(ip, [...GENERAL_QUESTIONS, ...FOUR_QUESTIONS]), askSix(ip)];
}

/** What reads rules and routes: for `ip.together`, and then {@link routingFrom}. */
export function readRouting(ip: IpRoute): readonly [four: Task<Answers>, six: Task<Answers>] {
  return [ask(ip, FAMILY_QUESTIONS, 4), askSix(ip)];
}

/** The namespace from what {@link readNamespace} was answered. Routes that have metrics take another process. Throws `NodeToolError`. */
export async function namespaceFrom(ip: IpRoute, general: Answers, six: Answers): Promise<NamespaceDump> {
  const [links = [], addressed = [], neighbours = [], proxies = [], tokens = [], nexthops = []] = general;
  const addresses = new Map(
    addressed
      .map((entry) => understood(listedLink, entry))
      .map((entry) => [entry.ifindex, entry.addr_info] as const),
  );
  return {
    ...(await routingFrom(ip, general.slice(GENERAL_QUESTIONS.length), six)),
    // "address show" lacks some of what a link is set to.
    links: links
      .map((entry) => understood(listedLink, entry))
      .map((entry) => Object.assign(entry, { addr_info: addresses.get(entry.ifindex) ?? [] })),
    neighbours: neighbours.map((entry) => understood(listedNeighbour, entry)),
    proxies: proxies.map((entry) => understood(listedNeighbour, entry)),
    tokens: new Map(
      tokens.map((entry) => understood(listedToken, entry)).map(({ ifname, token }) => [ifname, token]),
    ),
    nexthops: nexthopsFrom(nexthops, six[FAMILY_QUESTIONS.length] ?? []),
  };
}

/** Rules and routes from what {@link readRouting} was answered, as {@link namespaceFrom}. */
export async function routingFrom(ip: IpRoute, four: Answers, six: Answers): Promise<RoutingDump> {
  const [one, other] = await Promise.all([familyFrom(ip, 4, four), familyFrom(ip, 6, six)]);
  return { rules: [...one.rules, ...other.rules], routes: [...one.routes, ...other.routes] };
}

/** Reads all of it, in one process (three where routes have metrics). Throws `NodeToolError`. */
export async function dumpNamespace(ip: IpRoute): Promise<NamespaceDump> {
  return namespaceFrom(ip, ...(await ip.together(readNamespace(ip))));
}

/** Reads rules and routes alone. Throws `NodeToolError`. */
export async function dumpRouting(ip: IpRoute): Promise<RoutingDump> {
  return routingFrom(ip, ...(await ip.together(readRouting(ip))));
}

async function familyFrom(ip: IpRoute, family: IpFamily, answers: Answers): Promise<RoutingDump> {
  let [rules = [], routes = []] = answers;
  for (let tries = 0; tries < TRIES; tries += 1) {
    const text = haveMetrics(routes)
      ? await ip.run([`-${family}`, "-details", "-N", "route", "show", "table", "all"])
      : undefined;
    const read = routesFrom(routes, text, family);
    if (read) return { rules: rulesFrom(rules, family), routes: read };
    [[rules = [], routes = []]] = await ip.together([ask(ip, FAMILY_QUESTIONS, family)]);
  }
  throw new NodeToolError("failed", "the routes keep changing while they are read", {
    fix: "stop what changes them, and try again",
  });
}

function askSix(ip: IpRoute): Task<Answers> {
  return ask(ip, [...FAMILY_QUESTIONS, "nexthop show"], 6);
}

/** What a kernel without IPv6, without nexthop objects or without tables does not have is empty. */
function ask(ip: IpRoute, lines: readonly string[], family?: IpFamily): Task<Answers> {
  const task = ip.jsonBatchTask(lines, family);
  return {
    ...task,
    async read(ended) {
      return (await task.read(ended)).map((answer) => {
        if (!(answer instanceof IpRouteError)) return answer;
        if (/FIB table does not exist|not supported/i.test(answer.said)) return [];
        throw answer;
      });
    },
  };
}

/** Names of the links of a namespace. */
export async function devicesOf(ip: IpRoute): Promise<ReadonlySet<string>> {
  const links = await ip.json(["link", "show"]);
  return new Set(links.map((entry) => String((entry as { readonly ifname?: unknown }).ifname)));
}
