import type { Writable } from "node:stream";
import type { OwnFlag, ParsedFlags } from "../config/flags.ts";
import type { LoadedConfig } from "../config/load.ts";
import type { Setting } from "../config/settings.ts";

/** Exit codes of every command. */
export const EXIT = {
  ok: 0,
  /** What was asked for failed, or the answer is no. */
  fault: 1,
  /** The command line itself is wrong. */
  usage: 2,
} as const;

/** The world of a command, passed in. */
export interface CommandIo {
  /** For data. */
  readonly stdout: Writable;
  /** For messages. */
  readonly stderr: Writable;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Returns a file's text or throws. */
  readonly readFile: (path: string) => string;
}

/** A flag of one command that is not a setting. */
export interface CommandFlag extends OwnFlag {
  /** `<url>`; empty for a boolean. */
  readonly placeholder: string;
  readonly description: string;
}

/** What a command gets to run with. */
export interface Invocation {
  readonly io: CommandIo;
  readonly flags: ParsedFlags;
  readonly positionals: readonly string[];
  /** Loads the configuration. `file` wins over `--config`. Throws `ConfigError`. */
  readonly load: (file?: string) => LoadedConfig;
}

/** One verb of the command line. */
export interface Command {
  readonly name: string;
  /** One line for the list of commands; no full stop. */
  readonly summary: string;
  /** Paragraphs below the usage line. */
  readonly details: string;
  /** What stands after the command, in order, such as `HOST`; all must be given. */
  readonly arguments: readonly string[];
  readonly flags: readonly CommandFlag[];
  /** Settings that are accepted as flags; with any, the configuration file is read too. */
  readonly settings: readonly Setting[];
  /** It always loads the configuration, so faults of the line can be told together with that's. */
  readonly loadsConfig?: boolean;
  /** Command lines (without the program) and what they do. */
  readonly examples: readonly (readonly [line: string, effect: string])[];
  /** It serves until it is stopped: a closed output does not end it. */
  readonly longRunning?: boolean;
  /** Resolves to the exit code. Throws {@link CommandError}, or `ConfigError`. */
  run(invocation: Invocation): Promise<number>;
}

/** A failure with a message for the person at the terminal: lower-case, begins with what was being done. */
export class CommandError extends Error {
  readonly code: "LYCHGATE_USAGE" | "LYCHGATE_COMMAND_FAILED";
  readonly exitCode: number;

  constructor(exitCode: typeof EXIT.fault | typeof EXIT.usage, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CommandError";
    this.code = exitCode === EXIT.usage ? "LYCHGATE_USAGE" : "LYCHGATE_COMMAND_FAILED";
    this.exitCode = exitCode;
  }
}

/** `--json`, as every command that prints data has it. */
export const JSON_FLAG: CommandFlag = {
  name: "json",
  kind: "boolean",
  placeholder: "",
  description: "Print JSON instead of text.",
};
