import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { eventually } from "../../support/eventually.ts";

const bin = resolve(import.meta.dirname, "../../../bin/lychgate.mjs");

/** A `lychgate demo` of its own process, as a user runs it. */
export interface DemoProcess {
  readonly pid: number;
  /** `host:port` of the three listeners. */
  readonly traffic: string;
  readonly peers: string;
  readonly admin: string;
  readonly kubeconfig: string;
  /** All that it wrote so far, one entry per line. */
  readonly lines: readonly string[];
  /** Ends it and removes what it wrote. */
  stop(): Promise<void>;
}

/** Starts the demo in a folder of its own, and waits until it says what to try. `wrapper`: a command to run it by. */
export async function startDemoProcess(
  addresses: { readonly host: string; readonly ports: readonly [number, number, number] },
  args: readonly string[],
  wrapper: readonly string[] = [],
): Promise<DemoProcess> {
  const { host, ports } = addresses;
  const folder = mkdtempSync(join(tmpdir(), "lychgate-demo-"));
  const listen = ["--listen", "--peer-listen", "--admin-listen"].flatMap((flag, index) => [
    flag,
    `${host}:${ports[index]}`,
  ]);
  const [program = "", ...rest] = [
    ...wrapper,
    process.execPath,
    bin,
    "demo",
    ...listen,
    "--access-log",
    "off",
    ...args,
  ];
  const child = spawn(program, rest, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  createInterface({ input: child.stderr }).on("line", (line) => lines.push(line));
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await eventually(
      () => {
        if (child.exitCode !== null) throw new Error(`the demo ended:\n${lines.join("\n")}`);
        return lines.some((line) => line.includes("Ctrl-C ends it"));
      },
      { timeoutMs: 20_000 },
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    pid: child.pid ?? 0,
    traffic: `${host}:${ports[0]}`,
    peers: `${host}:${ports[1]}`,
    admin: `${host}:${ports[2]}`,
    kubeconfig: join(folder, ".lychgate/kubeconfig"),
    lines,
    stop,
  };
}
