import { NodeToolError } from "../node-tool-error.ts";
import { IpRoute } from "../iproute.ts";
import { IpRouteError } from "../iproute-error.ts";
import { type NetworkNamespace, pathOfNamespace } from "../network-namespace.ts";
import type { ShellSession } from "../shell-session.ts";
import { linkNotFound, readSettings } from "./capture.ts";
import { differences } from "./differences.ts";
import type { RestorePlace } from "./restorable.ts";
import { type Restored, restoreOrOnlink } from "./restore.ts";
import { inScratchNamespace, type ScratchNamespace } from "./scratch-namespace.ts";
import type { LinkSettings, LinkSnapshot } from "./snapshot.ts";

/**
 * Restores the snapshot to a stand-in in a network namespace of its own, which is gone afterwards, and compares. What the kernel
 * can't resolve there is tried with `onlink`: returned for the restore that follows. Needs CAP_SYS_ADMIN. Throws the first refusal, what came out
 * otherwise, or that the kernel lets no link of this kind go. `scratch`: an empty one that was made before. Default: one for this call.
 */
export async function rehearse(snapshot: LinkSnapshot, scratch?: ScratchNamespace): Promise<Restored> {
  try {
    await tryToMove(snapshot.link);
    const restoring = (namespace: NetworkNamespace, session: ShellSession): Promise<Restored> =>
      restoreStandIn(new IpRoute({ namespace, session }), snapshot);
    if (scratch) return await restoring(await scratch.namespace, scratch.session);
    return await inScratchNamespace(restoring);
  } catch (error) {
    if (!(error instanceof NodeToolError)) throw error;
    throw new NodeToolError(error.code, `in the rehearsal: ${error.message}`, {
      cause: error,
      fix: error.fix,
    });
  }
}

async function restoreStandIn(ip: IpRoute, snapshot: LinkSnapshot): Promise<Restored> {
  const { name, mac, mtu, queueLength } = snapshot.link;
  const peer = name === "peer" ? "other" : "peer";
  const settings = [isEthernet(mac) ? `address ${mac}` : "", `mtu ${mtu}`, `txqueuelen ${queueLength}`].join(
    " ",
  );
  const making = [
    "link set lo up",
    `link add ${name} ${settings} type veth peer name ${peer}`,
    `link set ${peer} up`,
  ];
  const [wanted, place] = await standInFor(snapshot, ip, making);
  const order = await restoreOrOnlink(ip, wanted, place);
  const found = differences(wanted, order.found, { ...order, pinned: false });
  if (found.length > 0) {
    throw new NodeToolError("failed", `it came out otherwise: ${listed(found)}`, {
      fix: "see lychgate node link plan --rehearse",
    });
  }
  return order;
}

/**
 * A bridge, a bond, a VRF and some others never leave their namespace, and iproute2 before 6.14 does not show it: another one of the kind is made and
 * moved. A kind that can't be made without more arguments is let pass: the kernel refuses the move itself then, and nothing is lost.
 */
async function tryToMove({ name, kind, immutable }: LinkSettings): Promise<void> {
  if (name === "lo" || immutable) throw immovable(name, "its network namespace is immutable");
  if (kind === "" || kind === "veth") return;
  await inScratchNamespace((one) =>
    inScratchNamespace(async (other) => {
      const ip = new IpRoute({ namespace: one });
      const isMade = await ip.run(["link", "add", "probe", "type", kind]).then(
        () => true,
        () => false,
      );
      if (!isMade) return;
      await ip
        .run(["link", "set", "dev", "probe", "netns", pathOfNamespace(other)])
        .catch((error: unknown) => {
          const why = error instanceof IpRouteError ? error.said : String(error);
          throw immovable(name, `the kernel says of a ${kind}: ${why}`);
        });
    }),
  );
}

function immovable(name: string, why: string): NodeToolError {
  return new NodeToolError("unsupported", `${name} can't be moved: ${why}`, {
    fix: "move a link that is a port of it, or a veth, instead",
  });
}

/** A veth stands in for whatever the link is; one without an Ethernet address keeps its own, and must be there to be asked for it. */
async function standInFor(
  snapshot: LinkSnapshot,
  ip: IpRoute,
  making: readonly string[],
): Promise<[LinkSnapshot, RestorePlace]> {
  const link = { ...snapshot.link, kind: "veth", arp: true };
  if (isEthernet(link.mac)) {
    return [{ ...snapshot, link }, { made: { by: making, settings: newVeth(link) } }];
  }
  const [refused] = await ip.batch(making);
  if (refused) throw refused.error;
  const made = await readSettings(ip, link.name);
  if (!made) throw linkNotFound(link.name, ip.namespace);
  return [{ ...snapshot, link: { ...link, mac: made.mac } }, {}];
}

/** What the kernel sets a veth to that was made like this. */
function newVeth(link: LinkSettings): LinkSettings {
  return {
    ...link,
    alias: "",
    alternativeNames: [],
    group: "0",
    up: false,
    multicast: true,
    allMulticast: false,
    promiscuous: false,
    master: undefined,
  };
}

function isEthernet(mac: string): boolean {
  return /^([\da-f]{2}:){5}[\da-f]{2}$/i.test(mac) && mac !== "00:00:00:00:00:00";
}

/** The first few of a list, and how many more there are. */
export function listed(lines: readonly string[]): string {
  const more = lines.length > 3 ? `; and ${lines.length - 3} more` : "";
  return `${lines.slice(0, 3).join("; ")}${more}`;
}
