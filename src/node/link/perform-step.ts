import { IpRoute } from "../iproute.ts";
import { IpRouteError } from "../iproute-error.ts";
import { type NetworkNamespace, pathOfNamespace } from "../network-namespace.ts";
import { NodeToolError } from "../node-tool-error.ts";
import { type Ended, quoted } from "../shell-script.ts";
import { linkNotFound } from "./capture.ts";
import { differences } from "./differences.ts";
import { pinGateways } from "./gateways.ts";
import { locate } from "./locate.ts";
import type { MoveState } from "./move-state.ts";
import { devicesOf, dumpRouting } from "./namespace-dump.ts";
import { listed, rehearse } from "./rehearsal.ts";
import type { ScratchNamespace } from "./scratch-namespace.ts";
import {
  changeRules,
  replayTasks,
  type Restored,
  restoreLink,
  restoreOrOnlink,
  ruleKey,
  verifyLink,
} from "./restore.ts";
import { type LinkSnapshot, withLinkName } from "./snapshot.ts";

/** What one process knows of its own steps. */
export interface MoveMemory {
  /** Where to rehearse. */
  readonly scratch?: ScratchNamespace | undefined;
  /** What the rehearsal told the kernel. */
  rehearsed?: Restored;
  /** What the rehearsal told the kernel was told again as the link arrived, and the kernel took all of it. */
  hasReplayed?: boolean;
}

/** Whether the step has nothing to do. */
export function isNothing({ step, pin, snapshot }: MoveState, { hasReplayed = false }: MoveMemory): boolean {
  if (step.at === "restoring") return hasReplayed;
  return step.at === "pinning" && (!pin || snapshot.gateways.length === 0);
}

/** Does a step, from its beginning, however much of it an earlier run had done. Returns what it found out. */
export async function performStep(state: MoveState, memory: MoveMemory): Promise<Partial<MoveState>> {
  if (isNothing(state, memory)) return {};
  const { from, to, targetName, snapshot } = state;
  const there = withLinkName(snapshot, targetName);
  const { session } = memory.scratch ?? {};
  const source = new IpRoute({ namespace: from, session });
  const target = new IpRoute({ namespace: to, session });
  switch (state.step.at) {
    case "rehearsing": {
      const order = await rehearse(there, memory.scratch);
      memory.rehearsed = order;
      return { onlink: [...order.onlink], unrestorable: [...order.unrestorable] };
    }
    case "moving": {
      // After a rehearsal of this process it is where it was captured a moment ago; should it be gone, the kernel says so.
      const at = memory.rehearsed ? "source" : await locate(state);
      if (at === "nowhere") throw linkNotFound(snapshot.link.name, from);
      if (at === "source") memory.hasReplayed = await sendAndReplay(target, state, there, memory.rehearsed);
      return {};
    }
    case "restoring":
      await restoreLink(target, there, {
        onlink: new Map(state.onlink.map(({ key, why }) => [key, why])),
      });
      return {};
    case "pinning":
      await pinGateways(target, there);
      return {};
    case "verifying": {
      const found = await verifyLink(target, there, { ...state, pinned: state.pin });
      if (found.length === 0) return {};
      throw new NodeToolError("failed", `after the restore the link is not what it was: ${listed(found)}`);
    }
    case "moving_back": {
      const at = await locate(state);
      if (at === "nowhere") throw linkNotFound(snapshot.link.name, from);
      if (at === "target") await target.run(sendWords(targetName, from, snapshot.link.name));
      await removeAddedRules(target, state, there);
      return {};
    }
    case "restoring_back": {
      const place = { devices: await devicesOf(source), isHome: true };
      const { onlink: exempt, unrestorable, found } = await restoreOrOnlink(source, snapshot, place);
      const differing = differences(snapshot, found, { onlink: exempt, unrestorable, pinned: false });
      return { onlink: [...exempt], unrestorable: [...unrestorable], differences: [...differing] };
    }
    case "restored":
    case "refused":
    case "rolled_back":
      return {};
  }
}

/**
 * Moves the link to the target and repeats there what the rehearsal did, in one process, so that it is away for a short time only. Resolves to whether
 * the kernel took all of the latter. Throws when the link did not move.
 */
async function sendAndReplay(
  ip: IpRoute,
  { from, to, targetName, snapshot, rulesBefore }: MoveState,
  there: LinkSnapshot,
  rehearsed: Restored | undefined,
): Promise<boolean> {
  const replay = rehearsed ? replayTasks(ip, there, rehearsed.batches, new Set(rulesBefore)) : [];
  const words = sendWords(snapshot.link.name, to, targetName);
  const sending = new IpRoute({ namespace: from }).runTask(words);
  let hasMoved = false;
  const read = async (ended: Ended): Promise<void> => {
    await sending.read(ended);
    hasMoved = true;
  };
  const enter = ["nsenter", `--net=${pathOfNamespace(from)}`, "--"].map(quoted).join(" ");
  try {
    await ip.after([{ ...sending, command: `${enter} ${sending.command}`, read }, ...replay], []);
  } catch (error) {
    if (!hasMoved) throw error;
    return false;
  }
  return rehearsed !== undefined;
}

function sendWords(name: string, to: NetworkNamespace, newName: string): readonly string[] {
  const rename = newName === name ? [] : ["name", newName];
  return ["link", "set", "dev", name, "netns", pathOfNamespace(to), ...rename];
}

/** A rule has no link: those that came with this one would stay. */
async function removeAddedRules(
  ip: IpRoute,
  { rulesBefore }: MoveState,
  { rules }: LinkSnapshot,
): Promise<void> {
  const before = new Set(rulesBefore);
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
