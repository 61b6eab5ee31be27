import type { Clock, Milliseconds } from "../../system/clock.ts";
import { describeNodeToolError, NodeToolError } from "../node-tool-error.ts";
import { IpRoute, IpRouteError, type NetworkNamespace } from "../iproute.ts";
import { captureLink, describeNamespace, linkNotFound, readSettings, withLosses } from "./capture.ts";
import { pinLine, routeLine } from "./commands.ts";
import { captureGateways } from "./gateways.ts";
import {
  inodeOf,
  isThere,
  lockMoveState,
  MOVE_STATE_MARKS,
  type MoveState,
  readMoveState,
  removeMoveState,
  removeStaleStates,
  writeMoveState,
} from "./move-state.ts";
import { dumpNamespace, dumpRouting, type NamespaceDump } from "./namespace-dump.ts";
import { isOver, type MoveStep, nextStep } from "./move-step.ts";
import { readQdiscs } from "./qdiscs.ts";
import { listed, rehearse } from "./rehearsal.ts";
import { type Exception, restoreOrder } from "./restore-order.ts";
import {
  changeRules,
  replay,
  type Restored,
  restoreLink,
  restoreOrOnlink,
  ruleKey,
  verifyLink,
} from "./restore.ts";
import { type LinkRoute, type LinkSettings, type LinkSnapshot, withLinkName } from "./snapshot.ts";
import { pathOfNamespace } from "./run-in.ts";

/** The kernel's own number as a protocol of routes. */
const KERNEL = 2;

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

/** How a move ended: `restored` (in the target), `refused` (nothing moved) or `rolled_back`. */
export type MoveResult = Pick<
  MoveState,
  "step" | "snapshot" | "targetName" | "onlink" | "unrestorable" | "differences"
>;

/**
 * Moves a link to another network namespace with all that it has, or leaves it as it was. Goes on with a move that broke off: its
 * state file says where. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN. Resolves to how it ended; throws `NodeToolError` when it
 * could not begin, or when the way back failed too (the state file stays: run it again).
 */
export async function moveLink(options: MoveOptions, surroundings: MoveSurroundings): Promise<MoveResult> {
  const { statePath } = options;
  const unlock = await lockMoveState(statePath);
  try {
    const left = await readMoveState(statePath);
    if (left) await checkFrom(left);
    const at = left && (await locate(left));
    if (left && at !== "nowhere") {
      await checkSame(left, options);
      const isUnderWay = !isOver(left.step) && left.step.at !== "rehearsing";
      if (isUnderWay) {
        surroundings.progress(`going on with the move of ${left.startedAt}, at ${left.step.at}`);
        return await run(left, statePath, surroundings);
      }
      if (left.step.at === "restored" && at === "target") {
        surroundings.progress(`it was moved at ${left.startedAt} already`);
        return left;
      }
    }
    if (left && at === "nowhere" && !isOver(left.step)) {
      surroundings.progress(`the link of the move of ${left.startedAt} is gone: this is a new one`);
    }
    const ended = await run(await begin(options, surroundings), statePath, surroundings);
    await removeStaleStates(statePath);
    return ended;
  } finally {
    await unlock();
  }
}

/**
 * Takes a move back, whether it has ended or broke off. Throws `NodeToolError`, `not_found` without a state file, and when the link is gone: then the
 * file goes too, since nothing is left to take back.
 */
export async function rollBack(statePath: string, surroundings: MoveSurroundings): Promise<MoveResult> {
  const unlock = await lockMoveState(statePath);
  try {
    const state = await readMoveState(statePath);
    if (!state) {
      throw new NodeToolError("not_found", `there is no state of a move at ${statePath}`, {
        fix: "give the --state that move was given; a snapshot alone is put back with lychgate node link restore",
      });
    }
    await checkFrom(state);
    const step = nextStep(state.step, { type: "rollback_asked" });
    if (!isOver(step) && (await locate(state)) === "nowhere") await checkNotGone(state, statePath);
    return await run({ ...state, step }, statePath, surroundings);
  } finally {
    await unlock();
  }
}

/** A link that is nowhere went with its namespace, unless both are there: then someone can bring it back. Throws. */
async function checkNotGone(state: MoveState, statePath: string): Promise<void> {
  const { from, fromInode, to, toInode, snapshot } = state;
  const [isFromThere, isToThere] = await Promise.all([isThere(from, fromInode), isThere(to, toInode)]);
  if (isFromThere && isToThere) return;
  await removeMoveState(statePath);
  const gone = [...(isFromThere ? [] : [from]), ...(isToThere ? [] : [to])].map(describeNamespace);
  throw new NodeToolError(
    "not_found",
    `there is nothing to take back: ${snapshot.link.name} went with ${gone.join(" and ")}`,
    { fix: `${statePath} was removed, so that the next move begins anew` },
  );
}

