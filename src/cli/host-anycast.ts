import type { AnycastSpec, AnycastStatus } from "../host-anycast.ts";
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
  "Reading needs no right; changing routes needs CAP_NET_ADMIN, and BIRD's control socket its group or root. See docs/host/anycast.md.";

/** `lychgate host anycast run`. */
export const hostAnycastRun: Command = {
  name: "host anycast run",
  summary: "keep anycast addresses announced while this node has a ready backend for them",
  details: `Watches the node's pods (or a file of backends), keeps a nexthop group and a host route for each committed address, and announces it through BIRD 2 while at least one backend is Ready and not told to end. It is withdrawn at BIRD before its backend goes. Serves /metrics, /status and /healthz on the spec's listen. Ends on SIGTERM. Exits 0 then, 1 when it can't start, 2 on a wrong flag.\n${NEEDS}`,
  arguments: [],
  flags: [SPEC_FLAG, NETNS_FLAG],
  settings: [],
  examples: [["host anycast run --spec /etc/lychgate/anycast.yaml", "what the DaemonSet runs"]],
  longRunning: true,
  async run(invocation) {
    const { runAnycast } = await import("../host-anycast.ts");
    return runAnycast(specPath(invocation), namespaceOf(invocation));
  },
};

/** `lychgate host anycast status`. */
export const hostAnycastStatus: Command = {
  name: "host anycast status",
  summary: "show each anycast address: announced or not, by which backends, and why not",
  details: `Asks the daemon on this node; when none answers, reads kernel and BIRD itself. Exits 0; 1 when something is wrong: with BIRD, with the API server, or with the last pass; 2 on a wrong flag.\n${NEEDS}`,
  arguments: [],
  flags: [SPEC_FLAG, NETNS_FLAG, JSON_FLAG],
  settings: [],
  examples: [
    ["host anycast status", "a table"],
    [
      "host anycast status --json | jq '.addresses[] | select(.announced | not)'",
      "what is withdrawn, and why",
    ],
  ],
  async run(invocation) {
    const { io, flags } = invocation;
    const { anycastStatus } = await import("../host-anycast.ts");
    const spec = await loadSpec(invocation);
    const status = await told(anycastStatus(spec, namespaceOf(invocation)));
    if (flags.own.has("json")) io.stdout.write(`${JSON.stringify(status, undefined, 2)}\n`);
    else printStatus(status, invocation);
    const isWell = status.bird === "" && status.api === "" && status.lastPass?.ok !== false;
    return isWell ? EXIT.ok : EXIT.fault;
  },
};

/** `lychgate host anycast check`. */
export const hostAnycastCheck: Command = {
  name: "host anycast check",
  summary: "validate an anycast spec",
  details:
    "Reads the spec, says what is wrong with it, and prints it with all defaults as JSON. Changes nothing. Exits 0, 1 when it is faulty, 2 on a wrong flag.",
  arguments: [],
  flags: [SPEC_FLAG, { ...JSON_FLAG, description: "Changes nothing: it is JSON." }],
  settings: [],
  examples: [["host anycast check --spec anycast.yaml", "before it is rolled out"]],
  async run(invocation) {
    invocation.io.stdout.write(`${JSON.stringify(await loadSpec(invocation), undefined, 2)}\n`);
    return EXIT.ok;
  },
};

async function loadSpec(invocation: Invocation): Promise<AnycastSpec> {
  const { loadAnycastSpec } = await import("../host-anycast.ts");
  return told(loadAnycastSpec(specPath(invocation)));
}

/** Turns the host tools' failures into one line at the terminal. */
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
