import type { RoutesPage } from "../admin/api-types.ts";
import type { CidrVerdict, OverlapEnd, OverlapOptions, OverlapReport } from "../node/overlap/command.ts";
import type { Command, CommandFlag, Invocation } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { INSTALL_FLAGS, sayInstalled, unitPlaceOf } from "./node-unit.ts";
import { printable, table } from "./printable.ts";
import { ADMIN_FLAG, ADMIN_SETTINGS, type AdminPort, adminPort, getJson } from "./router-client.ts";

const TIMEOUT_MS = 10_000;
const PAGE_SIZE = 1000;

/** `--netns`, for commands that look into a network namespace. */
export const NETNS_FLAG: CommandFlag = {
  name: "netns",
  kind: "text",
  placeholder: "<name|path>",
  description:
    "Network namespace: a name under /run/netns, or a path such as /proc/1/ns/net. Needs CAP_SYS_ADMIN. (default: its own)",
};

/** `--metrics-file`, for commands that count. */
export const METRICS_FILE_FLAG: CommandFlag = {
  name: "metrics-file",
  kind: "text",
  placeholder: "<path>",
  description: "Write metrics there, for node_exporter's textfile collector: a name that ends in .prom.",
};

const CIDR_FLAG: CommandFlag = {
  name: "cidr",
  kind: "text",
  repeatable: true,
  placeholder: "<cidr>",
  description: "An expected CIDR; repeatable, or several with commas between. IPv4 and IPv6.",
};

const ALSO_FLAG: CommandFlag = {
  name: "also-interface",
  kind: "text",
  repeatable: true,
  placeholder: "<name>",
  description:
    "An interface that is right beside the default route's, such as the CNI's: lxc* takes all that begin so. Repeatable.",
};

/** `lychgate node overlap`. */
export const nodeOverlap: Command = {
  name: "node overlap",
  summary: "does the kernel send the cluster's CIDRs out of the default route's interface?",
  details:
    "Works out from all rules and routing tables where this node sends each address of the expected CIDRs, asks the kernel itself for some of them, and compares with the interface of the default route. Names the route that takes a CIDR, or a part of it, elsewhere, and the entry of static-routes that would fix it.\nThe CIDRs are those given; else it asks a running router for the pod IPs that it knows and takes the /24 (IPv6: /64) around each.\nExits 0 when all is well; in mode warn also when not; in mode strict 1 when a CIDR is not ok. 1 when the check could not be done, 2 on a wrong flag or CIDR. With --every-s it runs until it is stopped, and exits 0. Needs no privilege but for --netns.",
  arguments: [],
  flags: [
    CIDR_FLAG,
    {
      name: "mode",
      kind: "text",
      placeholder: "warn|strict",
      description: "Whether something wrong makes the exit code 1. (default warn)",
    },
    ALSO_FLAG,
    JSON_FLAG,
    {
      name: "marker-file",
      kind: "text",
      placeholder: "<path>",
      description:
        "Keep a file there, with the report as JSON, while something is wrong; remove it when not.",
    },
    {
      name: "every-s",
      kind: "text",
      placeholder: "<number>",
      description:
        "Check again and again, so many seconds apart, until it is stopped; print what changes. 1 to 86400.",
    },
    {
      name: "wait-s",
      kind: "text",
      placeholder: "<number>",
      description: "How long to wait for a default route to compare with, 0 to 300. (default 0)",
    },
    METRICS_FILE_FLAG,
    NETNS_FLAG,
    ADMIN_FLAG,
  ],
  settings: ADMIN_SETTINGS,
  examples: [
    ["node overlap --cidr 10.244.0.0/16 --cidr 10.96.0.0/12", "this node, for a person"],
    ["node overlap --cidr 10.244.0.0/16 --mode strict --json", "for a script: exits 1 on an overlap"],
    ["node overlap --admin http://127.0.0.1:9902", "the pods that the router on this node knows"],
  ],
  longRunning: true,
  async run(invocation) {
    const { flags } = invocation;
    const mode = modeOf(invocation);
    const given = {
      mode,
      alsoInterfaces: listOf(invocation, "also-interface"),
      namespace: pathOf(invocation, "netns"),
      markerFile: pathOf(invocation, "marker-file"),
      metricsFile: pathOf(invocation, "metrics-file"),
    };
    const everyMs = everyMsOf(invocation);
    const waitMs = waitMsOf(invocation);
    const options = async () => ({ ...given, waitMs, expected: await expectedOf(invocation) });
    const { runOverlap, watchOverlap } = await import("../node/overlap/command.ts");
    if (everyMs !== undefined) {
      await watchOverlap(options, everyMs, tellChanges(invocation));
      return EXIT.ok;
    }
    const end = await runOverlap(await options());
    if ("failure" in end)
      throw new CommandError(end.invalid ? EXIT.usage : EXIT.fault, printable(end.failure));
    invocation.io.stdout.write(asked(end.report, flags.own.has("json")));
    return end.report.ok || mode === "warn" ? EXIT.ok : EXIT.fault;
  },
};