/** Looks at both sides and captures; nothing is changed but neighbour entries of gateways. */
async function begin(options: MoveOptions, { clock, progress }: MoveSurroundings): Promise<MoveState> {
  const { from, to, link, targetName = link } = options;
  const [fromInode, toInode] = await Promise.all([inodeOf(from), inodeOf(to)]);
  if (fromInode === toInode) {
    throw new NodeToolError("invalid", "the link is to be moved to the network namespace that it is in", {
      fix: "give another one with --to",
    });
  }
  const startedAt = new Date(clock.nowMs()).toISOString();
  const [bare, there, qdiscs] = await Promise.all([
    captureLink(from, link, startedAt),
    dumpNamespace(new IpRoute({ namespace: to })),
    readQdiscs(from, link),
  ]);
  const captured = withLosses(bare, qdiscs);
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
  const snapshot = await captureGateways(from, captured, { timeoutMs: options.neighbourTimeoutMs, clock });
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

/** `route … (why)`. */
export function describedException({ what, why }: Exception): string {
  return `${what} (${why})`;
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
  return family === 4 || protocol !== KERNEL;
}

/** What the kernel tells routes apart by. */
function keyOf({ destination, table, metric, tos, from }: LinkRoute): string {
  return [destination, table, metric ?? 0, tos ?? "", from ?? ""].join(" ");
}

function shown(route: LinkRoute): string {
  return routeLine("append", route).replace(/^route append /, "");
}

/** What one process knows of its own steps. */
interface Memory {
  /** What the rehearsal told the kernel. */
  rehearsed?: Restored;
  /** This process has just moved the link: it is as it arrived. */
  hasJustArrived?: boolean;
}

async function run(from: MoveState, statePath: string, surroundings: MoveSurroundings): Promise<MoveResult> {
  const memory: Memory = {};
  let state = from;
  await writeMoveState(statePath, state);
  while (!isOver(state.step)) {
    surroundings.progress(PROGRESS[state.step.at](state));
    state = await afterStep(state, memory, surroundings);
    await writeMoveState(statePath, state);
  }
  // Only a link that is in the target can be taken back.
  if (state.step.at !== "restored") await removeMoveState(statePath);
  return state;
}

async function afterStep(
  state: MoveState,
  memory: Memory,
  { progress }: MoveSurroundings,
): Promise<MoveState> {
  try {
    return { ...state, ...(await perform(state, memory)), step: nextStep(state.step, { type: "done" }) };
  } catch (error) {
    const cause = describeNodeToolError(error);
    const isHome = state.step.at === "moving" && (await locate(state)) === "source";
    const step = nextStep(state.step, { type: "failed", cause, isHome });
    if (step === state.step) throw stuck(state, error);
    progress(`failed: ${cause}`);
    return { ...state, step };
  }
}

/** The way back failed: the first cause is told first. */
function stuck({ step, snapshot }: MoveState, error: unknown): NodeToolError {
  const first = "cause" in step ? step.cause : "";
  return new NodeToolError(
    "failed",
    `${first}; and then the way back of ${snapshot.link.name} failed: ${describeNodeToolError(error)}`,
    {
      cause: error,
      fix: "mend that and run lychgate node link rollback, as often as needed; should the link be gone for good, run the next move",
    },
  );
}

const PROGRESS: Record<MoveStep["at"], (state: MoveState) => string> = {
  rehearsing: () => "rehearsing in a scratch namespace",
  moving: ({ to }) => `moving to ${describeNamespace(to)}`,
  restoring: () => "restoring addresses, rules and routes",
  pinning: ({ snapshot }) => `pinning ${snapshot.gateways.length} gateways`,
  verifying: () => "verifying by a second snapshot",
  restored: () => "restored",
  refused: () => "refused",
  moving_back: ({ from }) => `moving back to ${describeNamespace(from)}`,
  restoring_back: () => "restoring what was there",
  rolled_back: () => "rolled back",
};

/** Does a step, from its beginning, however much of it an earlier run had done. Returns what it found out. */
async function perform(state: MoveState, memory: Memory): Promise<Partial<MoveState>> {
  const { from, to, targetName, snapshot } = state;
  const there = withLinkName(snapshot, targetName);
  switch (state.step.at) {
    case "rehearsing": {
      const order = await rehearse(there);
      memory.rehearsed = order;
      return { onlink: [...order.onlink], unrestorable: [...order.unrestorable] };
    }
    case "moving": {
      // After a rehearsal of this process it is where it was captured a moment ago; should it be gone, the kernel says so.
      const at = memory.rehearsed ? "source" : await locate(state);
      if (at === "nowhere") throw linkNotFound(snapshot.link.name, from);
      if (at === "source") {
        await send(from, snapshot.link.name, to, targetName);
        memory.hasJustArrived = true;
      }
      return {};
    }
    case "restoring":
      if (memory.rehearsed && memory.hasJustArrived) {
        memory.hasJustArrived = false;
        if (await replay(to, there, memory.rehearsed.batches, new Set(state.rulesBefore))) return {};
      }
      await restoreLink(to, there, {
        onlink: new Map(state.onlink.map(({ key, why }) => [key, why])),
      });
      return {};
    case "pinning":
      if (state.pin) await pinGateways(to, there);
      return {};
    case "verifying": {
      const found = await verifyLink(to, there, { ...state, pinned: state.pin });
      if (found.length === 0) return {};
      throw new NodeToolError("failed", `after the restore the link is not what it was: ${listed(found)}`);
    }
    case "moving_back": {
      const at = await locate(state);
      if (at === "nowhere") throw linkNotFound(snapshot.link.name, from);
      if (at === "target") await send(to, targetName, from, snapshot.link.name);
      await removeAddedRules(state, there);
      return {};
    }
    case "restoring_back": {
      const place = { devices: await devicesOf(from), isHome: true };
      const { onlink: exempt, unrestorable } = await restoreOrOnlink(from, snapshot, place);
      const found = await verifyLink(from, snapshot, { onlink: exempt, unrestorable, pinned: false });
      return { onlink: [...exempt], unrestorable: [...unrestorable], differences: [...found] };
    }
    case "restored":
    case "refused":
    case "rolled_back":
      return {};
  }
}

/** Makes the captured gateways permanent neighbours, as the snapshot says. Throws the first refusal. */
export async function pinGateways(
  namespace: NetworkNamespace,
  { gateways, link }: LinkSnapshot,
): Promise<void> {
  const ip = new IpRoute({ namespace });
  const [first] = await ip.batch(gateways.map((gateway) => pinLine(gateway, link.name)));
  if (first) throw first.error;
}

/** Names of the links of a namespace. */
export async function devicesOf(namespace: NetworkNamespace): Promise<ReadonlySet<string>> {
  const links = await new IpRoute({ namespace }).json(["link", "show"]);
  return new Set(links.map((entry) => String((entry as { readonly ifname?: unknown }).ifname)));
}

async function send(
  from: NetworkNamespace,
  name: string,
  to: NetworkNamespace,
  newName: string,
): Promise<void> {
  const ip = new IpRoute({ namespace: from });
  const rename = newName === name ? [] : ["name", newName];
  await ip.run(["link", "set", "dev", name, "netns", pathOfNamespace(to), ...rename]);
}

/** A rule has no link: those that came with this one would stay. */
async function removeAddedRules({ to, rulesBefore }: MoveState, { rules }: LinkSnapshot): Promise<void> {
  const before = new Set(rulesBefore);
  const ip = new IpRoute({ namespace: to });
  let present: ReadonlySet<string>;
  try {
    present = new Set((await dumpRouting(ip)).rules.map(ruleKey));
  } catch (error) {
    // With the namespace its rules went.
    if (error instanceof IpRouteError && error.reason === "namespace") return;
    throw error;
  }
  const added = rules.filter((rule) => present.has(ruleKey(rule)) && !before.has(ruleKey(rule)));
  await changeRules(ip, "delete", added);
}

/**
 * Where the link is: by its name, its kind, its MAC and the other end of its pair. Its index may change on the way. A namespace that is gone, or whose
 * path leads to another one by now, has it no more.
 */
async function locate({
  from,
  fromInode,
  to,
  toInode,
  targetName,
  snapshot: { link },
}: MoveState): Promise<"source" | "target" | "nowhere"> {
  const isIn = async (
    namespace: NetworkNamespace,
    inode: number | undefined,
    name: string,
  ): Promise<boolean> => {
    if (!(await isThere(namespace, inode))) return false;
    const found = await readSettings(new IpRoute({ namespace }), name);
    return found !== undefined && isSameLink(found, link);
  };
  if (await isIn(from, fromInode, link.name)) return "source";
  return (await isIn(to, toInode, targetName)) ? "target" : "nowhere";
}

/** Some CNIs give each link of an IP the same MAC: the peer's index tells those apart, where both namespaces show it. */
function isSameLink(one: LinkSettings, other: LinkSettings): boolean {
  if (one.kind !== other.kind || one.mac !== other.mac) return false;
  return one.peerIndex === undefined || other.peerIndex === undefined || one.peerIndex === other.peerIndex;
}

async function checkSame(
  left: MoveState,
  { from, to, link, statePath, targetName = link }: MoveOptions,
): Promise<void> {
  if (isOver(left.step)) return;
  const isSame =
    left.snapshot.link.name === link &&
    left.targetName === targetName &&
    left.fromInode === (await inodeOf(from)) &&
    JSON.stringify(left.to) === JSON.stringify(to);
  if (isSame) return;
  throw new NodeToolError(
    "failed",
    `${statePath} is of another move, of ${left.snapshot.link.name}, that broke off at ${left.step.at}`,
    {
      fix: `end that one first: lychgate node link rollback --state ${statePath}, or the same move again`,
    },
  );
}

/** "This namespace" must be the one that it was. */
async function checkFrom({ from, fromInode }: MoveState): Promise<void> {
  if (from.kind !== "own" || (await inodeOf(from)) === fromInode) return;
  throw new NodeToolError("failed", "the move began in another network namespace than this one", {
    fix: "run it there",
  });
}
