import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { runLychgate } from "../cli/run-lychgate.ts";
import { eventually } from "../support/eventually.ts";
import { BootedMachine, NO_MACHINE } from "./support/booted-machine.ts";
import { makeRootfs } from "./support/rootfs.ts";

// Units as systemd itself runs them, on a machine that boots: order, what is required, what blocks the kubelet.

const title = `a node that boots${NO_MACHINE ? ` (${NO_MACHINE})` : ""}`;
const PROGRAM = ["--program", "/usr/local/bin/lychgate"];
const LONG = { timeoutMs: 60_000, everyMs: 50 };
const SPEC = "enabled: true\nroutes: [{destination: 172.16.5.0/24}]\n";

/** A node with the default route by eth0, a driver that puts a connected /16 on ib0, and a stand-in for the kubelet. */
function makeNode(): BootedMachine {
  const machine = new BootedMachine();
  const commands = [
    "ip link add eth0 type veth peer name eth0p",
    "ip link add ib0 type veth peer name ib0p",
    "for link in eth0 eth0p ib0 ib0p; do ip link set $link up; done",
    "ip address add 192.168.0.5/24 dev eth0",
    "ip address add 172.16.9.9/16 dev ib0",
    "ip route add default via 192.168.0.1 dev eth0",
  ];
  machine.write("/usr/local/sbin/make-network", `#!/bin/sh -e\n${commands.join("\n")}\n`);
  machine.unit(
    "make-network.service",
    "[Unit]\nBefore=network-online.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh /usr/local/sbin/make-network\n",
    "network-online.target",
  );
  machine.unit(
    "kubelet.service",
    "[Service]\nExecStartPre=/bin/sh -c 'ip route show > /run/kubelet-saw'\nExecStart=/bin/sleep infinity\n",
    "multi-user.target",
  );
  return machine;
}

const installInto = async (root: string, ...words: readonly string[]): Promise<void> => {
  expect(await runLychgate(["host", ...words, "--root", root, ...PROGRAM])).toMatchObject({ code: 0 });
};

const installRoutes = ({ root }: BootedMachine): Promise<void> =>
  installInto(root, "static-routes", "install", "--file", `${root}/etc/routes.yaml`);

