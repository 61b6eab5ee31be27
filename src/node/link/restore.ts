import type { IpFamily } from "../cidr.ts";
import { NodeToolError } from "../node-tool-error.ts";
import type { IpRoute } from "../iproute.ts";
import type { IpRouteError } from "../iproute-error.ts";
import type { Ended, Task } from "../shell-script.ts";
import { captureLink, linkFrom, linkNotFound, readLink, settingsIn } from "./capture.ts";
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
import { dumpNamespace, type NamespaceDump, readRouting, routingFrom } from "./namespace-dump.ts";
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

interface StepBatch extends Batch {
  /** What each line does. */
  readonly steps: readonly RestoreStep[];
}

/** What a restore did. */
export interface Restored extends RestoreOrder {
  /** What it told the kernel once the link was set as wanted, but for rules: for {@link replayTasks}. */
  readonly batches: readonly Batch[];
  /** What the link had at its end. */
  readonly found: LinkSnapshot;
}

/**
 * What does again what a rehearsal did to its stand-in, to a link that has just arrived (down, without addresses, its own settings kept). If one of these
 * fails, {@link restoreLink} begins from nothing.
 */
export function replayTasks(
  ip: IpRoute,
  snapshot: LinkSnapshot,
  batches: readonly Batch[],
  rulesThere: ReadonlySet<string>,
): readonly Task<unknown>[] {
  const missing = snapshot.rules.filter(
    (rule) => rule.unknown.length === 0 && !rulesThere.has(ruleKey(rule)),
  );
  const [addresses, ...rest] = batches;
  const all: readonly Batch[] = [...(addresses ? [addresses] : []), ...ruleBatches("add", missing), ...rest];
  const sysctls = writeSysctls(snapshot.link.name, snapshot.sysctls);
  return [sysctls, ...joined(all).flatMap(({ family, lines }) => allOf(ip, lines, family)), sysctls];
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
  ip: IpRoute,
  snapshot: LinkSnapshot,
  place: RestorePlace = {},
): Promise<Restored> {
  const { link } = snapshot;
  const { name } = link;
  const before = place.made ? undefined : await dumpNamespace(ip);
  const have = place.made?.settings ?? (before && settingsIn(before, name));
  if (!have) throw linkNotFound(name, ip.namespace);
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
  const sysctls = writeSysctls(name, snapshot.sysctls);
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
  const preparing = [
    ...allOf(ip, place.made?.by ?? []),
    ...allOf(ip, lines),
    // May have spaces and quotes: not for a batch.
    ...(link.alias === have.alias ? [] : [ip.runTask(["link", "set", "dev", name, "alias", link.alias])]),
    sysctls,
    ...allOf(ip, putUp),
  ];
  const [four, six] = await ip.after(preparing, readRouting(ip));
  const now = await routingFrom(ip, four, six);
  const neighbours = [
    ...snapshot.permanentNeighbours.map((entry) => pinLine(entry, name)),
    ...snapshot.proxyNeighbours.map((address) => proxyLine(address, name)),
  ];
  const routing = routeBatches(snapshot, order, now.routes);
  const restoring = [
    ...ruleBatches("add", missingRules(now.rules, snapshot)).flatMap(({ family, lines: rules }) =>
      allOf(ip, rules, family),
    ),
    ...routing.flatMap((batch) => allOf(ip, batch.lines, batch.family, batch.steps)),
    // Coming up resets some, such as the MTU of IPv6.
    sysctls,
    ...allOf(ip, neighbours),
  ];
  const found = await linkFrom(ip, name, snapshot.takenAt, await ip.after(restoring, readLink(ip, name)));
  const batches = [{ family: undefined, lines: putUp }, ...routing, { family: undefined, lines: neighbours }];
  return { ...order, batches, found };
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
  ip: IpRoute,
  snapshot: LinkSnapshot,
  place: RestorePlace = {},
): Promise<Restored> {
  const onlink = new Map(place.onlink);
  for (let tries = 0; ; tries += 1) {
    try {
      const { made, ...rest } = place;
      // A try that broke off has left something.
      const asMade = tries === 0 && made ? { made } : {};
      return await restoreLink(ip, snapshot, { ...rest, ...asMade, onlink });
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
  ip: IpRoute,
  snapshot: LinkSnapshot,
  excused: Excused,
): Promise<readonly string[]> {
  const now = await captureLink(ip, snapshot.link.name, snapshot.takenAt);
  return differences(snapshot, now, excused);
}

/** Those rules of the snapshot that can be put back and are not there. */
function missingRules(there: readonly LinkRule[], { rules }: LinkSnapshot): readonly LinkRule[] {
  const present = new Set(there.map(ruleKey));
  return rules.filter((rule) => rule.unknown.length === 0 && !present.has(ruleKey(rule)));
}

/** Adds or deletes rules. Throws the first refusal. */
export async function changeRules(
  ip: IpRoute,
  verb: "add" | "delete",
  rules: readonly LinkRule[],
): Promise<void> {
  const batches = ruleBatches(verb, rules);
  await ip.together(batches.flatMap(({ family, lines }) => allOf(ip, lines, family)));
}

/** `ip rule` takes the family from `-6` alone. */
function ruleBatches(verb: "add" | "delete", rules: readonly LinkRule[]): readonly Batch[] {
  const linesOf = (family: IpFamily): readonly string[] =>
    rules.filter((rule) => rule.family === family).map((rule) => ruleLine(verb, rule));
  return [
    { family: undefined, lines: linesOf(4) },
    { family: 6, lines: linesOf(6) },
  ];
}

/** Two rules with the same key do the same. */
export function ruleKey(rule: LinkRule): string {
  return `${rule.family} ${ruleLine("add", rule)}`;
}

/** Addresses bring routes along: those that the snapshot lacks go, those that it has stay, the rest is added in order. */
function routeBatches(
  { link, routes }: LinkSnapshot,
  order: RestoreOrder,
  there: readonly LinkRoute[],
): readonly StepBatch[] {
  const now = there.filter(({ hops }) => hops.some(({ dev }) => dev === link.name));
  const wanted = new Set(routes.map(routeKey));
  const kept = new Set(now.map(routeKey).filter((key) => wanted.has(key)));
  const surplus = now.filter((route) => !wanted.has(routeKey(route)));
  const deletions = surplus.map((route) => routeLine("delete", route));
  const batches: { family: IpFamily | undefined; lines: string[]; steps: RestoreStep[] }[] = [];
  for (const step of order.steps.filter(({ key }) => !kept.has(key))) {
    const family = step.needsSix ? 6 : undefined;
    const last = batches.at(-1);
    if (last && last.family === family) {
      last.lines.push(step.line);
      last.steps.push(step);
    } else batches.push({ family, lines: [step.line], steps: [step] });
  }
  return [{ family: undefined, lines: deletions, steps: [] }, ...batches];
}

/** Lines that must all succeed, as tasks: one, or none without lines. Throws the first refusal: those after it may only follow from it. */
function allOf(
  ip: IpRoute,
  lines: readonly string[],
  family?: IpFamily,
  steps: readonly RestoreStep[] = [],
): readonly Task<unknown>[] {
  if (lines.length === 0) return [];
  const task = ip.batchTask(lines, family);
  const read = async (ended: Ended): Promise<void> => {
    const [first] = await task.read(ended);
    if (!first) return;
    const step = steps[first.index];
    throw step ? new StepRefusedError(step, first.error) : first.error;
  };
  return [{ ...task, read }];
}
