import type { Clock, Milliseconds } from "../../system/clock.ts";
import { KERNEL_PROTOCOL } from "../fib/kernel-route.ts";
import { IpRoute } from "../iproute.ts";
import type { NetworkNamespace } from "../network-namespace.ts";
import { NodeToolError } from "../node-tool-error.ts";
import type { ShellSession } from "../shell-session.ts";
import { captureWithLosses, describeNamespace } from "./capture.ts";
import { routeLine } from "./commands.ts";
import { captureGateways } from "./gateways.ts";
import { inodeOf, MOVE_STATE_MARKS, type MoveState } from "./move-state.ts";
import { dumpNamespace, type NamespaceDump } from "./namespace-dump.ts";
import { listed } from "./rehearsal.ts";
import { describedException } from "./restorable.ts";
import { restoreOrder } from "./restore-order.ts";
import { ruleKey } from "./restore.ts";
import { type LinkRoute, type LinkSnapshot, withLinkName } from "./snapshot.ts";

/** A move that is asked for. */
export interface MoveOptions {
  readonly from: NetworkNamespace;
  readonly to: NetworkNamespace;
  readonly link: string;
  /** Its name in the target. Default: the same. */
  readonly targetName?: string;
  readonly statePath: string;
  /** Pin the gateways as permanent neighbours afterwards. */
  readonly pin: boolean;
  /** How long gateways may take to answer. */
  readonly neighbourTimeoutMs: Milliseconds;
  /** Move even though something can't be put back in the target. */
  readonly acceptLoss: boolean;
}

/** Of {@link moveLink}: what it is given beside what is asked for. */
export interface MoveSurroundings {
  readonly clock: Clock;
  /** Told of each step as it begins, and of what an earlier run left. */
  readonly progress: (line: string) => void;
}

/** Looks at both sides and captures; nothing is changed but neighbour entries of gateways. `session` starts the programs. */
export async function beginMove(
  options: MoveOptions,
  { clock, progress }: MoveSurroundings,
  session: ShellSession,
): Promise<MoveState> {
  const { from, to, link, targetName = link } = options;
  const [fromInode, toInode] = await Promise.all([inodeOf(from), inodeOf(to)]);
  if (fromInode === toInode) {
    throw new NodeToolError("invalid", "the link is to be moved to the network namespace that it is in", {
      fix: "give another one with --to",
    });
  }
  const startedAt = new Date(clock.nowMs()).toISOString();
  const source = new IpRoute({ namespace: from, session });
  const captured = await captureWithLosses(source, link, startedAt);
  const there = await dumpNamespace(new IpRoute({ namespace: to, session }));
  checkTarget(to, there, withLinkName(captured, targetName));
  const { unrestorable } = restoreOrder(captured);
  if (unrestorable.length > 0 && !options.acceptLoss) {
    throw new NodeToolError(
      "unsupported",
      `${describeNamespace(to)} can't have all that ${link} has: ${listed(unrestorable.map(describedException))}`,
      { fix: "see lychgate node link plan; --accept-loss moves it without" },
    );
  }
  progress(`captured ${link}: ${captured.addresses.length} addresses, ${captured.routes.length} routes`);
  for (const note of captured.notes) progress(note);
  const snapshot = await captureGateways(source, captured, { timeoutMs: options.neighbourTimeoutMs, clock });
  for (const { address, why } of snapshot.skippedGateways) progress(`gateway ${address} is skipped: ${why}`);
  return {
    ...MOVE_STATE_MARKS,
    startedAt,
    from,
    fromInode,
    to,
    toInode,
    targetName,
    pin: options.pin,
    snapshot,
    onlink: [],
    unrestorable: [...unrestorable],
    rulesBefore: there.rules.map(ruleKey),
    differences: [],
    step: { at: "rehearsing" },
  };
}

/** What stands in the way in the target. Throws. */
function checkTarget(to: NetworkNamespace, there: NamespaceDump, snapshot: LinkSnapshot): void {
  const where = describeNamespace(to);
  const { name, alternativeNames } = snapshot.link;
  // A name and an alternative name are one space: the kernel refuses both.
  const names = new Set(there.links.flatMap(({ ifname, altnames }) => [ifname, ...altnames]));
  const owner = (one: string): string => {
    const other = there.links.find(({ altnames }) => altnames.includes(one));
    return other ? ` (an alternative name of ${other.ifname})` : "";
  };
  if (names.has(name)) {
    throw new NodeToolError("failed", `${where} has a link ${name} already${owner(name)}`, {
      fix: "give the link another name there with --name",
    });
  }
  const alternative = alternativeNames.find((one) => names.has(one));
  if (alternative !== undefined) {
    throw new NodeToolError(
      "failed",
      `${where} has a link ${alternative} already${owner(alternative)}, which is an alternative name of this one`,
      { fix: `remove it here or there: ip link property del dev LINK altname ${alternative}` },
    );
  }
  const ids = new Set(snapshot.nexthops.map(({ id }) => id));
  const taken = there.nexthops.find(({ id }) => ids.has(id));
  if (taken) {
    throw new NodeToolError("failed", `${where} has a nexthop object ${taken.id} already`, {
      fix: `remove it there: ip nexthop delete id ${taken.id}`,
    });
  }
  const keys = new Set(snapshot.routes.filter(isSingle).map(keyOf));
  const clash = there.routes.filter(isSingle).find((route) => keys.has(keyOf(route)));
  if (clash) {
    // IPv4 would take the one that was there first, IPv6 both in turn.
    throw new NodeToolError(
      "failed",
      `${where} has a route to the same destination already: ${shown(clash)}`,
      {
        fix: `remove it there: ip ${routeLine("delete", clash)}`,
      },
    );
  }
}

/** What the kernel makes for IPv6, such as fe80::/64, each link has of its own. */
function isSingle({ family, protocol }: LinkRoute): boolean {
  return family === 4 || protocol !== KERNEL_PROTOCOL;
}

/** What the kernel tells routes apart by. */
function keyOf({ destination, table, metric, tos, from }: LinkRoute): string {
  return [destination, table, metric ?? 0, tos ?? "", from ?? ""].join(" ");
}

function shown(route: LinkRoute): string {
  return routeLine("append", route).replace(/^route append /, "");
}
