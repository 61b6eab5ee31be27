import { spawn } from "node:child_process";
import { once } from "node:events";
import { HostError } from "../host-error.ts";
import { IpRoute, type NetworkNamespace } from "../iproute.ts";
import { linkNotFound, readSettings } from "./capture.ts";
import type { RestoreOrder } from "./restore-order.ts";
import { restoreOrOnlink, verifyLink } from "./restore.ts";
import type { LinkSettings, LinkSnapshot } from "./snapshot.ts";

const READY_WITHIN_MS = 10_000;

/**
 * Restores the snapshot to a stand-in in a network namespace of its own, which is gone afterwards, and compares. What the kernel
 * can't resolve there is tried with `onlink`: returned for the restore that follows. Needs CAP_SYS_ADMIN. Throws the first refusal, or what came out otherwise.
 */
export async function rehearse(snapshot: LinkSnapshot): Promise<RestoreOrder> {
  return inScratchNamespace(async (namespace) => {
    const ip = new IpRoute({ namespace });
    const { name } = snapshot.link;
    const peer = name === "peer" ? "other" : "peer";
    await ip.run(["link", "set", "lo", "up"]);
    await ip.run(["link", "add", name, "type", "veth", "peer", "name", peer]);
    await ip.run(["link", "set", peer, "up"]);
    const made = await readSettings(ip, name);
    if (!made) throw linkNotFound(name, namespace);
    const wanted = { ...snapshot, link: standInFor(snapshot, made) };
    const order = await restoreOrOnlink(namespace, wanted);
    const found = await verifyLink(namespace, wanted, { ...order, pinned: false });
    if (found.length > 0) {
      throw new HostError("failed", `the rehearsal came out otherwise: ${listed(found)}`, {
        fix: "nothing was moved; see lychgate host link plan --rehearse",
      });
    }
    return order;
  });
}

/** A veth stands in for whatever the link is; one without an Ethernet address keeps its own. */
function standInFor({ link }: LinkSnapshot, made: LinkSettings): LinkSettings {
  const isEthernet = /^([\da-f]{2}:){5}[\da-f]{2}$/i.test(link.mac) && link.mac !== "00:00:00:00:00:00";
  return { ...link, kind: "veth", arp: made.arp, mac: isEthernet ? link.mac : made.mac };
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
  // Not installed: told below, when it has ended at once.
  holder.once("error", (error) => (said = error.message));
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
