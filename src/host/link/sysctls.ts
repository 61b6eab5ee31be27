import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { HostError } from "../host-error.ts";
import type { NetworkNamespace } from "../iproute.ts";
import type { LinkSnapshot } from "./snapshot.ts";

const ROOT = "/proc/sys/net";
const FAMILIES = ["ipv4/conf", "ipv4/neigh", "ipv6/conf", "ipv6/neigh"];

/**
 * Left out: the first is set with the link (by this file it would make an address at once); the second can't be read before
 * it was set, and is a secret.
 */
const LEFT_OUT = new Set(["ipv6/conf/addr_gen_mode", "ipv6/conf/stable_secret"]);
/** The same setting in another unit: writing one writes the other. */
const SAME_AS_ANOTHER = /\/neigh\/(retrans_time|base_reachable_time)$/;

const LIMITS = { maxBuffer: 4 * 1024 * 1024, timeout: 30_000 };

type Sysctls = LinkSnapshot["sysctls"];

/** The link's own settings of the kernel: `ipv4/conf/proxy_arp` → `0`. Needs CAP_SYS_ADMIN for another namespace. */
export async function readSysctls(namespace: NetworkNamespace, link: string): Promise<Sysctls> {
  const folders = FAMILIES.map((family) => `${ROOT}/${family}/${link}`);
  // grep ends with 1 or 2 when some file can't be read or a family is switched off; what could be read is there.
  const { stdout } = await run(namespace, 'grep -rsH "" "$@"; true', folders);
  const found: Record<string, string> = {};
  for (const line of stdout.split("\n")) {
    const family = FAMILIES.find((name) => line.startsWith(`${ROOT}/${name}/${link}/`));
    if (family === undefined) continue;
    const rest = line.slice(`${ROOT}/${family}/${link}/`.length);
    const name = `${family}/${rest.slice(0, rest.indexOf(":"))}`;
    if (LEFT_OUT.has(name) || SAME_AS_ANOTHER.test(name)) continue;
    found[name] = rest.slice(rest.indexOf(":") + 1);
  }
  return found;
}

/** Writes those of `want` that are otherwise now. Throws `HostError` that names the first that could not be written. */
export async function writeSysctls(namespace: NetworkNamespace, link: string, want: Sysctls): Promise<void> {
  const have = await readSysctls(namespace, link);
  // What this kernel does not have it can't be given.
  const differing = Object.entries(want).filter(
    ([name, value]) => have[name] !== undefined && have[name] !== value,
  );
  if (differing.length === 0) return;
  const args = differing.flatMap(([name, value]) => [pathOf(name, link), value]);
  const script =
    'while [ "$#" -gt 1 ]; do printf "%s\\n" "$2" > "$1" || echo "$1" >&3; shift 2; done 3>&1 1>/dev/null';
  const { stdout, stderr } = await run(namespace, script, args);
  const [first] = stdout.split("\n");
  if (!first) return;
  throw new HostError("failed", `writing ${first}: ${stderr.trim().split("\n")[0] ?? "refused"}`, {
    fix: "see that /proc/sys can be written to and that CAP_NET_ADMIN is there",
  });
}

function pathOf(name: string, link: string): string {
  const slash = name.lastIndexOf("/");
  return `${ROOT}/${name.slice(0, slash)}/${link}${name.slice(slash)}`;
}

/** /proc/sys/net is that of the namespace of the process that opens it. */
async function run(
  namespace: NetworkNamespace,
  script: string,
  args: readonly string[],
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const shell = ["sh", "-c", script, "sh", ...args] as const;
  const [program, ...rest] =
    namespace.kind === "own"
      ? shell
      : (["nsenter", `--net=${pathOfNamespace(namespace)}`, "--", ...shell] as const);
  try {
    return await promisify(execFile)(program, rest, { ...LIMITS, env: { ...process.env, LC_ALL: "C" } });
  } catch (cause) {
    throw new HostError("failed", `reading or writing ${ROOT}: ${String(cause).split("\n")[0]}`, {
      cause,
      fix: "it needs util-linux's nsenter, and CAP_SYS_ADMIN to enter a namespace",
    });
  }
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
