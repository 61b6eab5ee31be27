import { HostError } from "../host-error.ts";
import { IpRoute, IpRouteError, type NetworkNamespace } from "../iproute.ts";
import { captureLink, linkNotFound, readSettings } from "./capture.ts";
import { addressLine, pinLine, routeLine, ruleLine, settingLines } from "./commands.ts";
import type { Excused } from "./differences.ts";
import { differences } from "./differences.ts";
import {
  type RestoreOrder,
  restoreOrder,
  type RestorePlace,
  type RestoreStep,
  routeKey,
} from "./restore-order.ts";
import { dumpRoutes } from "./route-dump.ts";
import { dumpRules } from "./rule-dump.ts";
import type { LinkRule, LinkSnapshot } from "./snapshot.ts";
import { writeSysctls } from "./sysctls.ts";

/** A nexthop object or route that the kernel refused though everything before it was taken. */
export class StepRefusedError extends HostError {
  readonly step: RestoreStep;

  constructor(step: RestoreStep, cause: IpRouteError) {
    super(cause.code, cause.message, { cause, fix: cause.fix });
    this.name = "StepRefusedError";
    this.step = step;
  }
}

/**
 * Makes the link in `namespace` what the snapshot says, from nothing: what it has now is taken from it first, so that it may be run
 * again after it broke off anywhere. The link loses its traffic for that long. Rules are added, never removed.
 * Throws the first refusal: {@link StepRefusedError} or another `HostError`.
 */
export async function restoreLink(
  namespace: NetworkNamespace,
  snapshot: LinkSnapshot,
  place: RestorePlace = {},
): Promise<RestoreOrder> {
  const ip = new IpRoute({ namespace });
  const { link } = snapshot;
  const have = await readSettings(ip, link.name);
  if (!have) throw linkNotFound(link.name, namespace);
  const order = restoreOrder(snapshot, place);

  await runAll(ip, [
    `link set dev ${link.name} down`,
    `address flush dev ${link.name}`,
    // The link-local address is one of the snapshot's, and must not wait for its duplicate check.
    ...(have.addressGeneration === undefined ? [] : [`link set dev ${link.name} addrgenmode none`]),
    ...settingLines(link, have),
  ]);
  await setNames(ip, snapshot, have.alternativeNames);
  await writeSysctls(namespace, link.name, snapshot.sysctls);

  const addresses = [
    ...snapshot.addresses.filter(({ family }) => family === 4),
    // The kernel lists the newest first.
    ...snapshot.addresses.filter(({ family }) => family === 6).toReversed(),
  ].map((address) => addressLine(address, link.name));
  await runAll(ip, [...(link.up ? [`link set dev ${link.name} up`] : []), ...addresses]);
  if (link.addressGeneration !== undefined && have.addressGeneration !== undefined) {
    await runAll(ip, [`link set dev ${link.name} addrgenmode ${link.addressGeneration}`]);
  }
  await changeRules(ip, "add", await missingRules(ip, snapshot));
  await restoreRoutes(ip, snapshot, order);
  // Coming up resets some, such as the MTU of IPv6.
  await writeSysctls(namespace, link.name, snapshot.sysctls);
  await runAll(
    ip,
    snapshot.permanentNeighbours.map((entry) => pinLine(entry, link.name)),
  );
  return order;
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
): Promise<RestoreOrder> {
  const onlink = new Map(place.onlink);
  for (let tries = 0; ; tries += 1) {
    try {
      return await restoreLink(namespace, snapshot, { ...place, onlink });
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
export async function missingRules(ip: IpRoute, { rules }: LinkSnapshot): Promise<readonly LinkRule[]> {
  const present = new Set((await dumpRules(ip)).map(ruleKey));
  return rules.filter((rule) => rule.unknown.length === 0 && !present.has(ruleKey(rule)));
}

/** Adds or deletes rules. `ip rule` takes the family from `-6` alone, which a batch can't have. Throws the first refusal. */
export async function changeRules(
  ip: IpRoute,
  verb: "add" | "delete",
  rules: readonly LinkRule[],
): Promise<void> {
  await runAll(
    ip,
    rules.filter(({ family }) => family === 4).map((rule) => ruleLine(verb, rule)),
  );
  for (const rule of rules) if (rule.family === 6) await ip.run(["-6", ...ruleLine(verb, rule).split(" ")]);
}

/** Two rules with the same key do the same. */
export function ruleKey(rule: LinkRule): string {
  return `${rule.family} ${ruleLine("add", rule)}`;
}

/** Addresses bring routes along: those that the snapshot lacks go, those that it has stay, the rest is added in order. */
async function restoreRoutes(ip: IpRoute, snapshot: LinkSnapshot, order: RestoreOrder): Promise<void> {
  const { link, routes } = snapshot;
  const now = (await Promise.all([dumpRoutes(ip, 4), dumpRoutes(ip, 6)]))
    .flat()
    .filter(({ hops }) => hops.some(({ dev }) => dev === link.name));
  const wanted = new Set(routes.map(routeKey));
  const there = new Set(now.map(routeKey).filter((key) => wanted.has(key)));
  const surplus = now.filter((route) => !wanted.has(routeKey(route)));
  await runAll(
    ip,
    surplus.map((route) => routeLine("delete", route)),
  );
  const steps = order.steps.filter(({ key }) => !there.has(key));
  let batch: RestoreStep[] = [];
  const flush = async (): Promise<void> => {
    const [first] = await ip.batch(batch.map(({ line }) => line));
    const step = first && batch[first.index];
    if (step) throw new StepRefusedError(step, first.error);
    batch = [];
  };
  for (const step of steps) {
    if (!step.needsSix) {
      batch.push(step);
      continue;
    }
    await flush();
    await ip.run(["-6", ...step.line.split(" ")]).catch((error: unknown) => {
      throw error instanceof IpRouteError ? new StepRefusedError(step, error) : error;
    });
  }
  await flush();
}

/** A move keeps them; a link that is put up anew has none. */
async function setNames(ip: IpRoute, { link }: LinkSnapshot, have: readonly string[]): Promise<void> {
  const lines = link.alternativeNames
    .filter((name) => !have.includes(name))
    .map((name) => `link property add dev ${link.name} altname ${name}`);
  await runAll(ip, lines);
  // May have spaces and quotes: not for a batch.
  if (link.alias !== "") await ip.run(["link", "set", "dev", link.name, "alias", link.alias]);
}

/** Runs lines that must all succeed. Throws the first refusal: those after it may only follow from it. */
async function runAll(ip: IpRoute, lines: readonly string[]): Promise<void> {
  const [first] = await ip.batch(lines);
  if (first) throw first.error;
}
