import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { TEST_POD_CIDRS } from "./pod-cidrs.ts";

const bin = resolve(import.meta.dirname, "../../bin/lychgate.mjs");

/** A `lychgate serve` of its own process, as a user runs it. */
export interface RouterProcess {
  readonly process: ChildProcess;
  /** `host:port` of the three listeners, from its log. */
  readonly traffic: string;
  readonly peers: string;
  readonly admin: string;
  /** All that it wrote so far, one entry per line. */
  readonly stdout: string[];
  readonly stderr: string[];
  /** Resolves to the exit code, or the signal's name. */
  readonly exited: Promise<number | string | null>;
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts `lychgate serve`, on free ports unless `args` name others, for pods on loopback too, and waits until it listens. `openFiles`: how many files
 * it may have open; `nodeFlags`: what Node itself is told.
 */
export async function startRouterProcess(
  args: readonly string[],
  { openFiles, nodeFlags = [] }: { readonly openFiles?: number; readonly nodeFlags?: readonly string[] } = {},
): Promise<RouterProcess> {
  const ports = ["--listen", "--peer-listen", "--admin-listen"].flatMap((flag) =>
    args.includes(flag) ? [] : [flag, "127.0.0.1:0"],
  );
  const podCidrs = args.some((arg) => arg.startsWith("--routes-pod-cidrs"))
    ? []
    : TEST_POD_CIDRS.map((cidr) => `--routes-pod-cidrs=${cidr}`);
  const command = [
    process.execPath,
    ...nodeFlags,
    bin,
    "serve",
    ...ports,
    "--log-format",
    "json",
    ...podCidrs,
    ...args,
  ];
  const limit = openFiles === undefined ? "" : `ulimit -n ${openFiles} && `;
  const child = spawn("sh", ["-c", `${limit}exec "$@"`, "sh", ...command], {
    // What is for the tests alone: the router refuses variables that it does not know.
    env: Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("LYCHGATE_TEST_")),
    ),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stdout: string[] = [];
  const stderr: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => stdout.push(line));
  const exited = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | string | null);
  const listening = new Promise<Record<string, string>>((done, fail) => {
    createInterface({ input: child.stderr }).on("line", (line) => {
      stderr.push(line);
      if (line.includes("is listening")) done(JSON.parse(line) as Record<string, string>);
    });
    void exited.then((code) => fail(new Error(`lychgate serve ended with ${code}:\n${stderr.join("\n")}`)));
  });
  const { traffic = "", peers = "", admin = "" } = await listening;
  return {
    process: child,
    traffic,
    peers,
    admin,
    stdout,
    stderr,
    exited,
    kill: (signal) => void child.kill(signal),
  };
}

/** The value of one series of a Prometheus text, or 0 when it is absent. `labels` are matched as written. */
export function metricOf(text: string, name: string, labels = ""): number {
  const series = labels === "" ? name : `${name}{${labels}}`;
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}
