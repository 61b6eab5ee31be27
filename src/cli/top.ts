import type { Status } from "../admin/status-types.ts";
import type { Command, CommandIo, Invocation } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { type AdminPort, ADMIN_FLAG, ADMIN_SETTINGS, adminPort, getJson } from "./router-client.ts";
import { screenOf } from "./top-screen.ts";

const TIMEOUT_MS = 5_000;

/** `lychgate top`: the status page in a terminal. */
export const top: Command = {
  name: "top",
  summary: "watch a running router: health, traffic, latency, routes, churn, peers, workers",
  details:
    "Asks the admin port of a running router every second and draws what the status page shows; q or Ctrl-C ends it. Where standard output is no terminal, or with --once or --json, it asks once and exits: 0 when the router answered, 1 when it did not.",
  arguments: [],
  flags: [
    ADMIN_FLAG,
    {
      name: "once",
      kind: "boolean",
      placeholder: "",
      description: "Print one picture and exit.",
    },
    {
      name: "interval-ms",
      kind: "text",
      placeholder: "<ms>",
      description: "Time between two pictures, 200 to 3600000. (default 1000)",
    },
    JSON_FLAG,
  ],
  settings: ADMIN_SETTINGS,
  examples: [
    ["top", "the router on this machine"],
    ["top --admin http://10.0.0.7:9902 --once", "another machine's, one picture"],
    ["top --json | jq .health", "whether it is well and why not, for a program"],
  ],
  async run(invocation) {
    const { io, flags } = invocation;
    const intervalMs = intervalOf(invocation);
    const admin = adminPort(invocation);
    if (flags.own.has("json")) {
      const status = await statusOf(admin);
      io.stdout.write(`${JSON.stringify(status, undefined, 2)}\n`);
      return EXIT.ok;
    }
    const stdout = io.stdout as CommandIo["stdout"] & { isTTY?: boolean; columns?: number };
    if (flags.own.has("once") || stdout.isTTY !== true) {
      const color = stdout.isTTY === true && !hasValue(io.environment["NO_COLOR"]);
      const lines = screenOf(await statusOf(admin), { columns: stdout.columns ?? 80, color });
      stdout.write(lines.map((line) => `${line}\n`).join(""));
      return EXIT.ok;
    }
    // The first answer, or why there is none, before the screen is taken over.
    const first = await statusOf(admin);
    const { TopTerminal } = await import("./top-terminal.ts");
    const terminal = new TopTerminal(
      stdout as unknown as NodeJS.WriteStream,
      !hasValue(io.environment["NO_COLOR"]),
    );
    return terminal.run(first, () => statusOf(admin), intervalMs);
  },
};

function statusOf(admin: AdminPort): Promise<Status> {
  return getJson<Status>(admin, "/api/status", TIMEOUT_MS);
}

/** NO_COLOR counts when it is present and not empty (no-color.org). */
function hasValue(text: string | undefined): boolean {
  return text !== undefined && text !== "";
}

function intervalOf({ flags }: Invocation): number {
  const text = flags.own.get("interval-ms")?.at(-1) ?? "1000";
  const value = Number(text);
  if (/^\d{1,7}$/.test(text) && value >= 200 && value <= 3_600_000) return value;
  throw new CommandError(EXIT.usage, `--interval-ms must be an integer from 200 to 3600000; it is "${text}"`);
}
