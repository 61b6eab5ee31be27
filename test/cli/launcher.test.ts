import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";

// bin/lychgate.mjs on a Node that is too old starts the checkout's own Node. Here it only believes that it is too old.

const LAUNCHER = fileURLToPath(new URL("../../bin/lychgate.mjs", import.meta.url));
const OLD_NODE =
  "data:text/javascript,Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.0.0' } })";

const started: ChildProcess[] = [];
const pids: number[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  for (const pid of pids.splice(0)) if (isAlive(pid)) process.kill(pid, "SIGKILL");
});

function launch(...argv: string[]): ChildProcess {
  const child = spawn(process.execPath, ["--import", OLD_NODE, LAUNCHER, ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  return child;
}

/** A router below the launcher, once it listens. */
async function launchRouter(...flags: string[]) {
  const settings =
    "serve --source none --log-format json --access-log off --drain-delay-ms 0 --listen 127.0.0.1:0 --peer-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";
  const launcher = launch(...settings.split(" "), ...flags);
  const lines: string[] = [];
  const admin = await new Promise<string>((resolve, reject) => {
    createInterface({ input: launcher.stderr! }).on("line", (line) => {
      lines.push(line);
      if (line.includes("is listening")) resolve((JSON.parse(line) as { admin: string }).admin);
    });
    launcher.once("exit", () => reject(new Error(lines.join("\n"))));
  });
  // For the clean-up of a test that failed: the router has no other parent then.
  const children = `/proc/${launcher.pid}/task/${launcher.pid}/children`;
  if (existsSync(children))
    pids.push(...readFileSync(children, "utf8").split(" ").filter(Boolean).map(Number));
  const metrics = await (await fetch(`http://${admin}/metrics`)).text();
  expect(metrics).toContain("lychgate_");
  return { launcher, admin, lines };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function isServing(admin: string): Promise<boolean> {
  return fetch(`http://${admin}/healthz`).then(
    (response) => response.ok,
    () => false,
  );
}

test("a launcher that is killed takes its router along, workers too", async () => {
  const { launcher, admin, lines } = await launchRouter("--workers", "2");
  expect(await isServing(admin)).toBe(true);
  launcher.kill("SIGKILL");
  await eventually(async () => !(await isServing(admin)), { timeoutMs: 30_000 });
  await eventually(() => lines.some((line) => line.includes("started this one is gone")), {
    timeoutMs: 30_000,
  });
});

test("SIGTERM to the launcher drains the router, and its exit code is the launcher's", async () => {
  const { launcher, lines } = await launchRouter();
  const exited = once(launcher, "exit");
  launcher.kill("SIGTERM");
  expect(await exited, lines.join("\n")).toEqual([0, null]);
  expect(lines.join("\n")).toContain("drained");
});

test("a short command ends by itself, and knows nothing of the pipe's variable", async () => {
  const child = launch("check-config", "--help");
  let said = "";
  child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  expect(await once(child, "close")).toEqual([0, null]);
  expect(said).toContain("check-config");
  const config = launch("check-config", "/dev/null");
  let fault = "";
  config.stderr?.on("data", (chunk: Buffer) => (fault += chunk.toString()));
  expect(await once(config, "close"), fault).toEqual([0, null]);
});
