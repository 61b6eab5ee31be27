/** Where a command runs: this process's network namespace, one by its name under /run/netns, or one by a path. */
export type NetworkNamespace =
  | { readonly kind: "own" }
  | { readonly kind: "name"; readonly name: string }
  /** `/proc/PID/ns/net`, a bind mount … */
  | { readonly kind: "path"; readonly path: string };

/** The command line that runs `ip` there. */
export function ipIn(namespace: NetworkNamespace, args: readonly string[]): [string, ...string[]] {
  switch (namespace.kind) {
    case "own":
      return ["ip", ...args];
    case "name":
      return ["ip", "-n", namespace.name, ...args];
    case "path":
      // `ip -n` takes names only (docs/node/kernel.md#iproute2).
      return ["nsenter", `--net=${namespace.path}`, "--", "ip", ...args];
  }
}

/** A shell there that reads its script from its standard input. */
export function shellIn(namespace: NetworkNamespace): [string, ...string[]] {
  if (namespace.kind === "own") return ["sh"];
  return ["nsenter", `--net=${pathOfNamespace(namespace)}`, "--", "sh"];
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
