import { spawn } from "node:child_process";
import { once } from "node:events";
import { HostError } from "../host-error.ts";
import { IpRoute, type NetworkNamespace } from "../iproute.ts";
import { linkNotFound, readSettings } from "./capture.ts";
import { type RestoreOrder, type RestorePlace } from "./restore-order.ts";
import { restoreLink, StepRefusedError, verifyLink } from "./restore.ts";
import type { LinkSettings, LinkSnapshot } from "./snapshot.ts";

const READY_WITHIN_MS = 10_000;
/** Each finds one more route that needs `onlink`. */
const MAX_TRIES = 64;

/** What a rehearsal found out. */
export interface Rehearsed {
  readonly order: RestoreOrder;
  /** To be given to the restore that follows: what needs `onlink`, and why. */
  readonly onlink: ReadonlyMap<string, string>;
}

/**
 * Restores the snapshot to a stand-in in a network namespace of its own, which is gone afterwards, and compares. What the kernel
 * can't resolve there is tried with `onlink`. Needs CAP_SYS_ADMIN. Throws the first refusal, or what came out otherwise.
 */
export async function rehearse(snapshot: LinkSnapshot): Promise<Rehearsed> {
  return inScratchNamespace(async (namespace) => {
    const ip = new IpRoute({ namespace });
    const { name } = snapshot.link;
    const peer = name === "peer" ? "other" : "peer";
    await ip.run(["link", "set", "lo", "up"]);
    await ip.run(["link", "add", name, "type", "veth", "peer", "name", peer]);
    await ip.run(["link", "set", peer, "up"]);
    const onlink = new Map<string, string>();
    const made = await readSettings(ip, name);
    if (!made) throw linkNotFound(name, namespace);
    const wanted = { ...snapshot, link: standInFor(snapshot, made) };
    const order = await tryUntilTaken(namespace, wanted, onlink);
    const found = await verifyLink(namespace, wanted, { ...order, pinned: false });
    if (found.length > 0) {
      throw new HostError("failed", `the rehearsal came out otherwise: ${listed(found)}`, {
        fix: "nothing was moved; see lychgate host link plan --rehearse",
      });
    }
    return { order, onlink };
  });
}

/** A veth stands in for whatever the link is; one without an Ethernet address keeps its own. */
function standInFor({ link }: LinkSnapshot, made: LinkSettings): LinkSettings {
  const isEthernet = /^([\da-f]{2}:){5}[\da-f]{2}$/i.test(link.mac) && link.mac !== "00:00:00:00:00:00";
  return { ...link, kind: "veth", arp: made.arp, mac: isEthernet ? link.mac : made.mac };
}

async function tryUntilTaken(
  namespace: NetworkNamespace,
  snapshot: LinkSnapshot,
  onlink: Map<string, string>,
): Promise<RestoreOrder> {
  for (let tries = 0; ; tries += 1) {
    const place: RestorePlace = { onlink };
    try {
      return await restoreLink(namespace, snapshot, place);
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

/** The first few of a list, and how many more there are. */
export function listed(lines: readonly string[]): string {
  const more = lines.length > 3 ? `; and ${lines.length - 3} more` : "";
  return `${lines.slice(0, 3).join("; ")}${more}`;
}

/**
 * Runs `doing` with a network namespace that has no name and lives as long as a process that reads from this one: should
 * this one be killed, nothing is left over.
 */
export async function inScratchNamespace<T>(doing: (namespace: NetworkNamespace) => Promise<T>): Promise<T> {
  const holder = spawn("unshare", ["--net", "--", "sh", "-c", "echo ready; exec cat >/dev/null"], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const ended = new Promise<void>((resolve) => {
    holder.once("close", () => resolve());
  });
  let said = "";
  holder.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  holder.stdin.on("error", () => {});
  try {
    const signal = AbortSignal.timeout(READY_WITHIN_MS);
    const isReady = await Promise.race([
      once(holder.stdout, "data", { signal }).then(() => true),
      ended.then(() => false),
    ]);
    if (!isReady || holder.pid === undefined) throw new Error(said.trim() || "it ended at once");
  } catch (cause) {
    holder.kill();
    throw new HostError("not_permitted", `making a network namespace to rehearse in: ${String(cause)}`, {
      cause,
      fix: "run it with CAP_SYS_ADMIN, and install util-linux for unshare",
    });
  }
  try {
    return await doing({ kind: "path", path: `/proc/${holder.pid}/ns/net` });
  } finally {
    holder.stdin.end();
    await ended;
  }
}
