import { realpathSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { StaticRoutesOptions, StaticRoutesReport } from "../host-static-routes.ts";
import type { Command, CommandFlag, Invocation } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { METRICS_FILE_FLAG, NETNS_FLAG, pathOf } from "./host-overlap.ts";
import { printable } from "./printable.ts";

const DEFAULT_FILE = "/etc/lychgate/static-routes.yaml";

const FILE_FLAG: CommandFlag = {
  name: "file",
  kind: "text",
  placeholder: "<path>",
  description: `The specification: YAML {enabled, routes: [{destination, gateway?, dev?, metric?}]}. (default ${DEFAULT_FILE})`,
};

const WAIT_FLAG: CommandFlag = {
  name: "wait-s",
  kind: "text",
  placeholder: "<number>",
  description:
    "How long to wait for a default route when an entry leaves out gateway or dev, 0 to 300. (default 30; plan: 0)",
};

const ABOUT =
  "Routes have IPv4 destinations only. What an entry leaves out of gateway and dev is taken from the default route. Its own routes are those with proto 76 in the main table; no other route is ever changed.";

/** `lychgate host static-routes plan`. */
export const hostStaticRoutesPlan: Command = {
  name: "host static-routes plan",
  summary: "show what apply would change",
  details: `Compares the specification with the kernel's routes and prints a diff: + to add, ~ to replace, - to remove, = as it should be, ! in the way of another's route. Changes nothing and needs no privilege.\n${ABOUT}\nExits 0, or 1 when something is in the way or could not be found out.`,
  arguments: [],
  flags: [FILE_FLAG, WAIT_FLAG, JSON_FLAG, METRICS_FILE_FLAG, NETNS_FLAG],
  settings: [],
  examples: [["host static-routes plan --file routes.yaml", "what would change"]],
  run: (invocation) => act(invocation, "plan"),
};

/** `lychgate host static-routes apply`. */
export const hostStaticRoutesApply: Command = {
  name: "host static-routes apply",
  summary: "make the kernel have the static routes of a specification",
  details: `Adds what is missing, replaces what is wrong, and removes what left the specification; all of it when enabled is false. Doing it again changes nothing.\n${ABOUT}\nNeeds CAP_NET_ADMIN. Exits 1 when a route could not be made; the others are made all the same.`,
  arguments: [],
  flags: [FILE_FLAG, WAIT_FLAG, JSON_FLAG, METRICS_FILE_FLAG, NETNS_FLAG],
  settings: [],
  examples: [
    ["host static-routes apply", `from ${DEFAULT_FILE}`],
    ["host static-routes apply --file routes.yaml --wait-s 5", "waits 5 seconds for a default route"],
  ],
  run: (invocation) => act(invocation, "apply"),
};

/** `lychgate host static-routes remove`. */
export const hostStaticRoutesRemove: Command = {
  name: "host static-routes remove",
  summary: "remove every route that apply made",
  details: "Removes the routes with proto 76 from the main table, and no other. Needs CAP_NET_ADMIN.",
  arguments: [],
  flags: [JSON_FLAG, METRICS_FILE_FLAG, NETNS_FLAG],
  settings: [],
  examples: [["host static-routes remove", "as if none had ever been applied"]],
  run: (invocation) => act(invocation, "remove"),
};

/** `lychgate host static-routes install`. */
export const hostStaticRoutesInstall: Command = {
  name: "host static-routes install",
  summary: "have systemd apply the routes before the kubelet, at every boot",
  details: `Copies the specification to ${DEFAULT_FILE}, writes lychgate-static-routes.service, a oneshot without any script that runs apply and then host overlap, has the kubelet require it, and starts it. Run it again after a change: the unit runs again, the kubelet does not. A specification without routes removes unit, copy and routes.`,
  arguments: [],
  flags: [
    FILE_FLAG,
    {
      name: "root",
      kind: "text",
      placeholder: "<dir>",
      description: "Write below this folder, the root of an image, and start nothing.",
    },
    {
      name: "before",
      kind: "text",
      placeholder: "<unit>",
      description: "The unit that needs the routes. (default kubelet.service)",
    },
    {
      name: "overlap-mode",
      kind: "text",
      placeholder: "warn|strict",
      description: "With strict, an overlap fails the unit, and the kubelet does not start. (default warn)",
    },
    {
      name: "cidr",
      kind: "text",
      repeatable: true,
      placeholder: "<cidr>",
      description: "A CIDR that the overlap check looks at beside the destinations; repeatable.",
    },
    {
      name: "program",
      kind: "text",
      placeholder: "<path>",
      description: "The lychgate that the unit runs. (default: this one, by this Node)",
    },
  ],
  settings: [],
  examples: [
    ["host static-routes install --file routes.yaml", "this node"],
    ["host static-routes install --file routes.yaml --root ./rootfs --program /usr/bin/lychgate", "an image"],
  ],
  async run(invocation) {
    const before = pathOf(invocation, "before") ?? "kubelet.service";
    if (!/^[\w.@:-]{1,200}\.(service|target)$/.test(before))
      throw usage(`--before must be the name of a service or target unit; it is "${before}"`);
    const mode = pathOf(invocation, "overlap-mode") ?? "warn";
    if (mode !== "warn" && mode !== "strict")
      throw usage(`--overlap-mode must be warn or strict; it is "${mode}"`);
    const program = pathOf(invocation, "program");
    if (program !== undefined && !isAbsolute(program))
      throw usage(`--program must be an absolute path; it is "${program}"`);
    const { runInstall } = await import("../host-static-routes.ts");
    const end = await runInstall({
      file: pathOf(invocation, "file") ?? DEFAULT_FILE,
      root: pathOf(invocation, "root") ?? "",
      before,
      overlapMode: mode,
      cidrs: (invocation.flags.own.get("cidr") ?? []).flatMap((text) => text.split(",")),
      program: program === undefined ? [process.execPath, realpathSync(process.argv[1] ?? "")] : [program],
    });
    if ("failure" in end) throw new CommandError(EXIT.fault, lines(end.failure));
    invocation.io.stdout.write(`lychgate-static-routes.service: ${SAYINGS[end.installed]}\n`);
    return EXIT.ok;
  },
};

const SAYINGS = {
  installed: "installed",
  updated: "updated",
  unchanged: "nothing to change",
  removed: "removed: no route is wanted",
  nothing: "not there, and no route is wanted",
} as const;

async function act(invocation: Invocation, action: StaticRoutesOptions["action"]): Promise<number> {
  const { io, flags } = invocation;
  const waitMs = waitOf(invocation, action === "apply" ? 30 : 0) * 1000;
  const { runStaticRoutes } = await import("../host-static-routes.ts");
  const end = await runStaticRoutes({
    action,
    file: pathOf(invocation, "file") ?? DEFAULT_FILE,
    waitMs,
    namespace: pathOf(invocation, "netns"),
    metricsFile: pathOf(invocation, "metrics-file"),
  });
  if ("failure" in end) throw new CommandError(EXIT.fault, lines(end.failure));
  const { report } = end;
  io.stdout.write(flags.own.has("json") ? `${JSON.stringify(report, undefined, 2)}\n` : asText(report));
  return report.steps.some(({ kind }) => kind === "conflict") ? EXIT.fault : EXIT.ok;
}

function asText({ action, steps }: StaticRoutesReport): string {
  const changed = steps.filter(({ kind }) => kind !== "keep").length;
  const done = action === "plan" ? "to change" : "changed";
  const summary = changed === 0 ? "nothing to change" : `${changed} ${done}`;
  return `${steps.map(({ text }) => `${printable(text)}\n`).join("")}${summary}\n`;
}

function waitOf(invocation: Invocation, byDefault: number): number {
  const given = invocation.flags.own.get("wait-s")?.at(-1);
  if (given === undefined) return byDefault;
  const value = Number(given);
  if (/^\d{1,3}$/.test(given) && value <= 300) return value;
  throw usage(`--wait-s must be an integer from 0 to 300; it is "${given}"`);
}

/** A message of several lines, each fit for a terminal. */
function lines(text: string): string {
  return text.split("\n").map(printable).join("\n  ");
}

function usage(message: string): CommandError {
  return new CommandError(EXIT.usage, message);
}
