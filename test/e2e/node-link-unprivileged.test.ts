import { spawnSync } from "node:child_process";
import { mkdtempSync, chmodSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";

const NOBODY = 65_534;

/** As a user without any right on the machine, root only in namespaces of its own. */
function unprivileged(script: string, ...args: readonly string[]) {
  const inside = `mount -t tmpfs t /run && mkdir /run/netns && ${script}`;
  const asNobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  return spawnSync("unshare", ["-Urnm", "sh", "-ec", inside, "sh", ...args], {
    encoding: "utf8",
    env: { ...process.env, HOME: "/nonexistent" },
    ...asNobody,
  });
}

const probe = unprivileged("ip netns add a");
const reason =
  probe.status === 0 ? "" : ` (no user namespaces here: ${probe.stderr.trim() || String(probe.error)})`;

describe.skipIf(probe.status !== 0)(`without privileges${reason}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-nobody-"));
  chmodSync(folder, 0o777);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("root of a user namespace moves a link, and takes it back", () => {
    const script = [
      "ip netns add pod",
      "ip netns add interior",
      "ip -n pod link add eth0 type veth peer name lxc0",
      "ip -n pod link set lxc0 up",
      "ip -n pod link set eth0 up",
      "ip -n pod address add 10.8.0.201/32 dev eth0",
      "ip -n pod route add 10.8.0.157 dev eth0",
      "ip -n pod route add default via 10.8.0.157 dev eth0",
      'link() { "$1" src/cli.ts node link "$2" eth0 --netns pod --state "$3/state.json" $4; }',
      'link "$1" move "$2" "--to interior --neighbour-timeout-ms 0"',
      "ip -n interior route show",
      'link "$1" rollback "$2"',
      "ip -n pod route show",
    ].join("\n");
    const { status, stdout, stderr } = unprivileged(script, process.execPath, folder);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    const routes = ["default via 10.8.0.157 dev eth0 ", "10.8.0.157 dev eth0 scope link "];
    expect(stdout.split("\n")).toEqual([
      "moved: it is eth0 there",
      ...routes,
      "rolled back: a rollback was asked for",
      ...routes,
      "",
    ]);
  });

  test("who lacks the right is told which", () => {
    const script = [
      "ip netns add pod",
      "ip -n pod link add eth0 type veth peer name lxc0",
      'setpriv --bounding-set -all --inh-caps -all "$1" src/cli.ts node link snapshot eth0 --netns pod',
    ].join("\n");
    const { status, stderr } = unprivileged(script, process.execPath);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^lychgate node link snapshot: ip .*; run it with CAP_NET_ADMIN, and with CAP_SYS_ADMIN/,
    );
  });
});
