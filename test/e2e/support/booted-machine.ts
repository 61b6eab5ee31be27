import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { onTestFinished } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { ROOTFS } from "./rootfs.ts";

const REPOSITORY = resolve(import.meta.dirname, "../../..");
/** Busy machines boot slowly. */
const BOOT = { timeoutMs: 120_000, everyMs: 100 };

/** Why no machine can be booted here, or `undefined` when one can. For the names of skipped tests. */
export const NO_MACHINE: string | undefined = (() => {
  if (process.getuid?.() !== 0) return "needs root";
  if (spawnSync("systemd-nspawn", ["--version"]).error)
    return "systemd-nspawn is not installed (systemd-container)";
  if (!existsSync(ROOTFS) && spawnSync("debootstrap", ["--version"]).error)
    return "debootstrap is not installed";
  return undefined;
})();

/**
 * A machine with Debian's systemd as its first process, in namespaces of its own; its files are a layer over the cached ones and gone with the test. This
 * repository is at /opt/lychgate, and `lychgate` in its PATH.
 */
export class BootedMachine {
  /** Its root, before and while it runs. */
  readonly root: string;
  readonly #folder: string;
  #container: ChildProcess | undefined;
  #leader = "";

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "lychgate-machine-"));
    const [upper, work] = ["upper", "work"].map((name) => join(this.#folder, name));
    this.root = join(this.#folder, "root");
    for (const folder of [upper ?? "", work ?? "", this.root]) mkdirSync(folder);
    const layers = `lowerdir=${ROOTFS},upperdir=${upper},workdir=${work}`;
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", layers, this.root]);
    onTestFinished(() => this.#end());
    mkdirSync(join(this.root, "opt/lychgate"), { recursive: true });
    const node = "/opt/lychgate/node_modules/node/bin/node";
    this.write("/usr/local/bin/lychgate", `#!/bin/sh\nexec ${node} /opt/lychgate/bin/lychgate.mjs "$@"\n`);
    execFileSync("chmod", ["755", join(this.root, "usr/local/bin/lychgate")]);
  }

  /** Writes a file, `path` as the machine sees it. */
  write(path: string, text: string): void {
    const at = join(this.root, path);
    mkdirSync(dirname(at), { recursive: true });
    writeFileSync(at, text);
  }

  /** A unit, started at boot as part of `wantedBy`. */
  unit(name: string, text: string, wantedBy: string): void {
    this.write(`/etc/systemd/system/${name}`, text);
    const wants = join(this.root, `etc/systemd/system/${wantedBy}.wants`);
    mkdirSync(wants, { recursive: true });
    symlinkSync(`../${name}`, join(wants, name));
  }

  /** Boots it. Resolves when systemd has nothing left to start, whatever failed. */
  async boot(): Promise<void> {
    const args = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--console=pipe", "--boot"];
    this.#container = spawn(
      "systemd-nspawn",
      [...args, `--bind-ro=${REPOSITORY}:/opt/lychgate`, "-D", this.root],
      { stdio: ["ignore", "ignore", "ignore"] },
    );
    const { pid } = this.#container;
    await eventually(() => {
      this.#leader = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
      return /^\d+$/.test(this.#leader) && this.#state() !== "";
    }, BOOT);
    await eventually(() => /^(running|degraded)$/.test(this.#state()), BOOT);
  }

  #state(): string {
    const state = this.run("systemctl is-system-running").stdout.trim();
    return state === "offline" ? "" : state;
  }

  /** Runs a shell command in it. */
  run(command: string): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
    const { status, stdout, stderr } = spawnSync(
      "nsenter",
      ["-t", this.#leader, "-m", "-u", "-i", "-n", "-p", "-r", "-w", "sh", "-c", command],
      { encoding: "utf8", env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" } },
    );
    return { status, stdout, stderr };
  }

  /** The same for a command that must succeed. */
  sh(command: string): string {
    const { status, stdout, stderr } = this.run(command);
    if (status !== 0) throw new Error(`${command}: ${stderr}${stdout}`);
    return stdout;
  }

  /** `active`, `inactive`, `failed` … */
  stateOf(unit: string): string {
    return this.run(`systemctl is-active ${unit}`).stdout.trim();
  }

  async #end(): Promise<void> {
    const container = this.#container;
    if (container?.exitCode === null) {
      const ended = new Promise<void>((done) => void container.once("exit", () => done()));
      // Its first process takes all others along.
      if (this.#leader !== "") process.kill(Number(this.#leader), "SIGKILL");
      container.kill("SIGKILL");
      await ended;
    }
    await eventually(() => spawnSync("umount", [this.root]).status === 0, BOOT);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
