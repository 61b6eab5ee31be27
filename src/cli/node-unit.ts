import { realpathSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { CommandFlag, Invocation } from "./command.ts";
import { CommandError, EXIT } from "./command.ts";

/** Flags of the commands that install a systemd unit. */
export const INSTALL_FLAGS: readonly CommandFlag[] = [
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
    description: "The unit that starts afterwards. (default kubelet.service)",
  },
  {
    name: "program",
    kind: "text",
    placeholder: "<path>",
    description: "The lychgate that the unit runs. (default: this one, by this Node)",
  },
];

/** What {@link INSTALL_FLAGS} say. Throws {@link CommandError} for a malformed one. */
export function unitPlaceOf(invocation: Invocation): {
  readonly root: string;
  readonly before: string;
  readonly program: readonly string[];
} {
  const before = valueOf(invocation, "before") ?? "kubelet.service";
  if (!/^[\w.@:-]{1,200}\.(service|target)$/.test(before))
    throw usage(`--before must be the name of a service or target unit; it is "${before}"`);
  const program = valueOf(invocation, "program");
  if (program !== undefined && !isAbsolute(program))
    throw usage(`--program must be an absolute path; it is "${program}"`);
  return {
    root: valueOf(invocation, "root") ?? "",
    before,
    program: program === undefined ? [process.execPath, realpathSync(process.argv[1] ?? "")] : [program],
  };
}

/** Prints what was done with a unit. */
export function sayInstalled(
  { io, flags }: Invocation,
  unit: string,
  installed: keyof typeof SAYINGS,
  whyNot: string,
): void {
  const line = `${unit}: ${SAYINGS[installed].replace("WHY", whyNot)}`;
  io.stdout.write(flags.own.has("json") ? `${JSON.stringify({ unit, installed })}\n` : `${line}\n`);
}

const SAYINGS = {
  installed: "installed",
  updated: "updated",
  unchanged: "nothing to change",
  removed: "removed: WHY",
  nothing: "not there, and WHY",
} as const;

function valueOf({ flags }: Invocation, name: string): string | undefined {
  const value = flags.own.get(name)?.at(-1);
  if (value === "") throw usage(`--${name} must not be empty`);
  return value;
}

function usage(message: string): CommandError {
  return new CommandError(EXIT.usage, message);
}
