import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { NodeToolError } from "../../src/node/node-tool-error.ts";
import { differences } from "../../src/node/link/differences.ts";
import { moveLink, rollBack } from "../../src/node/link/mover.ts";
import { rehearse } from "../../src/node/link/rehearsal.ts";
import { withLinkName } from "../../src/node/link/snapshot.ts";
import { restoreFrom } from "../../src/node/link/command.ts";
import { makeNamespace, joinByVeth, NO_NAMESPACES } from "../node/support/namespaces.ts";
import {
  GATEWAY,
  GATEWAY6,
  isAnswered,
  look,
  makeCiliumPod,
  makePod,
  moveOf,
  type Pod,
  startEcho,
  surroundings,
  temporaryPath,
} from "../node/link/support/pod.ts";

const title = `moving a link${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`;

/** What tools do that know nothing of dependencies: each route in the order in which the kernel had listed it. */
async function naively({ pod, interior }: Pod, addresses: readonly string[]): Promise<void> {
  const families = ["-4", "-6"].map((family) => ({
    family,
    lines: pod
      .sh(`${family} route show dev eth0`)
      .split("\n")
      .map((line) => line.replace(/ proto \S+| pref \S+| metric \S+| linkdown/g, "").trim())
      .filter((line) => line && !line.startsWith("fe80")),
  }));
  pod.sh(`link set eth0 netns ${interior.name}`);
  interior.sh("link set eth0 up");
  for (const address of addresses) interior.sh(`address add ${address} dev eth0`);
  for (const { family, lines } of families) {
    for (const line of lines)
      await interior.ip.run([family, "route", "replace", ...line.split(" "), "dev", "eth0"]);
  }
}

const everything = (made: Pod): void => {
  const { pod } = made;
  pod.sh("address add 10.9.0.1/24 broadcast 10.9.0.255 dev eth0 metric 77");
  pod.sh("address add 10.9.0.2/24 dev eth0 noprefixroute");
  pod.sh("address add 10.10.0.1 peer 10.10.0.2/32 dev eth0 label eth0:x");
  pod.sh("address add 2001:db8:1::5/64 dev eth0 valid_lft 1000 preferred_lft 500");
  pod.sh("address add 2001:db8:2::5/64 dev eth0 nodad");
  pod.sh(
    "route replace default via 10.8.0.157 dev eth0 mtu lock 1400 advmss 1300 rto_min 20ms congctl cubic",
  );
  pod.sh(
    "route add 10.50.0.0/16 proto static metric 5 table 101 src 10.9.0.1 nexthop via 10.9.0.9 dev eth0 weight 3 nexthop via 10.77.0.10 dev eth0 onlink",
  );
  pod.sh("route add 10.51.0.0/16 via inet6 fe80::1 dev eth0");
  pod.sh("-6 route add 2001:db8:5::/48 via fe80::1 dev eth0 pref high expires 300");
  pod.sh("-6 route add 2001:db8:8::/48 nexthop via fe80::8 dev eth0 nexthop via fe80::9 dev eth0 weight 2");
  pod.sh("nexthop add id 7 via 10.9.0.9 dev eth0");
  pod.sh("nexthop add id 8 dev eth0");
  pod.sh("-6 nexthop add id 30 dev eth0");
  pod.sh("nexthop add id 9 group 7/8,2");
  pod.sh("route add 10.60.0.0/16 nhid 9");
  pod.sh("-6 route add 2001:db8:6::/48 nhid 30");
  pod.sh("rule add from 10.9.0.0/24 lookup 101 priority 50");
  pod.sh("rule add iif eth0 fwmark 0x5/0xff lookup 101");
  pod.sh("-6 rule add oif eth0 lookup main suppress_prefixlength 0");
  pod.sh("route add local 10.5.0.0/16 dev eth0");
  pod.sh("route add 10.70.0.0/16 dev eth0 tos 0x10 metric 9");
  pod.sh("neighbour add 10.9.0.77 lladdr 02:00:00:00:00:77 nud permanent dev eth0");
  pod.sh("link set eth0 mtu 1450 txqueuelen 500 promisc on alias web");
  pod.exec(
    "sh",
    "-c",
    "echo 1 > /proc/sys/net/ipv4/conf/eth0/proxy_arp; echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra",
  );
};

/** What iproute2 itself shows, without what runs down and what is the namespace's. */
const raw = ({ sh }: Pod["pod"]): readonly string[] =>
  [
    "-details -N -4 route show table all",
    "-details -N -6 route show table all",
    "-details nexthop show",
    "-details -4 rule show",
    "-details -6 rule show",
    "address show dev eth0",
  ].map((command) =>
    sh(command)
      .replace(/^\d+: eth0\S* /, "")
      .replaceAll(/expires \d+sec|_lft \d+sec|link-netns\S* \S+| nodad| tentative/g, "")
      .replaceAll(/ +$/gm, ""),
  );

