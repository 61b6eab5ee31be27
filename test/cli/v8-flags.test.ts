import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";

// README.md#memory: serve sets what it needs of V8 itself, from a checkout too, and its workers inherit it.

const BIN = fileURLToPath(new URL("../../bin/lychgate.mjs", import.meta.url));
const SETTINGS = [
  "--source=none",
  "--listen=127.0.0.1:0",
  "--peer-listen=127.0.0.1:0",
  "--admin-listen=127.0.0.1:0",
];

const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

/** A router that listens. */
async function serve(
  nodeFlags: readonly string[],
  flags: readonly string[] = [],
  env = {},
): Promise<ChildProcess> {
  const child = spawn(process.execPath, [...nodeFlags, BIN, "serve", ...SETTINGS, ...flags], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr ?? process.stdin }).on("line", (line) => {
      lines.push(line);
      if (line.includes("is listening")) resolve();
    });
    child.once("exit", () => reject(new Error(lines.join("\n"))));
  });
  // Node's own warnings would be news to whoever reads the log.
  expect(lines.join("\n")).not.toContain("ExperimentalWarning");
  return child;
}

function flagsOf(pid: number | string | undefined): string[] {
  const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  return line.filter((each) => /semi.space|v8.pool/.test(each));
}

function threadsOfV8(pid: string): number {
  const names = readdirSync(`/proc/${pid}/task`).map((task) =>
    readFileSync(`/proc/${pid}/task/${task}/comm`, "utf8"),
  );
  // Node 26 calls it node-V8Worker.
  return names.filter((name) => name.includes("V8Worker")).length;
}

describe.skipIf(!existsSync("/proc/self/cmdline"))("the flags of V8", () => {
  test("are set in the process that was started: signals and the exit code are its own", async () => {
    const child = await serve([]);
    expect(flagsOf(child.pid)).toEqual(["--max-semi-space-size=4", "--v8-pool-size=1"]);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  test("are the user's where the user has set them, on the command line or in NODE_OPTIONS", async () => {
    const both = await serve(["--max_semi_space_size=8", "--v8-pool-size=2"]);
    expect(flagsOf(both.pid)).toEqual(["--max_semi_space_size=8", "--v8-pool-size=2"]);
    const one = await serve([], [], { NODE_OPTIONS: "--max-semi-space-size=16" });
    expect(flagsOf(one.pid)).toEqual(["--v8-pool-size=1"]);
  });

  test("are those of workers too", async () => {
    const child = await serve([], ["--workers=2"]);
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
    expect(children).toHaveLength(2);
    // A worker's command line is its title.
    for (const pid of children) expect([pid, threadsOfV8(pid)]).toEqual([pid, 1]);
    child.kill("SIGTERM");
    await once(child, "exit");
  });
});
