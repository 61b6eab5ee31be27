import type { IpFamily } from "../cidr.ts";
import { NodeToolError } from "../node-tool-error.ts";
import { IpRoute, type IpRouteError, type NetworkNamespace } from "../iproute.ts";
import { captureLink, linkNotFound, settingsIn } from "./capture.ts";
import {
  addressLine,
  masterLines,
  pinLine,
  proxyLine,
  routeLine,
  ruleLine,
  settingLines,
} from "./commands.ts";
import type { Excused } from "./differences.ts";
import { differences } from "./differences.ts";
import { dumpNamespace, dumpRouting, type NamespaceDump } from "./namespace-dump.ts";
import { type RestoreOrder, restoreOrder } from "./restore-order.ts";
import { type RestorePlace, routeKey } from "./restorable.ts";
import type { RestoreStep } from "./restore-graph.ts";
import type { LinkRoute, LinkRule, LinkSettings, LinkSnapshot } from "./snapshot.ts";
import { writeSysctls } from "./sysctls.ts";

/** A nexthop object or route that the kernel refused though everything before it was taken. */
export class StepRefusedError extends NodeToolError {
  readonly step: RestoreStep;

  constructor(step: RestoreStep, cause: IpRouteError) {
    super(cause.code, cause.message, { cause, fix: cause.fix });
    this.name = "StepRefusedError";
    this.step = step;
  }
}

/** Lines of one batch of iproute2, and the family that it is told of. */
interface Batch {
  readonly family: IpFamily | undefined;
  readonly lines: readonly string[];
}

/** What a restore did. */
export interface Restored extends RestoreOrder {
  /** What it told the kernel once the link was set as wanted, but for rules: for {@link replay}. */
  readonly batches: readonly Batch[];
}

/**
 * Does again what a rehearsal did to its stand-in, to a link that has just arrived (down, without addresses, its own settings kept): in two processes, so
 * that the link is away for a short time only. Resolves to whether the kernel took all of it; if not, {@link restoreLink} begins from nothing.
 */
export async function replay(
  namespace: NetworkNamespace,
  snapshot: LinkSnapshot,
  batches: readonly Batch[],
  rulesThere: ReadonlySet<string>,
): Promise<boolean> {
  const ip = new IpRoute({ namespace });
  const missing = snapshot.rules.filter(
    (rule) => rule.unknown.length === 0 && !rulesThere.has(ruleKey(rule)),
  );
  const linesOf = (family: IpFamily): readonly string[] =>
    missing.filter((rule) => rule.family === family).map((rule) => ruleLine("add", rule));
  const [addresses, ...rest] = batches;
  const all: readonly Batch[] = [
    ...(addresses ? [addresses] : []),
    { family: undefined, lines: linesOf(4) },
    { family: 6, lines: linesOf(6) },
    ...rest,
  ];
  await writeSysctls(namespace, snapshot.link.name, snapshot.sysctls);
  for (const { family, lines } of joined(all)) {
    if ((await ip.batch(lines, family)).length > 0) return false;
  }
  await writeSysctls(namespace, snapshot.link.name, snapshot.sysctls);
  return true;
}

function joined(batches: readonly Batch[]): readonly Batch[] {
  const found: Batch[] = [];
  for (const { family, lines } of batches.filter((batch) => batch.lines.length > 0)) {
    const last = found.at(-1);
    if (last && last.family === family) {
      found[found.length - 1] = { family, lines: [...last.lines, ...lines] };
    } else found.push({ family, lines });
  }
  return found;
}

/**
 * Makes the link in `namespace` what the snapshot says, from nothing: what it has now is taken from it first, so that it may be run
 * again after it broke off anywhere. The link loses its traffic for that long. Rules are added, never removed.
 * Throws the first refusal: {@link StepRefusedError} or another `NodeToolError`.
 */
export async function restoreLink(
  namespace: NetworkNamespace,
  snapshot: LinkSnapshot,
  place: RestorePlace = {},
): Promise<Restored> {
  const ip = new IpRoute({ namespace });
  const { link } = snapshot;
  const { name } = link;
  const before = place.made ? undefined : await dumpNamespace(ip);
  const have = place.made ?? (before && settingsIn(before, name));
  if (!have) throw linkNotFound(name, namespace);
  const order = restoreOrder(snapshot, place);

  const lines = [
    ...(!before || isEmpty(before, have) ? [] : [`link set dev ${name} down`, `address flush dev ${name}`]),
    ...settingLines(link, have),
    ...(have.master && !link.master ? [`link set dev ${name} nomaster`] : []),
    ...(place.devices?.has(link.master?.name ?? "") ? masterLines(link) : []),
    ...link.alternativeNames
      .filter((other) => !have.alternativeNames.includes(other))
      .map((other) => `link property add dev ${name} altname ${other}`),
  ];
  await runAll(ip, lines);
  // May have spaces and quotes: not for a batch.
  if (link.alias !== have.alias) await ip.run(["link", "set", "dev", name, "alias", link.alias]);
  await writeSysctls(namespace, name, snapshot.sysctls);

  const addresses = [
    ...snapshot.addresses.filter(({ family }) => family === 4),
    // The kernel lists the newest first.
    ...snapshot.addresses.filter(({ family }) => family === 6).toReversed(),
  ].map((address) => addressLine(address, name));
  const generates = have.addressGeneration !== undefined;
  const putUp = [
    // The link-local address is one of the snapshot's, and must not wait for its duplicate check.
    ...(generates ? [`link set dev ${name} addrgenmode none`] : []),
    ...(link.up ? [`link set dev ${name} up`] : []),
    ...addresses,
    ...(generates && link.addressGeneration !== undefined
      ? [`link set dev ${name} addrgenmode ${link.addressGeneration}`]
      : []),
    ...(link.token === undefined ? [] : [`token set ${link.token} dev ${name}`]),
  ];
  await runAll(ip, putUp);
  const now = await dumpRouting(ip);
  await changeRules(ip, "add", missingRules(now.rules, snapshot));
  const routing = await restoreRoutes(ip, snapshot, order, now.routes);
  // Coming up resets some, such as the MTU of IPv6.
  await writeSysctls(namespace, name, snapshot.sysctls);
  const neighbours = [
    ...snapshot.permanentNeighbours.map((entry) => pinLine(entry, name)),
    ...snapshot.proxyNeighbours.map((address) => proxyLine(address, name)),
  ];
  await runAll(ip, neighbours);
  const batches = [{ family: undefined, lines: putUp }, ...routing, { family: undefined, lines: neighbours }];
  return { ...order, batches };
}