describe.skipIf(NO_NAMESPACES)(title, () => {
  test("the naive way: on Cilium's /32 layout the default route is refused, and each retry finds no link", async () => {
    const made = makeCiliumPod();
    await expect(naively(made, ["10.8.0.201/32"])).rejects.toMatchObject({ reason: "unreachable" });
    await expect(naively(made, ["10.8.0.201/32"])).rejects.toThrow(/Cannot find device|does not exist/);
  });

  test("Cilium's /32 layout moves: routes are the same, in both families, and the node answers", async () => {
    const made = makeCiliumPod();
    await startEcho(made);
    const before = await look(made.pod);
    const { step, snapshot, onlink } = await moveLink(moveOf(made), surroundings());
    expect(step).toEqual({ at: "restored" });
    expect(onlink).toEqual([]);
    expect(snapshot.gateways.map(({ address }) => address).sort()).toEqual([GATEWAY, GATEWAY6]);
    const after = await look(made.interior);
    expect(differences(before, after)).toEqual([]);
    expect(after.link.mac).toBe(before.link.mac);
    expect(isAnswered(made.interior, GATEWAY)).toBe(true);
    expect(isAnswered(made.interior, GATEWAY6)).toBe(true);
  });

  test("the naive way: IPv6 routes that hide each other's cover are refused in the kernel's order; ours is taken", async () => {
    const made = makeCiliumPod();
    const { pod } = made;
    pod.sh("-6 route add 2001:db8:c::/48 dev eth0");
    pod.sh("-6 route add 2001:db8:d::/64 via 2001:db8:c:5::9 dev eth0");
    pod.sh(`-6 route add 2001:db8:c:5::/64 via ${GATEWAY6} dev eth0`);
    const before = await look(pod);
    const { step, onlink } = await moveLink(moveOf(made), surroundings());
    expect({ step, onlink }).toEqual({ step: { at: "restored" }, onlink: [] });
    expect(differences(before, await look(made.interior))).toEqual([]);
    // And back by hand, without the IPv4 routes: it is IPv6 that must fail.
    made.interior.sh("-4 route flush dev eth0");
    await expect(
      naively(
        { ...made, pod: made.interior, interior: pod },
        ["2001:db8::201/128 nodad"].map((words) => words.replace(" nodad", "")),
      ),
    ).rejects.toMatchObject({ reason: "unreachable" });
  });

  test("all that a link can have moves and comes back", async () => {
    const made = makeCiliumPod();
    everything(made);
    const before = await look(made.pod);
    const rawBefore = raw(made.pod);
    expect(rawBefore[0]).toContain("mtu lock 1400");
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    const result = await moveLink(options, surroundings());
    expect(result.step).toEqual({ at: "restored" });
    const after = await look(made.interior);
    expect(differences(before, after)).toEqual([]);
    expect(after.routes.map(({ destination }) => destination)).toEqual(
      before.routes.map(({ destination }) => destination),
    );
    expect(raw(made.interior)).toEqual(rawBefore);
    expect(made.interior.exec("cat", "/proc/sys/net/ipv4/conf/eth0/proxy_arp")).toBe("1\n");

    const back = await rollBack(options.statePath, surroundings());
    expect(back).toMatchObject({ step: { at: "rolled_back" }, differences: [] });
    expect(differences(before, await look(made.pod))).toEqual([]);
    expect(raw(made.pod)).toEqual(rawBefore);
    // A rule has no link: those that came along are gone from the target, those of the pod are there once.
    expect(made.interior.sh("rule show").trim().split("\n")).toHaveLength(3);
    expect((await look(made.pod)).rules).toEqual(before.rules);
  });

  test("the link may have another name there", async () => {
    const made = makeCiliumPod();
    everything(made);
    makeTaken(made);
    const before = await look(made.pod);
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    await expect(moveLink(options, surroundings())).rejects.toMatchObject({
      message: expect.stringContaining("has a link eth0 already"),
      fix: expect.stringContaining("--name"),
    });
    expect(differences(before, await look(made.pod))).toEqual([]);
    const { step } = await moveLink({ ...options, targetName: "net1" }, surroundings());
    expect(step).toEqual({ at: "restored" });
    expect(differences(withLinkName(before, "net1"), await look(made.interior, "net1"))).toEqual([]);
    expect(await rollBack(options.statePath, surroundings())).toMatchObject({ differences: [] });
    expect(differences(before, await look(made.pod))).toEqual([]);
  });

  test("a route that lost its cover is put back with onlink, and that is told", async () => {
    const made = makeCiliumPod();
    made.pod.sh(`route delete ${GATEWAY} dev eth0`);
    const { step, onlink } = await moveLink(moveOf(made, { neighbourTimeoutMs: 0 }), surroundings());
    expect(step).toEqual({ at: "restored" });
    expect(onlink).toMatchObject([{ why: expect.stringContaining(`covers its gateway ${GATEWAY}`) }]);
    expect(made.interior.sh("route show default")).toContain("onlink");
  });

  test("routes that also use another link are refused by name, before anything moves", async () => {
    const made = makeCiliumPod();
    joinByVeth(made.pod, "eth1", made.node, "lxc1");
    made.pod.sh("address add 10.20.0.1/24 dev eth1");
    made.pod.sh(`route add 10.30.0.0/16 nexthop via ${GATEWAY} dev eth0 nexthop via 10.20.0.2 dev eth1`);
    made.pod.sh("-6 route add 2001:db8:30::/48 nexthop via fe80::1 dev eth0 nexthop via fe80::2 dev eth1");
    const before = await look(made.pod);
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    await expect(moveLink(options, surroundings())).rejects.toThrow(/10\.30\.0\.0\/16.*it also uses eth1/);
    expect(differences(before, await look(made.pod))).toEqual([]);

    const { step, unrestorable } = await moveLink({ ...options, acceptLoss: true }, surroundings());
    expect(step).toEqual({ at: "restored" });
    expect(unrestorable).toHaveLength(2);
    // The way back brings them whole, though the kernel kept half of one.
    expect(await rollBack(options.statePath, surroundings())).toMatchObject({ differences: [] });
    expect(differences(before, await look(made.pod))).toEqual([]);
  });

  test("what goes wrong after the move takes the link back whole, and the first cause is told", async () => {
    const made = makeCiliumPod();
    everything(made);
    const before = await look(made.pod);
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    const watched = surroundings({
      verifying: () => void made.interior.sh("route delete 10.70.0.0/16 tos 0x10 dev eth0"),
    });
    const { step, differences: left } = await moveLink(options, watched);
    expect(step).toMatchObject({
      at: "rolled_back",
      cause: expect.stringMatching(
        /^after the restore the link is not what it was: missing: .*10\.70\.0\.0\/16/,
      ),
    });
    expect(left).toEqual([]);
    expect(differences(before, await look(made.pod))).toEqual([]);
    expect(made.interior.sh("rule show").trim().split("\n")).toHaveLength(3);
  });

  test("a way back that fails too keeps the first cause, and is taken up again", async () => {
    const made = makeCiliumPod();
    const before = await look(made.pod);
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    const watched = surroundings({
      restoring: () => {
        made.interior.sh("link set eth0 down");
        made.interior.sh("link set eth0 name lost");
      },
    });
    const failed = await moveLink(options, watched).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(NodeToolError);
    expect(failed).toMatchObject({
      message: expect.stringMatching(
        /^there is no link eth0 in network namespace .*; and then the way back of eth0 failed/,
      ),
      fix: expect.stringContaining("rollback"),
    });
    made.interior.sh("link set lost name eth0");
    const { step } = await rollBack(options.statePath, surroundings());
    expect(step).toMatchObject({ at: "rolled_back", cause: expect.stringMatching(/^there is no link eth0/) });
    expect(differences(before, await look(made.pod))).toEqual([]);
  });

  test("a restore that can't come out well is refused by the rehearsal, with the pod untouched", async () => {
    const made = makeCiliumPod();
    const before = await look(made.pod);
    const broken = {
      ...before,
      routes: [...before.routes, { ...before.routes[0]!, destination: "10.0.0.255/24" }],
    };
    await expect(rehearse(broken)).rejects.toMatchObject({ code: "invalid" });
    expect(differences(before, await look(made.pod))).toEqual([]);
  });

  test("the same command again finds it done; after a rollback it moves anew", async () => {
    const made = makeCiliumPod();
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    await moveLink(options, surroundings());
    const again = surroundings();
    expect((await moveLink(options, again)).step).toEqual({ at: "restored" });
    expect(again.lines).toEqual([expect.stringContaining("already")]);
    await rollBack(options.statePath, surroundings());
    expect((await moveLink(options, surroundings())).step).toEqual({ at: "restored" });
  });

  test("two runs on one state file: the second is told to wait", async () => {
    const made = makeCiliumPod();
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    const first = moveLink(options, surroundings());
    await expect(moveLink(options, surroundings())).rejects.toThrow("another run works with");
    expect((await first).step).toEqual({ at: "restored" });
  });

  test("a link that was moved by hand is given all back by restore; what can't be leaves it as it was", async () => {
    const made = makeCiliumPod();
    everything(made);
    const before = await look(made.pod);
    made.pod.sh(`link set eth0 netns ${made.interior.name}`);
    made.interior.sh("link set eth0 up");
    const place = { namespace: { kind: "name", name: made.interior.name }, link: "eth0" } as const;
    const options = { pin: true, acceptLoss: false };
    await restoreFrom(before, place, options, () => {});
    expect(differences(before, await look(made.interior))).toEqual([]);

    const worse = { ...before, gateways: [{ address: "10.8.0.157", mac: "02:00:00:00:00" }] };
    await expect(restoreFrom(worse, place, options, () => {})).rejects.toThrow();
    expect(differences(before, await look(made.interior))).toEqual([]);
  });

  test.each([
    ["nexthop add id 7 dev other0", /has a nexthop object 7 already/],
    ["route add default dev other0", /has a route to the same destination already: unicast 0\.0\.0\.0\/0/],
    ["-6 route add default dev other0", /has a route to the same destination already: unicast ::\/0/],
  ])("what stands in the way in the target is named before anything moves: ip %s", async (words, message) => {
    const made = makeCiliumPod();
    made.pod.sh(`nexthop add id 7 via ${GATEWAY} dev eth0`);
    joinByVeth(made.interior, "other0", makeNamespace("other"), "other1");
    made.interior.sh(words);
    const before = await look(made.pod);
    await expect(moveLink(moveOf(made, { neighbourTimeoutMs: 0 }), surroundings())).rejects.toThrow(message);
    expect(differences(before, await look(made.pod))).toEqual([]);
  });

  test("a namespace that isn't there is named", async () => {
    const made = makePod();
    const to = { kind: "name", name: "lych-nowhere" } as const;
    await expect(moveLink(moveOf(made, { to }), surroundings())).rejects.toMatchObject({
      code: "not_found",
      message: "there is no network namespace /run/netns/lych-nowhere",
    });
  });

  test("the command line: snapshot, plan, move, rollback", () => {
    const made = makeCiliumPod();
    const [file, state] = [temporaryPath("eth0.json"), temporaryPath("state.json")];
    const lychgate = (...args: readonly string[]) =>
      spawnSync(process.execPath, ["src/cli.ts", "node", "link", ...args], { encoding: "utf8" });
    const where = ["--netns", made.pod.name];
    expect(lychgate("snapshot", "eth0", ...where, "--out", file)).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({
      gateways: [{ address: GATEWAY }, { address: GATEWAY6 }],
    });
    const plan = lychgate("plan", "eth0", "--snapshot", file, "--rehearse");
    expect(plan).toMatchObject({
      status: 0,
      stderr: `gateways that a move pins when they answer: ${GATEWAY}, ${GATEWAY6}\nrehearsed: the stand-in came out the same\n`,
    });
    expect(plan.stdout.split("\n")).toEqual([
      expect.stringMatching(/^ip route append unicast 10\.8\.0\.157 dev eth0/),
      expect.stringMatching(/^ip route append unicast 2001:db8::157 dev eth0/),
      expect.stringMatching(/2001:db8::201/),
      expect.stringMatching(/fe80::/),
      expect.stringMatching(/^ip route append unicast 0\.0\.0\.0\/0 via 10\.8\.0\.157/),
      expect.stringMatching(/^ip route append unicast ::\/0 via inet6 2001:db8::157/),
      "",
    ]);
    const move = lychgate("move", "eth0", ...where, "--to", made.interior.name, "--state", state);
    expect(move).toMatchObject({ status: 0, stdout: "moved: it is eth0 there\n" });
    expect(lychgate("move", "eth0", ...where, "--to", made.node.name)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /^lychgate node link move: there is no link eth0 in network namespace \S+; see ip link show there\n$/,
      ),
    });
    const rollback = lychgate("rollback", "eth0", "--state", state, "--json");
    expect(rollback.status).toBe(0);
    expect(JSON.parse(rollback.stdout)).toMatchObject({ ended: "rolled_back", differences: [] });
    expect(lychgate("move", "eth0").status).toBe(2);
  });
});

/** The target has an `eth0` of its own. */
function makeTaken({ interior }: Pod): void {
  joinByVeth(interior, "eth0", makeNamespace("other"), "other0");
}