describe.skipIf(NO_MACHINE)(title, () => {
  beforeAll(makeRootfs, 600_000);

  test("with an overlap, strict, and without any static route: the kubelet is blocked, and starts when that is mended", async () => {
    const machine = makeNode();
    await installInto(machine.root, "overlap", "install", "--mode", "strict", "--cidr", "172.16.5.0/24");
    await machine.boot();
    expect(machine.stateOf("lychgate-overlap")).toBe("failed");
    expect(machine.stateOf("kubelet")).toBe("inactive");
    expect(machine.run("test -e /run/kubelet-saw").status).toBe(1);
    expect(machine.sh("journalctl -u kubelet --no-pager")).toContain("Dependency failed");
    expect(machine.sh("journalctl -u lychgate-overlap --no-pager")).toContain(
      "fix: static-routes {destination: 172.16.5.0/24, gateway: 192.168.0.1, dev: eth0}",
    );
    expect(JSON.parse(machine.sh("cat /run/lychgate/overlap.json"))).toMatchObject({ ok: false });

    machine.sh("ip route add 172.16.5.0/24 via 192.168.0.1");
    machine.sh("systemctl start kubelet");
    expect(machine.stateOf("kubelet")).toBe("active");
    expect(machine.run("test -e /run/lychgate/overlap.json").status).toBe(1);
  });

  test("in mode warn the kubelet starts all the same", async () => {
    const machine = makeNode();
    await installInto(machine.root, "overlap", "install", "--cidr", "172.16.5.0/24");
    await machine.boot();
    expect([machine.stateOf("lychgate-overlap"), machine.stateOf("kubelet")]).toEqual(["active", "active"]);
    expect(JSON.parse(machine.sh("cat /run/lychgate/overlap.json"))).toMatchObject({ ok: false });
  });

  test("routes come first, then the check, then the kubelet; a change of the routes does not stop it, and nothing that is removed keeps it from starting", async () => {
    const machine = makeNode();
    machine.write("/etc/routes.yaml", SPEC);
    await installInto(machine.root, "overlap", "install", "--mode", "strict", "--cidr", "172.16.5.0/24");
    await installRoutes(machine);
    await machine.boot();
    expect(machine.stateOf("kubelet")).toBe("active");
    expect(machine.sh("cat /run/kubelet-saw")).toContain("172.16.5.0/24 via 192.168.0.1 dev eth0 proto 76");
    const startedAt = ["lychgate-static-routes", "lychgate-overlap", "kubelet"].map((unit) =>
      Number(machine.sh(`systemctl show -P ActiveEnterTimestampMonotonic ${unit}`)),
    );
    expect(startedAt).toEqual(startedAt.toSorted((one, other) => one - other));

    const kubelet = machine.sh("systemctl show -P MainPID kubelet");
    const install = (...more: string[]) =>
      machine.sh(
        `lychgate node static-routes install --file /etc/routes.yaml ${PROGRAM.join(" ")} ${more.join(" ")}`,
      );
    machine.write("/etc/routes.yaml", SPEC.replace("}]", "}, {destination: 10.7.0.0/16}]"));
    expect(install()).toContain("updated");
    expect(machine.sh("ip route show")).toContain("10.7.0.0/16 via 192.168.0.1 dev eth0 proto 76");
    expect(machine.sh("systemctl show -P MainPID kubelet")).toBe(kubelet);

    // Another unit requires them now, then none does: both start.
    expect(install("--before", "crio.service")).toContain("updated");
    machine.write("/etc/routes.yaml", "enabled: false\n");
    expect(install()).toContain("removed");
    expect(machine.sh("ip route show")).not.toContain("proto 76");
    expect(machine.sh("systemctl show -P MainPID kubelet")).toBe(kubelet);
    machine.sh("ip route add 172.16.5.0/24 via 192.168.0.1");
    machine.sh("systemctl restart kubelet");
    expect(machine.stateOf("kubelet")).toBe("active");
    machine.unit("crio.service", "[Service]\nExecStart=/bin/sleep infinity\n", "multi-user.target");
    machine.sh("systemctl daemon-reload && systemctl start crio");
    expect(machine.sh("lychgate node overlap install --remove")).toContain("removed");
    machine.sh("systemctl restart kubelet");
  });

  test("a default route that comes late is waited for, by both", async () => {
    const machine = makeNode();
    machine.write("/etc/routes.yaml", SPEC);
    const late = "sh -c 'sleep 3; ip route add default via 192.168.0.1 dev eth0' &";
    const script = readFileSync(`${machine.root}/usr/local/sbin/make-network`, "utf8");
    machine.write("/usr/local/sbin/make-network", script.replace(/^ip route add default.*$/m, late));
    machine.write(
      "/etc/systemd/system/make-network.service.d/late.conf",
      "[Service]\nType=forking\nRemainAfterExit=yes\n",
    );
    await installInto(machine.root, "overlap", "install", "--mode", "strict", "--cidr", "10.244.0.0/16");
    await installRoutes(machine);
    await machine.boot();
    expect(machine.stateOf("kubelet")).toBe("active");
  });

  test("the anycast daemon under WatchdogSec: killed or hanging, what it announced is withdrawn before it comes again", async () => {
    const machine = makeNode();
    const read = (name: string) => readFileSync(resolve(`deploy/anycast/systemd/${name}`), "utf8");
    machine.write("/etc/tmpfiles.d/lychgate.conf", "d /run/lychgate 0755 root root\n");
    machine.write(
      "/etc/bird/bird.conf",
      'router id 10.9.0.1;\nprotocol device {}\ninclude "/run/lychgate/*.conf";\n',
    );
    machine.write(
      "/etc/lychgate/anycast.yaml",
      "addresses: [192.0.2.10]\nbackendsFile: /etc/lychgate/backends.yaml\n",
    );
    machine.write(
      "/etc/lychgate/backends.yaml",
      "backends: [{name: one, addresses: [192.0.2.10], nexthops: [172.16.7.7]}]\n",
    );
    // It comes back so late that what happens meanwhile can be seen.
    const unit = read("lychgate-anycast.service").replace("RestartSec=1", "RestartSec=8");
    machine.unit("lychgate-anycast.service", unit, "multi-user.target");
    machine.write(
      "/etc/systemd/system/lychgate-anycast-guard.service",
      read("lychgate-anycast-guard.service"),
    );
    await machine.boot();
    expect(machine.stateOf("lychgate-anycast-guard")).toBe("active");
    const announced = (): boolean => machine.run("birdc show route").stdout.includes("192.0.2.10/32");
    expect(machine.sh("systemctl show -P Type lychgate-anycast").trim()).toBe("notify");
    await eventually(announced, LONG);
    expect(machine.stateOf("lychgate-anycast")).toBe("active");
    for (const signal of ["KILL", "STOP"]) {
      const startedMs = performance.now();
      machine.sh(`systemctl kill --kill-whom=main -s ${signal} lychgate-anycast`);
      await eventually(() => !announced(), LONG);
      console.log(`SIG${signal} to withdrawal at BIRD, ms:`, Math.round(performance.now() - startedMs));
      await eventually(announced, LONG);
    }
    expect(machine.sh("journalctl -u lychgate-anycast --no-pager")).toContain("Watchdog timeout");
    // Told to end, it leaves what is announced to its next run.
    machine.sh("systemctl stop lychgate-anycast");
    expect(machine.sh("journalctl -u lychgate-anycast --no-pager")).toContain(
      "not needed: the service ended well",
    );
    expect(announced()).toBe(true);
  });
});
