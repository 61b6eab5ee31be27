import { execFileSync, spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { differences } from "../../src/node/link/differences.ts";
import { moveLink, rollBack } from "../../src/node/link/mover.ts";
import { rehearse } from "../../src/node/link/rehearsal.ts";
import {
  GATEWAY,
  isAnswered,
  look,
  makeCiliumPod,
  makePod,
  moveOf,
  type Pod,
  startEcho,
  surroundings,
} from "../node/link/support/pod.ts";
import { runMoveChild } from "../node/link/support/deadly-calls.ts";
import { joinByVeth, makeNamespace, NO_NAMESPACES, type TestNamespace } from "../node/support/namespaces.ts";

const skipped = NO_NAMESPACES ? ` (${NO_NAMESPACES})` : "";
const quick = { neighbourTimeoutMs: 0 };

/** `eth0` is a port of `br0`, with options of its own. */
function enslave({ pod }: Pod): void {
  pod.sh("link add br0 type bridge");
  pod.sh("link set br0 up");
  pod.sh("link set eth0 master br0");
  pod.sh("link set eth0 type bridge_slave cost 7 priority 9 hairpin on isolated on learning off");
}

const port = ({ sh }: TestNamespace): string =>
  JSON.stringify(
    (JSON.parse(sh("-json -details link show eth0")) as { master: string; linkinfo: object }[]).map(
      ({ master, linkinfo }) => ({ master, linkinfo }),
    ),
  ).replaceAll(
    /"(state|hold_timer|message_age_timer|forward_delay_timer|designated_\w+|root_id)":[^,}]*/g,
    "",
  );

