import { readFileSync } from "node:fs";
import type { Command } from "./command.ts";
import { EXIT, JSON_FLAG } from "./command.ts";

/** Lychgate's version, from its package. */
function lychgateVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}

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
    const lychgate = lychgateVersion();
    const node = process.version;
    io.stdout.write(
      flags.own.has("json")
        ? `${JSON.stringify({ lychgate, node })}\n`
        : `lychgate ${lychgate} (node ${node})\n`,
    );
    return Promise.resolve(EXIT.ok);
  },
};
