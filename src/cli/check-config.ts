import { ConfigError, formatProblem } from "../config/config-error.ts";
import { formatOrigin } from "../config/origins.ts";
import { renderYaml, shownConfig } from "../config/render.ts";
import { SETTINGS } from "../config/settings.ts";
import type { Command } from "./command.ts";
import { CommandError, EXIT, JSON_FLAG } from "./command.ts";

/** `lychgate check-config FILE`. */
export const checkConfig: Command = {
  name: "check-config",
  summary: "validate a configuration and print what is in effect, and why",
  details:
    "Reads FILE together with the environment and flags, as serve would. Prints the effective configuration, each value with its origin, as YAML that can be loaded again; or every fault with its file:line:column. Exits 0 when valid, 1 on a fault, 2 when the command line is wrong. FILE may be /dev/null to check environment and flags alone.",
  arguments: ["FILE"],
  flags: [JSON_FLAG],
  settings: SETTINGS,
  loadsConfig: true,
  examples: [
    ["check-config lychgate.yaml", "validate, and see what is in effect"],
    ["check-config lychgate.yaml --json | jq .origins", "where each value comes from"],
  ],
  run({ io, flags, positionals, load }) {
    if (flags.file !== undefined) {
      throw new CommandError(EXIT.usage, "--config does not go with FILE: name one file only");
    }
    const json = flags.own.has("json");
    try {
      const loaded = load(positionals[0]);
      if (json) {
        const origins = Object.fromEntries(
          [...loaded.origins].map(([key, origin]) => [key, formatOrigin(origin)]),
        );
        io.stdout.write(
          `${JSON.stringify({ valid: true, config: shownConfig(loaded.config), origins }, undefined, 2)}\n`,
        );
      } else io.stdout.write(renderYaml(loaded));
      return Promise.resolve(EXIT.ok);
    } catch (error) {
      // With --json the faults are the data that was asked for.
      if (
        json &&
        error instanceof ConfigError &&
        !error.problems.some(({ origin }) => origin.kind === "flag")
      ) {
        const problems = error.problems.map((problem) => ({ ...problem, text: formatProblem(problem) }));
        io.stdout.write(`${JSON.stringify({ valid: false, problems }, undefined, 2)}\n`);
        return Promise.resolve(EXIT.fault);
      }
      throw error;
    }
  },
};
