import type { StaticRoutesOptions, StaticRoutesReport } from "../node/static-routes/command.ts";
import type { Command, CommandFlag, Invocation } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { METRICS_FILE_FLAG, NETNS_FLAG, pathOf } from "./node-overlap.ts";
import { INSTALL_FLAGS, sayInstalled, unitPlaceOf } from "./node-unit.ts";
import { printable } from "./printable.ts";

const DEFAULT_FILE = "/etc/lychgate/static-routes.yaml";

const FILE_FLAG: CommandFlag = {
  name: "file",
  kind: "text",
  placeholder: "<path>",
  description: `The specification: YAML {enabled, routes: [{destination, gateway?, dev?, metric?}]}; gateway none: on the link itself. (default ${DEFAULT_FILE})`,
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

/** `lychgate node static-routes plan`. */
export const nodeStaticRoutesPlan: Command = {
  name: "node static-routes plan",
  summary: "show what apply would change",
  details: `Compares the specification with the kernel's routes and prints a diff: + to add, ~ to replace, - to remove, = as it should be, ! another's route is in the way or the kernel would refuse it. Changes nothing and needs no privilege.\n${ABOUT}\nExits 0; 1 when something can't be done or could not be found out; 2 on a wrong flag.`,
  arguments: [],
  flags: [FILE_FLAG, WAIT_FLAG, JSON_FLAG, METRICS_FILE_FLAG, NETNS_FLAG],
  settings: [],
  examples: [["node static-routes plan --file routes.yaml", "what would change"]],
  run: (invocation) => act(invocation, "plan"),
};

/** `lychgate node static-routes apply`. */
export const nodeStaticRoutesApply: Command = {
  name: "node static-routes apply",
  summary: "make the kernel have the static routes of a specification",
  details: `Adds what is missing, replaces what is wrong, and removes what left the specification; all of it when enabled is false. Doing it again changes nothing.\n${ABOUT}\nNeeds CAP_NET_ADMIN. Exits 0; 1 when a route could not be made (the others are made all the same, and named); 2 on a wrong flag.`,
  arguments: [],
  flags: [FILE_FLAG, WAIT_FLAG, JSON_FLAG, METRICS_FILE_FLAG, NETNS_FLAG],
  settings: [],
  examples: [
    ["node static-routes apply", `from ${DEFAULT_FILE}`],
    ["node static-routes apply --file routes.yaml --wait-s 5", "waits 5 seconds for a default route"],
  ],
  run: (invocation) => act(invocation, "apply"),
};

/** `lychgate node static-routes remove`. */
export const nodeStaticRoutesRemove: Command = {
  name: "node static-routes remove",
  summary: "remove every route that apply made",
  details:
    "Removes the routes with proto 76 from the main table, and no other. Needs CAP_NET_ADMIN. Exits 0, 1 on a failure, 2 on a wrong flag.",
  arguments: [],
  flags: [JSON_FLAG, METRICS_FILE_FLAG, NETNS_FLAG],
  settings: [],
  examples: [["node static-routes remove", "as if none had ever been applied"]],
  run: (invocation) => act(invocation, "remove"),
};

/** `lychgate node static-routes install`. */
export const nodeStaticRoutesInstall: Command = {
  name: "node static-routes install",
  summary: "have systemd apply the routes before the kubelet, at every boot",
  details: `Copies the specification to ${DEFAULT_FILE}, writes lychgate-static-routes.service, a oneshot without any script that runs apply, has the kubelet require it, and starts it. Run it again after a change: the unit runs again, the kubelet does not; a unit that an earlier --before named is let go of. A specification without routes removes unit, copy and routes. The check for overlaps is a unit of its own: host overlap install.\nExits 0, 1 on a failure, 2 on a wrong flag.`,
  arguments: [],
  flags: [FILE_FLAG, ...INSTALL_FLAGS, JSON_FLAG],
  settings: [],
  examples: [
    ["node static-routes install --file routes.yaml", "this node"],
    ["node static-routes install --file routes.yaml --root ./rootfs --program /usr/bin/lychgate", "an image"],
  ],
  async run(invocation) {
    const place = unitPlaceOf(invocation);
    const { runInstall } = await import("../node/static-routes/command.ts");
    const end = await runInstall({
      file: pathOf(invocation, "file") ?? DEFAULT_FILE,
      ...place,
    });
    if ("failure" in end) throw new CommandError(EXIT.fault, lines(end.failure));
    sayInstalled(invocation, "lychgate-static-routes.service", end.installed, "no route is wanted");
    return EXIT.ok;
  },
};

async function act(invocation: Invocation, action: StaticRoutesOptions["action"]): Promise<number> {
  const { io, flags } = invocation;
  const waitMs = waitOf(invocation, action === "apply" ? 30 : 0) * 1000;
  const { runStaticRoutes } = await import("../node/static-routes/command.ts");
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
  return report.steps.some(({ kind }) => kind === "conflict" || kind === "refused") ? EXIT.fault : EXIT.ok;
}

function asText({ action, steps }: StaticRoutesReport): string {
  const stuck = steps.filter(({ kind }) => kind === "conflict" || kind === "refused").length;
  const changed = steps.filter(({ kind }) => kind !== "keep").length - stuck;
  const done = action === "plan" ? "to change" : "changed";
  const summary = `${changed === 0 ? "nothing to change" : `${changed} ${done}`}${stuck > 0 ? `, ${stuck} can't be made` : ""}`;
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
