import type { PreviewInput, PreviewLink } from "../admin/api-types.ts";
import type { Command } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";
import { requestOf } from "./pasted-request.ts";
import { printable } from "./printable.ts";
import { ADMIN_FLAG, ADMIN_SETTINGS, adminPort, getJson } from "./router-client.ts";

const TIMEOUT_MS = 10_000;

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `lychgate preview HOST`. */
export const preview: Command = {
  name: "preview",
  summary: "make a link that lets its holder in to one port of a sandbox for a while",
  details:
    "Asks the admin port of a running router, which must have a token (admin.tokenFile) and keys for links (access.previewKeyFiles). Prints the link; whoever has it is let in until it expires, the sandbox ends, or its annotation lychgate.dev/preview-epoch changes.",
  arguments: ["HOST"],
  flags: [
    ADMIN_FLAG,
    {
      name: "port",
      kind: "text",
      placeholder: "<number>",
      description: "Port of the sandbox. (default: the one that HOST begins with)",
    },
    {
      name: "for",
      kind: "text",
      placeholder: "<time>",
      description:
        "How long the link counts, such as 30m, 2h or 7d; at most access.previewMaxMs. (default 1h)",
    },
    {
      name: "path",
      kind: "text",
      placeholder: "<path>",
      description: "Let in to this path and what lies below it only, such as /docs.",
    },
    {
      name: "method",
      kind: "text",
      repeatable: true,
      placeholder: "<method>",
      description: "Allow this method only; repeatable. GET allows HEAD too. (default: all)",
    },
    JSON_FLAG,
  ],
  settings: ADMIN_SETTINGS,
  examples: [
    ["preview 3000-mybox.sandbox.example.com --for 2h", "a link to port 3000"],
    [
      "preview mybox.sandbox.example.com --port 8080 --path /docs --method GET",
      "to read one part of port 8080",
    ],
  ],
  async run(invocation) {
    const { io, flags, positionals } = invocation;
    const last = (name: string): string | undefined => flags.own.get(name)?.at(-1);
    const port = last("port");
    if (port !== undefined && !/^[1-9]\d{0,4}$/.test(port)) {
      throw new CommandError(EXIT.usage, `--port must be a number from 1 to 65535; it is "${port}"`);
    }
    const time = last("for");
    const path = last("path");
    const methods = flags.own.get("method");
    const input: PreviewInput = {
      host: requestOf(positionals[0] ?? "").host,
      ...(port !== undefined && { port: Number(port) }),
      ...(time !== undefined && { forSeconds: secondsOf(time) }),
      ...(path !== undefined && { pathPrefix: path }),
      ...(methods !== undefined && { methods: methods.map((method) => method.toUpperCase()) }),
    };
    const link = await getJson<PreviewLink>(adminPort(invocation), "/api/preview", TIMEOUT_MS, input);
    io.stdout.write(
      flags.own.has("json") ? `${JSON.stringify(link, undefined, 2)}\n` : `${printable(link.url)}\n`,
    );
    if (!flags.own.has("json")) {
      io.stderr.write(
        printable(`lets in to port ${link.port} of ${link.sandbox} until ${link.expiresAt}`) + "\n",
      );
    }
    return EXIT.ok;
  },
};

function secondsOf(text: string): number {
  const [, count = "", unit = ""] = /^([1-9]\d{0,8})([smhd])$/.exec(text) ?? [];
  const seconds = UNIT_SECONDS[unit];
  if (seconds === undefined) {
    throw new CommandError(EXIT.usage, `--for must be a time such as 30m, 2h or 7d; it is "${text}"`);
  }
  return Number(count) * seconds;
}