/** As a link is when it has just arrived: down, without addresses and routes. */
function isEmpty({ links, routes }: NamespaceDump, { name, up }: LinkSettings): boolean {
  const listed = links.find(({ ifname }) => ifname === name);
  return (
    !up && listed?.addr_info.length === 0 && !routes.some(({ hops }) => hops.some(({ dev }) => dev === name))
  );
}

/** Each finds one more route that needs `onlink`. */
const MAX_TRIES = 64;

/**
 * {@link restoreLink}, and again with `onlink` for each gateway that the kernel can't resolve: what it was then is in the
 * order's `onlink`. Throws the first other refusal.
 */
export async function restoreOrOnlink(
  namespace: NetworkNamespace,
  snapshot: LinkSnapshot,
  place: RestorePlace = {},
): Promise<Restored> {
  const onlink = new Map(place.onlink);
  for (let tries = 0; ; tries += 1) {
    try {
      const { made, ...rest } = place;
      // A try that broke off has left something.
      const asMade = tries === 0 && made ? { made } : {};
      return await restoreLink(namespace, snapshot, { ...rest, ...asMade, onlink });
    } catch (error) {
      const isUnresolved =
        error instanceof StepRefusedError &&
        error.step.canBeOnlink &&
        !onlink.has(error.step.key) &&
        /gateway|unreachable|No route to host/i.test(error.message);
      if (!isUnresolved || tries >= MAX_TRIES) throw error;
      onlink.set(error.step.key, `the kernel refused it without: ${error.message}`);
    }
  }
}

/** Compares the link with the snapshot. Returns what differs, nothing when it is restored. */
export async function verifyLink(
  namespace: NetworkNamespace,
  snapshot: LinkSnapshot,
  excused: Excused,
): Promise<readonly string[]> {
  const now = await captureLink(namespace, snapshot.link.name, snapshot.takenAt);
  return differences(snapshot, now, excused);
}

/** Those rules of the snapshot that can be put back and are not there. */
function missingRules(there: readonly LinkRule[], { rules }: LinkSnapshot): readonly LinkRule[] {
  const present = new Set(there.map(ruleKey));
  return rules.filter((rule) => rule.unknown.length === 0 && !present.has(ruleKey(rule)));
}

/** Adds or deletes rules. `ip rule` takes the family from `-6` alone. Throws the first refusal. */
export async function changeRules(
  ip: IpRoute,
  verb: "add" | "delete",
  rules: readonly LinkRule[],
): Promise<void> {
  for (const family of [4, 6] as const) {
    const lines = rules.filter((rule) => rule.family === family).map((rule) => ruleLine(verb, rule));
    await runAll(ip, lines, family);
  }
}

/** Two rules with the same key do the same. */
export function ruleKey(rule: LinkRule): string {
  return `${rule.family} ${ruleLine("add", rule)}`;
}

/** Addresses bring routes along: those that the snapshot lacks go, those that it has stay, the rest is added in order. */
async function restoreRoutes(
  ip: IpRoute,
  snapshot: LinkSnapshot,
  order: RestoreOrder,
  there: readonly LinkRoute[],
): Promise<readonly Batch[]> {
  const { link, routes } = snapshot;
  const now = there.filter(({ hops }) => hops.some(({ dev }) => dev === link.name));
  const wanted = new Set(routes.map(routeKey));
  const kept = new Set(now.map(routeKey).filter((key) => wanted.has(key)));
  const surplus = now.filter((route) => !wanted.has(routeKey(route)));
  const deletions = surplus.map((route) => routeLine("delete", route));
  await runAll(ip, deletions);
  const batches: Batch[] = [{ family: undefined, lines: deletions }];
  let open: RestoreStep[] = [];
  const flush = async (): Promise<void> => {
    const family = open[0]?.needsSix ? 6 : undefined;
    const lines = open.map(({ line }) => line);
    const [first] = await ip.batch(lines, family);
    const step = first && open[first.index];
    if (step) throw new StepRefusedError(step, first.error);
    batches.push({ family, lines });
    open = [];
  };
  for (const step of order.steps.filter(({ key }) => !kept.has(key))) {
    if (open[0] && open[0].needsSix !== step.needsSix) await flush();
    open.push(step);
  }
  await flush();
  return batches;
}

/** Runs lines that must all succeed. Throws the first refusal: those after it may only follow from it. */
async function runAll(ip: IpRoute, lines: readonly string[], family?: IpFamily): Promise<void> {
  const [first] = await ip.batch(lines, family);
  if (first) throw first.error;
}
