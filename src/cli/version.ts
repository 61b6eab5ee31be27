import type { Command } from "./command.ts";
import { EXIT, JSON_FLAG } from "./command.ts";
import { VERSION } from "../system/version.ts";

/** `lychgate version`, and `lychgate --version`. */
export const version: Command = {
  name: "version",
  summary: "print the version",
  details: "Prints Lychgate's version and Node's.",
  arguments: [],
  flags: [JSON_FLAG],
  settings: [],
  examples: [["version --json", "for a program"]],
  run({ io, flags }) {
    const lychgate = VERSION;
    const node = process.version;
    io.stdout.write(
      flags.own.has("json")
        ? `${JSON.stringify({ lychgate, node })}\n`
        : `lychgate ${lychgate} (node ${node})\n`,
    );
    return Promise.resolve(EXIT.ok);
  },
};