describe.skipIf(NO_NAMESPACES)(
  `what a move would lose is named first, and --accept-loss agrees to it${skipped}`,
  () => {
    test.each<[string, (made: Pod) => void, RegExp]>([
      ["its master", enslave, /master br0 \(bridge\) \(br0 is not there\)/],
      [
        "a rule that is not understood",
        ({ pod }) => pod.sh("rule add l3mdev priority 101"),
        /priority 101.*l3mdev, which is not supported/,
      ],
      [
        "a queueing discipline",
        ({ pod }) => void pod.exec("tc", "qdisc", "add", "dev", "eth0", "root", "pfifo"),
        /qdisc pfifo \(/,
      ],
      [
        "filters and eBPF programs",
        ({ pod }) => void pod.exec("tc", "qdisc", "add", "dev", "eth0", "clsact"),
        /qdisc clsact \(/,
      ],
      [
        "an encapsulated route of its own",
        ({ pod }) => pod.sh(`route add 10.82.0.0/16 encap ip id 5 dst 10.0.0.9 via ${GATEWAY} dev eth0`),
        /10\.82\.0\.0\/16.*encap, which is not supported/,
      ],
    ])("%s", async (_, furnish, words) => {
      const made = makeCiliumPod();
      furnish(made);
      const before = await look(made.pod);
      await expect(moveLink(moveOf(made, quick), surroundings())).rejects.toMatchObject({
        code: "unsupported",
        message: expect.stringMatching(words),
        fix: expect.stringContaining("--accept-loss"),
      });
      expect(differences(before, await look(made.pod))).toEqual([]);
      const moved = await moveLink(moveOf(made, { ...quick, acceptLoss: true }), surroundings());
      expect(moved.step).toEqual({ at: "restored" });
      expect(moved.unrestorable.map(({ what, why }) => `${what} (${why})`).join()).toMatch(words);
    });

    test("the command line names it too", () => {
      const made = makeCiliumPod();
      enslave(made);
      const plan = spawnSync(
        process.execPath,
        ["src/cli.ts", "node", "link", "plan", "eth0", "--netns", made.pod.name],
        {
          encoding: "utf8",
        },
      );
      expect(plan.status).toBe(1);
      expect(plan.stderr).toContain("not put back: master br0 (bridge): br0 is not there\n");
      expect(plan.stderr).toContain(
        "VLANs and static forwarding entries of its port of br0 are not captured\n",
      );
    });

    test("an XDP program moves with the link, and a note says that there is one", async () => {
      const made = makeCiliumPod();
      attachXdp(made.pod);
      const before = await look(made.pod);
      expect(before.notes).toContain("an XDP program is attached: it moves with the link");
      await moveLink(moveOf(made, quick), surroundings());
      expect(made.interior.sh("-details link show eth0")).toContain("prog/xdp");
    });
  },
);

describe.skipIf(NO_NAMESPACES)(`what comes back with the link${skipped}`, () => {
  test("its master and the options of the port, after a rollback", async () => {
    const made = makeCiliumPod();
    enslave(made);
    const before = port(made.pod);
    expect(before).toContain('"isolated":true');
    const options = moveOf(made, { ...quick, acceptLoss: true });
    await moveLink(options, surroundings());
    expect(made.interior.sh("link show eth0")).not.toContain("master");
    expect(await rollBack(options.statePath, surroundings())).toMatchObject({
      differences: [],
      unrestorable: [],
    });
    expect(port(made.pod)).toBe(before);
  });

  test("its master, when the move failed on the way", async () => {
    const made = makeCiliumPod();
    enslave(made);
    const before = port(made.pod);
    const watched = surroundings({ verifying: () => void made.interior.sh("link set eth0 mtu 1300") });
    const { step, differences: left } = await moveLink(moveOf(made, { ...quick, acceptLoss: true }), watched);
    expect({ at: step.at, left }).toEqual({ at: "rolled_back", left: [] });
    expect(port(made.pod)).toBe(before);
  });

  test("proxy neighbours and the token, in the target and after a rollback", async () => {
    const made = makeCiliumPod();
    made.pod.sh("neighbour add proxy 10.0.0.70 dev eth0");
    made.pod.sh("neighbour add proxy 2001:db8::70 dev eth0");
    made.pod.exec("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=2");
    made.pod.sh("token set ::1:2 dev eth0");
    const options = moveOf(made, quick);
    const shown = ({ sh }: TestNamespace) => [sh("neighbour show proxy"), sh("token get dev eth0")];
    const before = shown(made.pod);
    expect(before.join()).toMatch(/10\.0\.0\.70.*token ::/s);
    expect((await moveLink(options, surroundings())).step).toEqual({ at: "restored" });
    expect(shown(made.interior)).toEqual(before);
    expect(await rollBack(options.statePath, surroundings())).toMatchObject({ differences: [] });
    expect(shown(made.pod)).toEqual(before);
  });

  test("a gateway whose entry is one without ARP: traffic goes on, and a rollback leaves the entry as it was", async () => {
    const made = makeCiliumPod();
    await startEcho(made);
    const mac = /ether (\S+)/.exec(made.node.sh("link show lxc0"))?.[1] ?? "";
    made.pod.sh(`neighbour replace ${GATEWAY} lladdr ${mac} nud noarp dev eth0`);
    made.node.exec("sh", "-c", "echo 8 > /proc/sys/net/ipv4/conf/lxc0/arp_ignore");
    const options = moveOf(made, quick);
    const { step, snapshot } = await moveLink(options, surroundings());
    expect(step).toEqual({ at: "restored" });
    expect(snapshot.skippedGateways.map(({ address }) => address)).not.toContain(GATEWAY);
    expect(isAnswered(made.interior, GATEWAY)).toBe(true);
    await rollBack(options.statePath, surroundings());
    expect(made.pod.sh(`neighbour show ${GATEWAY} nud all`)).toContain(`lladdr ${mac} NOARP`);
  });
});

test.skipIf(NO_NAMESPACES)(
  `an encapsulated route on another link is nobody's business${skipped}`,
  async () => {
    const made = makeCiliumPod();
    joinByVeth(made.pod, "eth9", made.node, "lxc9");
    made.pod.sh("address add 10.9.0.2/24 dev eth9");
    made.pod.sh("route add 10.82.0.0/16 encap ip id 5 dst 10.0.0.9 via 10.9.0.1 dev eth9");
    made.pod.sh(
      "route add 10.83.0.0/16 nexthop encap ip id 5 dst 10.0.0.9 via 10.9.0.1 dev eth9 nexthop via 10.9.0.3 dev eth9",
    );
    const routes = await made.pod.ip.json(["-4", "route", "show"]);
    // Newer versions print the encapsulation as an object of its own.
    expect(routes).toMatchObject(
      expect.arrayContaining([
        expect.objectContaining({ dst: "10.82.0.0/16" }),
        expect.objectContaining({ dst: "10.83.0.0/16" }),
      ]),
    );
    expect((await moveLink(moveOf(made, quick), surroundings())).step).toEqual({ at: "restored" });
  },
);

describe.skipIf(NO_NAMESPACES)(`a move that the kernel refuses touches nothing${skipped}`, () => {
  /** Sees each time that the link went down. */
  const watch = (made: Pod) => {
    made.pod.sh("neighbour replace 10.0.0.71 lladdr 02:00:00:00:00:71 nud reachable dev eth0");
    return () => made.pod.sh("neighbour show 10.0.0.71");
  };

  test("when the target got the name between the look and the move", async () => {
    const made = makeCiliumPod();
    const learned = watch(made);
    const before = await look(made.pod);
    const watched = surroundings({
      moving: () => joinByVeth(made.interior, "eth0", makeNamespace("other"), "other0"),
    });
    const { step } = await moveLink(moveOf(made, quick), watched);
    expect(step).toMatchObject({ at: "refused", cause: expect.stringMatching(/exists/) });
    expect(differences(before, await look(made.pod))).toEqual([]);
    // What was learned is lost when a link goes down.
    expect(learned()).toContain("02:00:00:00:00:71");
  });

  test("a link that never leaves its namespace is found by the rehearsal", async () => {
    const made = makePod();
    made.pod.sh("link add br0 type bridge");
    made.pod.sh("address add 10.8.7.1/24 dev br0");
    made.pod.sh("link set br0 up");
    const learned = watch(made);
    const { step } = await moveLink(moveOf(made, { ...quick, link: "br0" }), surroundings());
    expect(step).toMatchObject({
      at: "refused",
      cause: expect.stringMatching(/br0 can't be moved: .*immutable/),
    });
    expect(made.pod.sh("address show br0")).toMatch(/UP.*10\.8\.7\.1\/24/s);
    expect(learned()).toContain("02:00:00:00:00:71");
    await expect(rehearse(await look(made.pod, "lo"))).rejects.toThrow(/lo can't be moved/);
  });

  test.each([
    [
      "a name that is an alternative name there",
      "link property add dev other0 altname eth0",
      /has a link eth0 already \(an alternative name of other0\)/,
    ],
    [
      "an alternative name that is a name there",
      "link set other0 name net1",
      /has a link net1 already, which is an alternative name of this one/,
    ],
    [
      "an alternative name that is one there",
      "link property add dev other0 altname net1",
      /has a link net1 already \(an alternative name of other0\)/,
    ],
  ])("%s is named before anything moves", async (_, words, message) => {
    const made = makeCiliumPod();
    made.pod.sh("link property add dev eth0 altname net1");
    joinByVeth(made.interior, "other0", makeNamespace("other"), "other1");
    made.interior.sh(words);
    await expect(moveLink(moveOf(made, quick), surroundings())).rejects.toThrow(message);
  });
});

test.skipIf(NO_NAMESPACES).each([
  ["without routes", () => makePod()],
  ["with routes and gateways", () => makeCiliumPod()],
])(`a move %s starts one program, the shell that runs all others${skipped}`, (_, makeOne) => {
  const made = makeOne();
  made.pod.sh("address add 10.8.0.202/24 dev eth0");
  const { spawned, step } = runMoveChild(moveOf(made, quick));
  expect(step).toEqual({ at: "restored" });
  expect(spawned).toEqual(["unshare"]);
});

test.skipIf(NO_NAMESPACES)(`a snapshot without CAP_NET_ADMIN asks nobody, and says so${skipped}`, () => {
  const { pod } = makeCiliumPod();
  const words = ["src/cli.ts", "node", "link", "snapshot", "eth0", "--json"];
  const { status, stderr } = spawnSync(
    "ip",
    ["netns", "exec", pod.name, "setpriv", "--bounding-set=-net_admin", process.execPath, ...words],
    { encoding: "utf8" },
  );
  expect({ status, stderr }).toMatchObject({
    status: 0,
    stderr: expect.stringContaining(`gateway ${GATEWAY} is skipped: to ask for it needs CAP_NET_ADMIN`),
  });
});

/** Attaches a program that lets everything pass. */
function attachXdp({ name, sh }: TestNamespace): void {
  const script = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def bpf(cmd, attr):
    b = ctypes.create_string_buffer(attr, len(attr)); r = libc.syscall(321, cmd, b, len(attr))
    if r < 0: raise OSError(ctypes.get_errno(), "bpf")
    return r
code = ctypes.create_string_buffer(struct.pack("<BBhi", 0xb7, 0, 0, 2) + struct.pack("<BBhi", 0x95, 0, 0, 0))
name = ctypes.create_string_buffer(b"GPL")
fd = bpf(5, struct.pack("<IIQQIIQI", 6, 2, ctypes.addressof(code), ctypes.addressof(name), 0, 0, 0, 0) + bytes(80))
path = ctypes.create_string_buffer(sys.argv[1].encode())
bpf(6, struct.pack("<QII", ctypes.addressof(path), fd, 0) + bytes(100))
`;
  const shell = `mount -t bpf bpf /mnt && python3 -c '${script}' /mnt/pass && ip -n ${name} link set dev eth0 xdpgeneric pinned /mnt/pass`;
  execFileSync("unshare", ["--mount", "sh", "-c", shell], { stdio: "pipe" });
  expect(sh("-details link show eth0")).toContain("prog/xdp");
}
