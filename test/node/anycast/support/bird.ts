import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { eventually } from "../../../support/eventually.ts";
import { NO_NAMESPACES } from "../../support/namespaces.ts";

/** Why BIRD can't be run in namespaces here, or `undefined` when it can. For the names of skipped tests. */
export const NO_BIRD: string | undefined =
  NO_NAMESPACES ??
  (spawnSync("bird", ["--version"]).error ? "BIRD is not installed (apt-get install bird2)" : undefined);

/** A folder that is gone when the test is over. */
export function scratch(label: string): string {
  const path = mkdtempSync(join(tmpdir(), `lychgate-${label}-`));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A BIRD of a test's own, in the network namespace `namespace` or in this process's. */
export class TestBird {
  readonly folder: string;
  readonly socket: string;
  readonly config: string;
  readonly #namespace: string | undefined;
  #child: ChildProcess | undefined;

  constructor(config: (folder: string) => string, namespace?: string) {
    this.folder = scratch("bird");
    this.socket = join(this.folder, "bird.ctl");
    this.config = join(this.folder, "bird.conf");
    this.#namespace = namespace;
    writeFileSync(this.config, config(this.folder));
    onTestFinished(() => this.stop());
  }

  /** `more` flags go to `bird`. */
  async start(more: readonly string[] = []): Promise<void> {
    const bird = [
      "bird",
      "-f",
      "-c",
      this.config,
      "-s",
      this.socket,
      "-P",
      join(this.folder, "pid"),
      ...more,
    ];
    const [program = "", ...args] = this.#namespace
      ? ["ip", "netns", "exec", this.#namespace, ...bird]
      : bird;
    this.#child = spawn(program, args, { stdio: "ignore" });
    await eventually(() => this.birdc("show status").includes("up and running"));
  }

  /** Ends it as SIGTERM or SIGKILL does, and waits for that. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.kill(signal);
    });
  }

  /** Stops its process and lets it go on: SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  birdc(command: string): string {
    const { stdout, stderr } = spawnSync("birdc", ["-s", this.socket, ...command.split(" ")], {
      encoding: "utf8",
    });
    return stdout + stderr;
  }

  /** Addresses that its tables have from our protocols. */
  routes(): string[] {
    const { stdout } = spawnSync("birdc", ["-s", this.socket, 'show route where proto ~ "lychgate_*"'], {
      encoding: "utf8",
    });
    return [...stdout.matchAll(/^(\S+)\/(?:32|128)\s/gm)].map(([, address = ""]) => address).sort();
  }
}
