import { existsSync } from "node:fs";
import type { AnycastSpec, AnycastStatus } from "../node/anycast/command.ts";
import type { Command, CommandFlag, Invocation } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { printable, table } from "./printable.ts";

const SPEC_FLAG: CommandFlag = {
  name: "spec",
  kind: "text",
  placeholder: "<path>",
  description: "The spec, YAML. (default /etc/lychgate/anycast.yaml)",
};

const NETNS_FLAG: CommandFlag = {
  name: "netns",
  kind: "text",
  placeholder: "<name or path>",
  description: "Network namespace of the node's routes; needs CAP_SYS_ADMIN. (default: this process's own)",
};

const NEEDS =
  "Reading needs no right; changing routes needs CAP_NET_ADMIN, and BIRD's control socket its group or root. See docs/node/anycast.md.";

/** `lychgate node anycast run`. */
export const nodeAnycastRun: Command = {
  name: "node anycast run",
  summary: "keep anycast addresses announced while this node has a ready backend for them",
  details: `Watches the node's pods (or a file of backends), keeps a nexthop group and a host route for each committed address, and announces it through BIRD 2 while at least one backend is Ready and not told to end. It is withdrawn at BIRD before its backend goes. Serves /metrics, /status and /healthz on the spec's listen. Ends on SIGTERM. Exits 0 then, 1 when it can't start, 2 on a wrong flag.\n${NEEDS}`,
  arguments: [],
  flags: [SPEC_FLAG, NETNS_FLAG],
  settings: [],
  examples: [["node anycast run --spec /etc/lychgate/anycast.yaml", "what the DaemonSet runs"]],
  longRunning: true,
  async run(invocation) {
    const { runAnycast } = await import("../node/anycast/command.ts");
    return runAnycast(specPath(invocation), namespaceOf(invocation));
  },
};

/** `lychgate node anycast status`. */
export const nodeAnycastStatus: Command = {
  name: "node anycast status",
  summary: "show each anycast address: announced or not, by which backends, and why not",
  details: `Asks the daemon on this node; when none answers, reads kernel and BIRD itself. Exits 0; 1 when something is wrong: with BIRD, with the API server, or with the last pass; 2 on a wrong flag.\n${NEEDS}`,
  arguments: [],
  flags: [SPEC_FLAG, NETNS_FLAG, JSON_FLAG],
  settings: [],
  examples: [
    ["node anycast status", "a table"],
    [
      "node anycast status --json | jq '.addresses[] | select(.announced | not)'",
      "what is withdrawn, and why",
    ],
  ],
  async run(invocation) {
    const { io, flags } = invocation;
    const { anycastStatus } = await import("../node/anycast/command.ts");
    const spec = await loadSpec(invocation);
    const status = await told(anycastStatus(spec, namespaceOf(invocation)));
    if (flags.own.has("json")) io.stdout.write(`${JSON.stringify(status, undefined, 2)}\n`);
    else printStatus(status, invocation);
    const isWell = status.bird === "" && status.api === "" && status.lastPass?.ok !== false;
    return isWell ? EXIT.ok : EXIT.fault;
  },
};

/** `lychgate node anycast check`. */
export const nodeAnycastCheck: Command = {
  name: "node anycast check",
  summary: "validate an anycast spec",
  details:
    "Reads the spec, says what is wrong with it, and prints it with all defaults as JSON. Changes nothing. Exits 0, 1 when it is faulty, 2 on a wrong flag.",
  arguments: [],
  flags: [SPEC_FLAG, { ...JSON_FLAG, description: "Changes nothing: it is JSON." }],
  settings: [],
  examples: [["node anycast check --spec anycast.yaml", "before it is rolled out"]],
  async run(invocation) {
    invocation.io.stdout.write(`${JSON.stringify(await loadSpec(invocation), undefined, 2)}\n`);
    return EXIT.ok;
  },
};

const ROUTER_FILE = "/run/lychgate/router.conf";

/** `lychgate node anycast guard`. */
export const nodeAnycastGuard: Command = {
  name: "node anycast guard",
  summary: "withdraw what a killed or hanging daemon or router left announced, within 3 seconds",
  details: `Watches the heartbeats of the anycast daemon and of a router with anycast.addresses, which beat every half second. When one stops without having ended in order, all that it announced is withdrawn at BIRD: its protocols are disabled and its file is emptied. Who comes back announces anew. It is a process of its own, so that what kills the other does not kill it; give it a container or a unit of its own. Ends on SIGTERM.\nExits 0 then, 1 when the spec is faulty, 2 on a wrong flag. It needs BIRD's control socket and the folder of its files, and no other right. See docs/node/anycast.md.`,
  arguments: [],
  flags: [
    { ...SPEC_FLAG, description: `${SPEC_FLAG.description} Without that file only the router is guarded.` },
    {
      name: "router-include-file",
      kind: "text",
      placeholder: "<path>",
      description: `The router's anycast.includeFile. (default ${ROUTER_FILE})`,
    },
  ],
  settings: [],
  examples: [["node anycast guard", "beside the daemon and the router"]],
  longRunning: true,
  async run(invocation) {
    const { runGuard } = await import("../node/anycast/command.ts");
    const path = specPath(invocation);
    const isThere = invocation.flags.own.has("spec") || existsSync(path);
    return runGuard({
      ...(isThere && { spec: await loadSpec(invocation) }),
      routerIncludeFile: invocation.flags.own.get("router-include-file")?.at(-1) ?? ROUTER_FILE,
    });
  },
};

