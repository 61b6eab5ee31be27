import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../system/clock.ts";
import { describeNodeToolError, NodeToolError } from "../node-tool-error.ts";
import { IpRoute } from "../iproute.ts";
import type { NetworkNamespace } from "../network-namespace.ts";
import { captureLink, captureWithLosses, readSettings } from "./capture.ts";
import { captureGateways, gatewaysOf } from "./gateways.ts";
import { defaultStatePath, inodeOf } from "./move-state.ts";
import { describedException } from "./restorable.ts";
import { devicesOf } from "./namespace-dump.ts";
import { moveLink, type MoveResult, rollBack } from "./mover.ts";
import type { MoveOptions } from "./begin-move.ts";
import { pinGateways } from "./gateways.ts";
import { listed, rehearse } from "./rehearsal.ts";
import { type RestoreOrder, restoreOrder } from "./restore-order.ts";
import { restoreLink, restoreOrOnlink, verifyLink } from "./restore.ts";
import { formatSnapshot, type LinkSnapshot, parseSnapshot, withLinkName } from "./snapshot.ts";

export { formatSnapshot } from "./snapshot.ts";
export type { LinkSnapshot } from "./snapshot.ts";
export type { MoveResult } from "./mover.ts";

/** A link, and where it is. */
export interface LinkPlace {
  readonly namespace: NetworkNamespace;
  readonly link: string;
}

/** Told of each step as it begins. */
export type Progress = (line: string) => void;

/** All that the link has, with the MACs of its gateways: those that are not known are asked for within `neighbourTimeoutMs`. */
export async function snapshotLink(
  { namespace, link }: LinkPlace,
  neighbourTimeoutMs: number,
  clock: Clock = systemClock,
): Promise<LinkSnapshot> {
  const ip = new IpRoute({ namespace });
  const captured = await captureWithLosses(ip, link, new Date(clock.nowMs()).toISOString());
  return captureGateways(ip, captured, { timeoutMs: neighbourTimeoutMs, clock });
}

/** Reads a snapshot's file. Throws `NodeToolError`. */
export async function loadSnapshot(path: string): Promise<LinkSnapshot> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new NodeToolError("not_found", `reading ${path}: ${String(cause)}`, {
      cause,
      fix: "write it with lychgate node link snapshot",
    });
  }
  return parseSnapshot(text, path);
}

/** What a restore would do. */
export interface LinkPlan extends RestoreOrder {
  readonly snapshot: LinkSnapshot;
  /** Gateways of its routes. */
  readonly gateways: readonly string[];
  /** It was done in a scratch namespace, and came out the same. */
  readonly rehearsed: boolean;
}

/** In which order all would be put back, and what would not be; `rehearsing` tries it in a scratch namespace. Changes nothing. */
export async function planLink(snapshot: LinkSnapshot, name: string, rehearsing: boolean): Promise<LinkPlan> {
  const there = withLinkName(snapshot, name);
  const order = rehearsing ? await rehearse(there) : restoreOrder(there);
  return { ...order, snapshot: there, gateways: gatewaysOf(there), rehearsed: rehearsing };
}

/** {@link moveLink} with the machine's clock, and a state file for this link of this namespace unless one is given. */
export async function moveLinkTo(
  options: Omit<MoveOptions, "statePath"> & { readonly statePath?: string | undefined },
  progress: Progress,
): Promise<MoveResult> {
  const statePath = options.statePath ?? (await statePathOf({ namespace: options.from, link: options.link }));
  return moveLink({ ...options, statePath }, { clock: systemClock, progress });
}

/** {@link rollBack} of the move of a link from a namespace, or of a state file. */
export async function rollBackMove(
  place: LinkPlace,
  statePath: string | undefined,
  progress: Progress,
): Promise<MoveResult> {
  return rollBack(statePath ?? (await statePathOf(place)), { clock: systemClock, progress });
}

async function statePathOf({ namespace, link }: LinkPlace): Promise<string> {
  return defaultStatePath(link, await inodeOf(namespace));
}

/** How {@link restoreFrom} works. */
export interface RestoreOptions {
  /** Pin the snapshot's gateways as permanent neighbours. */
  readonly pin: boolean;
  /** Restore even though something can't be put back. */
  readonly acceptLoss: boolean;
}

/**
 * Makes a link what a snapshot says, where it is now: rehearsed first, verified by a second snapshot, and given back what it had
 * on any failure. Throws the first cause.
 */
export async function restoreFrom(
  snapshot: LinkSnapshot,
  { namespace, link }: LinkPlace,
  { pin, acceptLoss }: RestoreOptions,
  progress: Progress,
): Promise<RestoreOrder> {
  const ip = new IpRoute({ namespace });
  const settings = await readSettings(ip, link);
  const before = await captureLink(ip, link, snapshot.takenAt);
  // Another link than the one that was captured stays what it is made of.
  const { kind, mac } = settings ?? before.link;
  const renamed = withLinkName(snapshot, link);
  const wanted = { ...renamed, link: { ...renamed.link, kind, mac } };
  const devices = await devicesOf(ip);
  const planned = restoreOrder(wanted, { devices });
  if (planned.unrestorable.length > 0 && !acceptLoss) {
    throw new NodeToolError(
      "unsupported",
      `not all can be put back: ${listed(planned.unrestorable.map(describedException))}`,
      { fix: "see lychgate node link plan; --accept-loss restores the rest" },
    );
  }
  progress("rehearsing in a scratch namespace");
  const { onlink } = await rehearse(wanted);
  progress("restoring addresses, rules and routes");
  try {
    const order = await restoreLink(ip, wanted, {
      devices,
      onlink: new Map(onlink.map(({ key, why }) => [key, why])),
    });
    if (pin) await pinGateways(ip, wanted);
    progress("verifying by a second snapshot");
    const found = await verifyLink(ip, wanted, { ...order, pinned: pin });
    if (found.length === 0) return order;
    throw new NodeToolError("failed", `after the restore the link is not what it was: ${listed(found)}`);
  } catch (error) {
    progress(`failed: ${describeNodeToolError(error)}`);
    progress("putting back what was there");
    const place = { devices, isHome: true };
    await restoreOrOnlink(ip, before, place).catch((second: unknown) => rescue(before, error, second));
    throw error;
  }
}

/** Nothing is lost: what the link had is in a file. Always throws, the first cause first. */
async function rescue(before: LinkSnapshot, first: unknown, second: unknown): Promise<never> {
  const path = join(await mkdtemp(join(tmpdir(), "lychgate-link-")), `${before.link.name}.json`);
  await writeFile(path, formatSnapshot(before), { mode: 0o600 });
  throw new NodeToolError(
    "failed",
    `${describeNodeToolError(first)}; and then putting back what was there failed: ${describeNodeToolError(second)}`,
    { cause: first, fix: `what was there is in ${path}: lychgate node link restore takes it` },
  );
}
