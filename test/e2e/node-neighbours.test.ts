import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/system/clock.ts";
import { moveLink } from "../../src/node/link/mover.ts";
import { resolveGateways } from "../../src/node/neighbours/gateway-neighbours.ts";
import {
  GATEWAY,
  GATEWAY6,
  isAnswered,
  look,
  makeCiliumPod,
  moveOf,
  type Pod,
  startEcho,
  surroundings,
} from "../node/link/support/pod.ts";
import { NO_NAMESPACES } from "../node/support/namespaces.ts";

const title = `neighbours of gateways${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`;

/** From now on nobody answers ARP on the node's end, as when the answerer is a program that sees only the old path. */
function silence({ node }: Pod): void {
  node.exec("sh", "-c", "echo 8 > /proc/sys/net/ipv4/conf/lxc0/arp_ignore");
}

function macOf({ node }: Pod): string {
  return /link\/ether (\S+)/.exec(node.sh("link show lxc0"))?.[1] ?? "";
}

const resolve = ({ pod }: Pod, gateways: readonly string[], timeoutMs = 3500) =>
  resolveGateways(pod.ip, "eth0", gateways, { timeoutMs, clock: systemClock });

/** All settings of the namespace's kernel that a tool could have turned. */
const proxies = ({ interior }: Pod): string =>
  interior.exec(
    "sh",
    "-c",
    "cd /proc/sys/net; cat ipv4/conf/*/proxy_arp ipv4/conf/*/arp_ignore ipv6/conf/*/proxy_ndp",
  );

describe.skipIf(NO_NAMESPACES)(title, () => {
  test("the naive way: moved and restored, but nothing answers ARP for the gateway: no packet arrives", async () => {
    const made = makeCiliumPod();
    await startEcho(made);
    const watched = surroundings({ moving: () => silence(made) });
    expect((await moveLink(moveOf(made, { pin: false }), watched)).step).toEqual({ at: "restored" });
    expect(isAnswered(made.interior, GATEWAY)).toBe(false);
    expect(made.interior.sh(`neighbour show ${GATEWAY}`)).toMatch(/INCOMPLETE|FAILED/);
  });

  test("captured before the move and pinned after it, the gateway is reached though it answers nobody", async () => {
    const made = makeCiliumPod();
    await startEcho(made);
    const before = proxies(made);
    const watched = surroundings({ moving: () => silence(made) });
    const { step, snapshot } = await moveLink(moveOf(made), watched);
    expect(step).toEqual({ at: "restored" });
    expect(snapshot.gateways).toContainEqual({ address: GATEWAY, mac: macOf(made) });
    expect(isAnswered(made.interior, GATEWAY)).toBe(true);
    expect(made.interior.sh(`neighbour show ${GATEWAY}`)).toContain(`lladdr ${macOf(made)} PERMANENT`);
    // One more interface, and no setting of the others: nothing was turned on for it.
    expect(proxies(made).replaceAll("0\n", "")).toBe(before.replaceAll("0\n", ""));
  });

  test("what is not known is asked for, in both families, without a packet of anybody's", async () => {
    const made = makeCiliumPod();
    const { resolved, skipped } = await resolve(made, [GATEWAY, GATEWAY6]);
    expect(resolved).toEqual([GATEWAY, GATEWAY6].map((address) => ({ address, mac: macOf(made) })));
    expect(skipped).toEqual([]);
  });

  test("a permanent entry is never asked for: it stays what it is", async () => {
    const made = makeCiliumPod();
    made.pod.sh(`neighbour replace ${GATEWAY} lladdr 02:00:00:00:00:99 nud permanent dev eth0`);
    const { resolved } = await resolve(made, [GATEWAY]);
    expect(resolved).toEqual([{ address: GATEWAY, mac: "02:00:00:00:00:99" }]);
    expect(made.pod.sh(`neighbour show ${GATEWAY}`)).toContain("02:00:00:00:00:99 PERMANENT");
    // What the kernel itself does when it is told to: the entry is lost.
    made.pod.sh(`neighbour replace ${GATEWAY} dev eth0 use`);
    expect(made.pod.sh(`neighbour show ${GATEWAY}`)).not.toContain("PERMANENT");
  });

  test("who does not answer is skipped by name, and the move goes on", async () => {
    const made = makeCiliumPod();
    silence(made);
    const watched = surroundings();
    const { step, snapshot } = await moveLink(moveOf(made, { neighbourTimeoutMs: 300 }), watched);
    expect(step).toEqual({ at: "restored" });
    expect(snapshot.skippedGateways).toEqual([
      { address: GATEWAY, why: "nothing answered ARP within 300 ms" },
    ]);
    expect(watched.lines).toContain(`gateway ${GATEWAY} is skipped: nothing answered ARP within 300 ms`);
    expect((await look(made.interior)).permanentNeighbours.map(({ address }) => address)).toEqual([GATEWAY6]);
  });

  test("a wait of nothing asks nobody", async () => {
    const made = makeCiliumPod();
    expect((await resolve(made, [GATEWAY], 0)).resolved).toEqual([]);
    expect(made.pod.sh("-4 neighbour show")).toBe("");
  });
});
