import { NodeToolError } from "../node-tool-error.ts";
import { quoted, type Task } from "../shell-script.ts";
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

/**
 * Reads the link's own settings of the kernel: `ipv4/conf/proxy_arp` → `0`. What can't be read, or a family that is switched off, is left out.
 */
export function readSysctls(link: string): Task<Sysctls> {
  return {
    command: `grep -rsH "" ${foldersOf(link)}; true`,
    input: "",
    isVital: false,
    read: ({ stdout }) => sysctlsIn(stdout, link),
  };
}

function sysctlsIn(printed: string, link: string): Sysctls {
  const found: Record<string, string> = {};
  for (const line of printed.split("\n")) {
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
 * Looks up each path that has another value than wanted, and writes what is wanted. What this kernel does not have it can't be given. `grep` reads and
 * compares: a shell's `read` takes one byte at a time, and these files give nothing to a second read. The values stand in a `case`: to cut one out
 * of a text of this size takes a shell 7 ms.
 */
function writeDiffering(folders: string, want: readonly (readonly [path: string, value: string])[]): string {
  const lines = want.map(([path, value]) => `${path}:${value}`).join("\n");
  return `
nl='
'
set -f; refused=0; old_ifs=$IFS; IFS=$nl
for line in $(grep -rsH "" ${folders} | grep -vxF -e ${quoted(lines)}); do
  path=\${line%%:*}
  case "$path" in
    ${want.map(([path, value]) => `${quoted(path)}) value=${quoted(value)} ;;`).join("\n    ")}
    *) continue ;;
  esac
  printf "%s\\n" "$value" > "$path" || { refused=1; printf "%s\\n" "$path"; }
done
set +f; IFS=$old_ifs
[ "$refused" -eq 0 ]`;
}

/** Writes those of `want` that are otherwise now. Throws `NodeToolError` that names the first that could not be written. */
export function writeSysctls(link: string, want: Sysctls): Task<void> {
  const values = Object.entries(want).map(([name, value]) => [pathOf(name, link), value] as const);
  return {
    command: values.length === 0 ? ":" : writeDiffering(foldersOf(link), values),
    input: "",
    isVital: true,
    read({ code, stdout, stderr }) {
      if (code === 0) return;
      const [first] = stdout.split("\n");
      throw new NodeToolError("failed", `writing ${first}: ${stderr.trim().split("\n")[0] || "refused"}`, {
        fix: "see that /proc/sys can be written to and that CAP_NET_ADMIN is there",
      });
    },
  };
}

function foldersOf(link: string): string {
  return FAMILIES.map((family) => quoted(`${ROOT}/${family}/${link}`)).join(" ");
}

function pathOf(name: string, link: string): string {
  const slash = name.lastIndexOf("/");
  return `${ROOT}/${name.slice(0, slash)}/${link}${name.slice(slash)}`;
}
