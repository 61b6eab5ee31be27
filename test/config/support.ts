import type { LoadedConfig } from "../../src/config/load.ts";
import { loadConfig } from "../../src/config/load.ts";
import { ConfigError, formatProblem } from "../../src/config/config-error.ts";
import { parseFlags } from "../../src/config/flags.ts";

/** What a test gives in place of the world; `file` is the text of `lychgate.yaml`. */
export interface Given {
  readonly argv?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly file?: string;
}

/** Loads as the command line does. */
export function load({ argv = [], environment = {}, file }: Given): LoadedConfig {
  return loadConfig({
    flags: parseFlags(argv),
    environment,
    readFile: () => file ?? "",
    file: file === undefined ? undefined : "lychgate.yaml",
  });
}

/** The faults of a configuration, as a person reads them. */
export function faults(given: Given): string[] {
  try {
    load(given);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(formatProblem);
    throw error;
  }
  return [];
}