/** `lychgate node anycast withdraw`. */
export const nodeAnycastWithdraw: Command = {
  name: "node anycast withdraw",
  summary: "withdraw at BIRD all that the daemon announced, now",
  details:
    "Disables the daemon's protocols at BIRD and empties its file; the kernel's routes stay, so that what still arrives is served. A daemon that runs announces anew within seconds. As ExecStopPost of its unit, with --after-failure, it acts only when the service did not end well ($SERVICE_RESULT of systemd).\nExits 0; 1 when BIRD could not be told; 2 on a wrong flag.",
  arguments: [],
  flags: [
    SPEC_FLAG,
    {
      name: "after-failure",
      kind: "boolean",
      placeholder: "",
      description: "Do nothing when $SERVICE_RESULT is success.",
    },
    JSON_FLAG,
  ],
  settings: [],
  examples: [["node anycast withdraw", "before the node is taken away"]],
  async run(invocation) {
    const { io, flags } = invocation;
    const isNeeded = !flags.own.has("after-failure") || io.environment["SERVICE_RESULT"] !== "success";
    if (isNeeded) {
      const { withdrawDaemon } = await import("../node/anycast/command.ts");
      await told(withdrawDaemon(await loadSpec(invocation)));
    }
    const words = isNeeded ? "withdrawn" : "not needed: the service ended well";
    io.stdout.write(flags.own.has("json") ? `${JSON.stringify({ withdrawn: isNeeded })}\n` : `${words}\n`);
    return EXIT.ok;
  },
};

async function loadSpec(invocation: Invocation): Promise<AnycastSpec> {
  const { loadAnycastSpec } = await import("../node/anycast/command.ts");
  return told(loadAnycastSpec(specPath(invocation)));
}

/** Turns the node tools' failures into one line at the terminal. */
async function told<T>(doing: Promise<T>): Promise<T> {
  try {
    return await doing;
  } catch (cause) {
    const { message, fix } = cause as { readonly message: string; readonly fix?: unknown };
    const text = typeof fix === "string" && fix !== "" ? `${message}; ${fix}` : message;
    throw new CommandError(EXIT.fault, printable(text), { cause });
  }
}

function specPath({ flags }: Invocation): string {
  return flags.own.get("spec")?.at(-1) ?? "/etc/lychgate/anycast.yaml";
}

function namespaceOf({
  flags,
}: Invocation):
  | { readonly kind: "own" }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "path"; readonly path: string } {
  const given = flags.own.get("netns")?.at(-1);
  if (given === undefined) return { kind: "own" };
  return given.includes("/") ? { kind: "path", path: given } : { kind: "name", name: given };
}

function printStatus(status: AnycastStatus, { io }: Invocation): void {
  const heading = ["ADDRESS", "STATE", "BACKENDS", "WHY"];
  const rows = status.addresses.map(({ address, announced, members, why }) => [
    address,
    announced === null ? "unknown" : announced ? "announced" : "withdrawn",
    members
      .map(
        ({ backend, nexthop, device, eligible }) =>
          `${backend?.replace(/ \(.*\)$/, "") ?? nexthop}${device && `@${device}`}${eligible ? "" : " (leaving)"}`,
      )
      .join(", "),
    why,
  ]);
  io.stdout.write(table([heading, ...rows]));
  const notes = [
    status.from === "daemon" ? "as the daemon says" : "no daemon answered: read from kernel and BIRD",
    ...(status.lastPass
      ? [
          `last pass ${status.lastPass.at}, ${status.lastPass.tookMs} ms${status.lastPass.ok ? "" : `: ${status.lastPass.fault}`}`,
        ]
      : []),
    ...(status.api === "" ? [] : [status.api]),
    // The last pass may have told it already.
    ...(status.bird === "" || status.lastPass?.fault.includes(status.bird) ? [] : [status.bird]),
    ...status.advice,
  ];
  for (const note of notes) io.stderr.write(`${printable(note)}\n`);
}
