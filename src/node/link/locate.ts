import { IpRoute } from "../iproute.ts";
import type { NetworkNamespace } from "../network-namespace.ts";
import { readSettings } from "./capture.ts";
import { isThere, type MoveState } from "./move-state.ts";
import type { LinkSettings } from "./snapshot.ts";

/**
 * Where the link is: by its name, its kind, its MAC and the other end of its pair. Its index may change on the way. A namespace that is gone, or whose
 * path leads to another one by now, has it no more.
 */
export async function locate({
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
