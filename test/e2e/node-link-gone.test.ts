import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readMoveState, writeMoveState } from "../../src/node/link/move-state.ts";
import { moveLink, rollBack } from "../../src/node/link/mover.ts";
import { makeCiliumPod, moveOf, type Pod, surroundings } from "../node/link/support/pod.ts";
import { eventually } from "../support/eventually.ts";
import { makeNamespace, NO_NAMESPACES, type TestNamespace } from "../node/support/namespaces.ts";

const title = `a sandbox that is gone${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`;
const DEFAULT_FOLDER = "/run/lychgate/link";

function del({ name }: TestNamespace): void {
  spawnSync("ip", ["netns", "del", name]);
}

/** A CNI makes the pod's link anew, as after a resume. */
async function makeLinkAgain({ pod, node }: Pod): Promise<void> {
  // The kernel ends a namespace, and the links in it, a while after its last user.
  await eventually(() => !node.sh("link show").includes("lxc"), { timeoutMs: 30_000 });
  pod.sh(`link add eth0 type veth peer name lxc1 netns ${node.name}`);
  node.sh("link set lxc1 up");
  pod.sh("link set eth0 up");
  pod.sh("address add 10.8.0.201/32 dev eth0");
}

describe.skipIf(NO_NAMESPACES)(title, () => {
  test("its pod's next sandbox gets the pod's next link: suspend and resume", async () => {
    const made = makeCiliumPod();
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    for (let life = 0; life < 3; life += 1) {
      const interior = makeNamespace("life");
      const to = { kind: "name", name: interior.name } as const;
      expect((await moveLink({ ...options, to }, surroundings())).step).toEqual({ at: "restored" });
      // Its veth goes with it.
      del(interior);
      await makeLinkAgain(made);
    }
  });

  test("the same with namespaces that processes hold, by the command line", async () => {
    const made = makeCiliumPod();
    const lychgate = (...args: readonly string[]) =>
      spawnSync(process.execPath, ["src/cli.ts", "node", "link", ...args, "--netns", made.pod.name], {
        encoding: "utf8",
      });
    for (let life = 0; life < 2; life += 1) {
      const holder = spawnSync("sh", ["-c", "unshare --net sleep 600 >/dev/null 2>&1 & echo $!"], {
        encoding: "utf8",
      });
      const pid = Number(holder.stdout.trim());
      const own = statSync("/proc/self/ns/net").ino;
      await eventually(() => statSync(`/proc/${pid}/ns/net`).ino !== own);
      const move = lychgate("move", "eth0", "--to", `/proc/${pid}/ns/net`, "--neighbour-timeout-ms", "0");
      process.kill(pid, "SIGKILL");
      expect(move).toMatchObject({ status: 0, stdout: "moved: it is eth0 there\n" });
      await makeLinkAgain(made);
    }
  });

  test("another pod, whose namespace got the same inode, is not taken for it, however far the first had come", async () => {
    for (const at of ["restored", "moving", "restoring", "moving_back"] as const) {
      const old = makeCiliumPod();
      const options = moveOf(old, { neighbourTimeoutMs: 0 });
      await moveLink(options, surroundings());
      const state = await readMoveState(options.statePath);
      if (!state) throw new Error("no state");
      const step = at === "moving_back" ? { at, cause: "the first" } : { at };
      const next = makeCiliumPod();
      // The same file, since the kernel handed out the same number.
      const { fromInode } = { fromInode: statSync(next.pod.path).ino };
      del(old.interior);
      del(old.pod);
      writeMoveState(options.statePath, { ...state, fromInode, step });
      const moved = await moveLink(
        { ...moveOf(next, { neighbourTimeoutMs: 0 }), statePath: options.statePath },
        surroundings(),
      );
      expect({ at, step: moved.step }).toEqual({ at, step: { at: "restored" } });
    }
  });

  test("a link of the same MAC, as a CNI derives it from the IP, is another one", async () => {
    const made = makeCiliumPod();
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    const mac = /ether (\S+)/.exec(made.pod.sh("link show eth0"))?.[1] ?? "";
    await moveLink(options, surroundings());
    const state = await readMoveState(options.statePath);
    if (!state) throw new Error("no state");
    writeMoveState(options.statePath, { ...state, step: { at: "verifying" } });
    made.interior.sh("link del eth0");
    await makeLinkAgain(made);
    made.pod.sh("link set eth0 down");
    made.pod.sh(`link set eth0 address ${mac}`);
    made.pod.sh("link set eth0 up");
    const watched = surroundings();
    expect((await moveLink(options, watched)).step).toEqual({ at: "restored" });
    expect(watched.lines[0]).toMatch(/is gone: this is a new one/);
  });

  test("a rollback says that there is nothing to take back, and the next move begins anew", async () => {
    const made = makeCiliumPod();
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    await moveLink(options, surroundings());
    del(made.interior);
    await expect(rollBack(options.statePath, surroundings())).rejects.toMatchObject({
      code: "not_found",
      message: expect.stringMatching(/nothing to take back: eth0 went with network namespace lych-/),
      fix: expect.stringContaining("was removed"),
    });
    expect(existsSync(options.statePath)).toBe(false);
    await makeLinkAgain(made);
    const interior = makeNamespace("next");
    const to = { kind: "name", name: interior.name } as const;
    expect((await moveLink({ ...options, to }, surroundings())).step).toEqual({ at: "restored" });
  });

  test("files of moves that were refused or taken back do not stay; those of links that are gone go with the next move", async () => {
    const made = makeCiliumPod();
    const options = moveOf(made, { neighbourTimeoutMs: 0 });
    await moveLink(options, surroundings());
    await rollBack(options.statePath, surroundings());
    expect(existsSync(options.statePath)).toBe(false);

    mkdirSync(DEFAULT_FOLDER, { recursive: true });
    const before = new Set(readdirSync(DEFAULT_FOLDER));
    const path = (label: string) => join(DEFAULT_FOLDER, `eth0-test${process.pid}-${label}.json`);
    onTestFinished(() => void spawnSync("rm", ["-f", path("gone"), path("kept"), path("bad"), path("now")]));
    const gone = makeCiliumPod();
    await moveLink({ ...moveOf(gone, { neighbourTimeoutMs: 0 }), statePath: path("gone") }, surroundings());
    await moveLink({ ...options, statePath: path("kept") }, surroundings());
    writeFileSync(path("bad"), "not ours");
    del(gone.interior);
    del(gone.pod);
    const now = makeCiliumPod();
    await moveLink({ ...moveOf(now, { neighbourTimeoutMs: 0 }), statePath: path("now") }, surroundings());
    const left = readdirSync(DEFAULT_FOLDER).filter((name) => !before.has(name) && name.includes("-test"));
    const labels = new Set(left.map((name) => /-(\w+)\.json$/.exec(name)?.[1]));
    expect(labels).toEqual(new Set(["bad", "kept", "now"]));
  });
});