/** `lychgate node overlap install`. */
export const nodeOverlapInstall: Command = {
  name: "node overlap install",
  summary: "have systemd check for overlaps before the kubelet, at every boot",
  details:
    "Writes lychgate-overlap.service, a oneshot without any script that runs node overlap, and starts it. With --mode strict the kubelet requires it: it does not start while a CIDR is not ok. It comes after lychgate-static-routes.service when that is there, and needs no static routes. When the network is mended, systemctl start kubelet checks again. --remove takes the unit away.\nExits 0; 1 on a failure, also when the check of mode strict fails right now; 2 on a wrong flag or CIDR.",
  arguments: [],
  flags: [
    CIDR_FLAG,
    {
      name: "mode",
      kind: "text",
      placeholder: "warn|strict",
      description: "With strict, an overlap keeps the kubelet from starting. (default warn)",
    },
    ALSO_FLAG,
    { name: "remove", kind: "boolean", placeholder: "", description: "Take the unit away." },
    ...INSTALL_FLAGS,
    JSON_FLAG,
  ],
  settings: [],
  examples: [
    ["node overlap install --mode strict --cidr 10.244.0.0/16,10.96.0.0/12", "this node"],
    [
      "node overlap install --cidr 10.244.0.0/16 --root ./rootfs --program /usr/bin/lychgate",
      "a node's image",
    ],
  ],
  async run(invocation) {
    const cidrs = listOf(invocation, "cidr");
    const remove = invocation.flags.own.has("remove");
    if (cidrs.length === 0 && !remove)
      throw new CommandError(EXIT.usage, "--cidr is missing: the CIDRs that the check looks at");
    const { runOverlapInstall } = await import("../node/overlap/command.ts");
    const end = await runOverlapInstall({
      ...unitPlaceOf(invocation),
      mode: modeOf(invocation),
      cidrs,
      alsoInterfaces: listOf(invocation, "also-interface"),
      remove,
    });
    if ("failure" in end)
      throw new CommandError(end.invalid ? EXIT.usage : EXIT.fault, printable(end.failure));
    sayInstalled(invocation, "lychgate-overlap.service", end.installed, "--remove was given");
    return EXIT.ok;
  },
};

function asked(report: OverlapReport, json: boolean): string {
  return json ? `${JSON.stringify(report, undefined, 2)}\n` : reportText(report);
}

/** Prints what differs from what was printed last; of JSON each report, one in a line. */
function tellChanges({ io, flags }: Invocation): (end: OverlapEnd) => void {
  let last = "";
  return (end) => {
    const failed = "failure" in end;
    const text = failed
      ? `lychgate node overlap: ${printable(end.failure)}\n`
      : flags.own.has("json")
        ? `${JSON.stringify(end.report)}\n`
        : reportText(end.report);
    if (text !== last) (failed ? io.stderr : io.stdout).write(text);
    last = text;
  };
}

function everyMsOf(invocation: Invocation): number | undefined {
  const given = pathOf(invocation, "every-s");
  if (given === undefined) return undefined;
  const value = Number(given);
  if (/^\d{1,5}$/.test(given) && value >= 1 && value <= 86_400) return value * 1000;
  throw new CommandError(EXIT.usage, `--every-s must be an integer from 1 to 86400; it is "${given}"`);
}

