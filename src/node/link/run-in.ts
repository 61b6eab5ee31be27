import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { NetworkNamespace } from "../iproute.ts";

const LIMITS = { maxBuffer: 4 * 1024 * 1024, timeout: 30_000 };

/** Runs a program in a network namespace, with English words. Rejects as `execFile` does. */
export async function runIn(
  namespace: NetworkNamespace,
  command: readonly [string, ...string[]],
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const [program, ...args] =
    namespace.kind === "own"
      ? command
      : (["nsenter", `--net=${pathOfNamespace(namespace)}`, "--", ...command] as const);
  return promisify(execFile)(program, args, { ...LIMITS, env: { ...process.env, LC_ALL: "C" } });
}

/** Where the kernel shows a namespace to this process and to those that it starts. */
export function pathOfNamespace(namespace: NetworkNamespace): string {
  switch (namespace.kind) {
    case "own":
      return `/proc/${process.pid}/ns/net`;
    case "name":
      return `/run/netns/${namespace.name}`;
    case "path":
      return namespace.path;
  }
}
