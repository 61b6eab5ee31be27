import { NodeToolError } from "../node-tool-error.ts";
import type { NetworkNamespace } from "../iproute.ts";
import { runIn } from "./run-in.ts";
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

/**
 * Compares each path with its value, by what grep printed of all, and writes those that differ: one process for all. What this kernel does not have
 * it can't be given. (`read` of a shell would take one byte at a time, and /proc gives the first only.)
 */
const WRITE_DIFFERING = `
nl='
'
have="$nl$(grep -rsH "" "$1" "$2" "$3" "$4")$nl"
shift 4
{
  while [ "$#" -gt 1 ]; do
    case "$have" in
      *"$nl$1:$2$nl"*) ;;
      *"$nl$1:"*) printf "%s\\n" "$2" > "$1" || echo "$1" >&3 ;;
    esac
    shift 2
  done
} 3>&1 1>/dev/null`;

/** Writes those of `want` that are otherwise now. Throws `NodeToolError` that names the first that could not be written. */
export async function writeSysctls(namespace: NetworkNamespace, link: string, want: Sysctls): Promise<void> {
  if (Object.keys(want).length === 0) return;
  const folders = FAMILIES.map((family) => `${ROOT}/${family}/${link}`);
  const pairs = Object.entries(want).flatMap(([name, value]) => [pathOf(name, link), value]);
  const { stdout, stderr } = await run(namespace, WRITE_DIFFERING, [...folders, ...pairs]);
  const [first] = stdout.split("\n");
  if (!first) return;
  throw new NodeToolError("failed", `writing ${first}: ${stderr.trim().split("\n")[0] ?? "refused"}`, {
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
  try {
    return await runIn(namespace, ["sh", "-c", script, "sh", ...args]);
  } catch (cause) {
    const said = (cause as { readonly stderr?: unknown }).stderr;
    const words = typeof said === "string" && said.trim() !== "" ? said : String(cause);
    throw new NodeToolError("failed", `reading or writing ${ROOT}: ${words.trim().split("\n")[0]}`, {
      cause,
      fix: "it needs util-linux's nsenter, and CAP_SYS_ADMIN to enter a namespace",
    });
  }
}