function waitMsOf(invocation: Invocation): number {
  const given = pathOf(invocation, "wait-s");
  if (given === undefined) return 0;
  if (/^\d{1,3}$/.test(given) && Number(given) <= 300) return Number(given) * 1000;
  throw new CommandError(EXIT.usage, `--wait-s must be an integer from 0 to 300; it is "${given}"`);
}

/** The value of a flag that must not be empty when given. */
export function pathOf({ flags }: Invocation, name: string): string | undefined {
  const value = flags.own.get(name)?.at(-1);
  if (value === "") throw new CommandError(EXIT.usage, `--${name} must not be empty`);
  return value;
}

function modeOf(invocation: Invocation): OverlapOptions["mode"] {
  const mode = pathOf(invocation, "mode") ?? "warn";
  if (mode === "warn" || mode === "strict") return mode;
  throw new CommandError(EXIT.usage, `--mode must be warn or strict; it is "${mode}"`);
}

function listOf({ flags }: Invocation, name: string): string[] {
  const values = (flags.own.get(name) ?? []).flatMap((text) => text.split(","));
  const found = values.map((value) => value.trim());
  if (found.includes("")) throw new CommandError(EXIT.usage, `--${name} must not be empty`);
  return found;
}

async function expectedOf(invocation: Invocation): Promise<OverlapOptions["expected"]> {
  const cidrs = listOf(invocation, "cidr");
  if (cidrs.length > 0) return { cidrs };
  const admin = adminPort(invocation);
  const podIps: string[] = [];
  let after: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(after !== undefined && { after }) });
    const page = await askRouter(admin, `/api/routes?${query.toString()}`);
    podIps.push(...page.routes.map(({ ip }) => ip));
    after = page.next;
  } while (after !== undefined);
  return { podIps };
}

async function askRouter(admin: AdminPort, path: string): Promise<RoutesPage> {
  try {
    return await getJson<RoutesPage>(admin, path, TIMEOUT_MS);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const message = `${error.message}; or say which CIDRs to check with --cidr`;
    throw new CommandError(EXIT.fault, message, { cause: error });
  }
}

function reportText({ defaults, cidrs, ok }: OverlapReport): string {
  const lines = defaults.map(
    ({ family, routes }) => `IPv${family}: ${routes.join("; ") || "no default route"}`,
  );
  if (cidrs.length === 0) return "no CIDRs to check: the router knows no pod\n";
  const heading = ["CIDR", "VERDICT", "PART", "BY", "INTERFACE", "EXPECTED"];
  let text = `${printable(lines.join("\n")).replaceAll("\\u{a}", "\n")}\n\n`;
  text += table([heading, ...cidrs.flatMap(rows)]);
  if (ok) return `${text}\nok: everything leaves by the interface of the default route\n`;
  const wrong = cidrs.filter(({ verdict }) => verdict !== "ok").length;
  text += cidrs.length === 1 ? "\nthe CIDR is not ok\n" : `\n${wrong} of ${cidrs.length} CIDRs are not ok\n`;
  const fixes = new Set(cidrs.flatMap(({ findings }) => findings.map(({ fix }) => fix.text)));
  if (cidrs.some(({ verdict }) => verdict === "no_default"))
    fixes.add("add a default route, or name the interfaces that are right with --also-interface");
  for (const fix of fixes) text += `fix: ${printable(fix)}\n`;
  return text;
}

function rows({ cidr, verdict, expected, findings, moreFindings }: CidrVerdict): string[][] {
  const own = expected.join(", ");
  if (findings.length === 0) return [[cidr, verdict, "", "", verdict === "ok" ? own : "", own]];
  const found = findings.map((finding) => [
    cidr,
    finding.verdict,
    `${finding.parts.join(", ")}${finding.moreParts > 0 ? ` and ${finding.moreParts} more` : ""}`,
    finding.condition ? `${finding.route} for ${finding.condition}` : finding.route,
    finding.interfaces.join(", "),
    own,
  ]);
  return moreFindings > 0 ? [...found, [cidr, verdict, `${moreFindings} more`, "", "", own]] : found;
}
