import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { onTestFinished } from "vitest";
import { IpRoute } from "../../../src/node/iproute.ts";

/** Why network namespaces can't be made here, or `undefined` when they can. For the names of skipped tests. */
export const NO_NAMESPACES: string | undefined = (() => {
  const name = `lych-probe-${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  if (made.error) return "iproute2 is not installed";
  if (made.status !== 0) return `no network namespaces: ${made.stderr.trim()} (needs root)`;
  spawnSync("ip", ["netns", "del", name]);
  return undefined;
})();

let made = 0;

/** A network namespace of a test's own, under /run/netns. */
export interface TestNamespace {
  readonly name: string;
  readonly ip: IpRoute;
  /** `/run/netns/NAME`. */
  readonly path: string;
  /** Runs `ip -n NAME …`, words separated by spaces. Throws on failure. */
  sh(command: string): string;
  /** Runs any program in it. */
  exec(program: string, ...args: string[]): string;
}

/** Makes a namespace, lo up, and deletes it (with all that is in it) when the test is over. `label` shows in its name. */
export function makeNamespace(label: string): TestNamespace {
  made += 1;
  const name = `lych-${process.pid}-${made}-${label}`;
  execFileSync("ip", ["netns", "add", name]);
  onTestFinished(() => deleteNamespace(name));
  const sh = (command: string) =>
    execFileSync("ip", ["-n", name, ...command.split(" ")], { encoding: "utf8", stdio: "pipe" });
  sh("link set lo up");
  return {
    name,
    ip: new IpRoute({ namespace: { kind: "name", name } }),
    path: `/run/netns/${name}`,
    sh,
    exec: (program, ...args) =>
      execFileSync("ip", ["netns", "exec", name, program, ...args], { encoding: "utf8", stdio: "pipe" }),
  };
}

/** Joins two namespaces by a veth pair, both ends up. */
export function joinByVeth(
  one: TestNamespace,
  oneName: string,
  other: TestNamespace,
  otherName: string,
): void {
  one.sh(`link add ${oneName} type veth peer name ${otherName} netns ${other.name}`);
  one.sh(`link set ${oneName} up`);
  other.sh(`link set ${otherName} up`);
}

function deleteNamespace(name: string): void {
  // Processes that a test left in it would keep it, and its links, alive.
  const left = spawnSync("ip", ["netns", "pids", name], { encoding: "utf8" }).stdout.trim();
  for (const pid of left.split("\n").filter(Boolean)) {
    if (readFileSync(`/proc/${pid}/stat`, "utf8").includes(` ${process.pid} `))
      process.kill(Number(pid), "SIGKILL");
  }
  spawnSync("ip", ["netns", "del", name]);
}
