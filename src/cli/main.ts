import { ConfigError, formatProblem } from "../config/config-error.ts";
import type { ParsedFlags } from "../config/flags.ts";
import { parseFlags } from "../config/flags.ts";
import { loadConfig } from "../config/load.ts";
import { nearest } from "../config/suggest.ts";
import { checkConfig } from "./check-config.ts";
import type { Command, CommandIo } from "./command.ts";
import { CommandError, EXIT } from "./command.ts";
import { demo } from "./demo.ts";
import { explain } from "./explain.ts";
import { health } from "./health.ts";
import {
  nodeAnycastCheck,
  nodeAnycastGuard,
  nodeAnycastRun,
  nodeAnycastStatus,
  nodeAnycastWithdraw,
} from "./node-anycast.ts";
import {
  nodeLinkMove,
  nodeLinkPlan,
  nodeLinkRestore,
  nodeLinkRollback,
  nodeLinkSnapshot,
} from "./node-link.ts";
import { nodeOverlap, nodeOverlapInstall } from "./node-overlap.ts";
import {
  nodeStaticRoutesApply,
  nodeStaticRoutesInstall,
  nodeStaticRoutesPlan,
  nodeStaticRoutesRemove,
} from "./node-static-routes.ts";
import { commandHelp, groupHelp, programHelp } from "./help.ts";
import { load } from "./load.ts";
import { preview } from "./preview.ts";
import { routes } from "./routes.ts";
import { serve } from "./serve.ts";
import { top } from "./top.ts";
import { version } from "./version.ts";

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  serve,
  demo,
  load,
  checkConfig,
  explain,
  preview,
  routes,
  top,
  health,
  version,
  nodeOverlap,
  nodeOverlapInstall,
  nodeStaticRoutesPlan,
  nodeStaticRoutesApply,
  nodeStaticRoutesRemove,
  nodeStaticRoutesInstall,
  nodeLinkSnapshot,
  nodeLinkPlan,
  nodeLinkMove,
  nodeLinkRestore,
  nodeLinkRollback,
  nodeAnycastRun,
  nodeAnycastStatus,
  nodeAnycastCheck,
  nodeAnycastGuard,
  nodeAnycastWithdraw,
];

/** What `node` was called before 0.2 (CHANGELOG.md). */
const FORMER_GROUP = "host";

/** The command that an `argv` (without program) names, if it names one: the longest name that it begins with. */
export function commandOf(argv: readonly string[]): Command | undefined {
  return COMMANDS.filter(({ name }) => name.split(" ").every((word, index) => word === argv[index])).reduce<
    Command | undefined
  >(
    (longest, command) => (longest && longest.name.length > command.name.length ? longest : command),
    undefined,
  );
}

/** The commands below a first word that is none by itself, such as `node`. */
function groupOf(word: string | undefined): readonly Command[] {
  return COMMANDS.filter(({ name }) => name.startsWith(`${word} `));
}

/** Runs the command line `argv` (without program). Resolves to the exit code; rejects only on a bug. */
export async function main(argv: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = argv;
  if (name === FORMER_GROUP) {
    io.stderr.write("lychgate host is called lychgate node now; the old name ends with the next version\n");
    return main(["node", ...rest], io);
  }
  const command = commandOf(argv);
  if (command) return runCommand(command, argv.slice(command.name.split(" ").length), io);
  if (name === "--version" || name === "-v") return runCommand(version, rest, io);
  if (name === "help" || name === "--help" || name === "-h") return help(rest, io);
  if (name === undefined) {
    io.stderr.write(programHelp(COMMANDS));
    return EXIT.usage;
  }
  if (name.startsWith("-")) {
    return usageFault(io, `the command comes first: lychgate serve ${name} …`, "lychgate --help");
  }
  if (groupOf(name).length > 0) return runGroup(name, rest, io);
  return unknownCommand(name, COMMANDS, io);
}

/** `lychgate node …` without a command of that group. */
function runGroup(group: string, [name]: readonly string[], io: CommandIo): number {
  if (name === "--help" || name === "-h") return help([group], io);
  if (name === undefined || name.startsWith("-")) {
    io.stderr.write(groupHelp(group, groupOf(group)));
    return EXIT.usage;
  }
  return unknownCommand(`${group} ${name}`, groupOf(group), io);
}

function unknownCommand(name: string, known: readonly Command[], io: CommandIo): number {
  const near = nearest(
    name,
    known.map((command) => command.name),
  );
  return usageFault(
    io,
    `unknown command "${name}"${near ? `; did you mean "${near}"?` : ""}`,
    "lychgate --help",
  );
}

function help(words: readonly string[], io: CommandIo): number {
  const [name] = words;
  if (name === undefined || name.startsWith("-")) {
    io.stdout.write(programHelp(COMMANDS));
    return EXIT.ok;
  }
  const command = commandOf(words);
  const group = groupOf(name);
  if (command) io.stdout.write(commandHelp(command));
  else if (group.length > 0) io.stdout.write(groupHelp(name, group));
  else return usageFault(io, `unknown command "${name}"`, "lychgate --help");
  return EXIT.ok;
}

async function runCommand(command: Command, argv: readonly string[], io: CommandIo): Promise<number> {
  const flags = parseFlags(argv, {
    own: [...command.flags, { name: "help", kind: "boolean", short: "h" }],
    settings: command.settings,
    configFile: command.settings.length > 0,
  });
  if (flags.own.has("help")) return help(command.name.split(" "), io);
  const moreHelp = `lychgate ${command.name} --help`;
  try {
    // These say what is wrong with the line itself, so they come before what the line asks for.
    const misplaced = misplacedArguments(command, flags);
    if (misplaced) throw new CommandError(EXIT.usage, misplaced);
    if (!command.loadsConfig && flags.problems.length > 0) throw new ConfigError(flags.problems);
    const { environment, readFile } = io;
    return await command.run({
      io,
      flags,
      positionals: flags.positionals,
      load: (file) => {
        const loaded = loadConfig({ flags, environment, readFile, file });
        for (const warning of loaded.warnings) io.stderr.write(`${warning}\n`);
        return loaded;
      },
    });
  } catch (error) {
    if (error instanceof ConfigError) return configFault(command, error, io, moreHelp);
    if (!(error instanceof CommandError)) throw error;
    if (error.exitCode === EXIT.usage) return usageFault(io, error.message, moreHelp);
    io.stderr.write(`lychgate ${command.name}: ${error.message}\n`);
    return error.exitCode;
  }
}

function misplacedArguments(command: Command, flags: ParsedFlags): string | undefined {
  // What stands after an unknown flag is most likely its value.
  if (flags.problems.length > 0) return undefined;
  const missing = command.arguments[flags.positionals.length];
  if (missing !== undefined)
    return `${missing} is missing: lychgate ${command.name} ${command.arguments.join(" ")}`;
  const extra = flags.positionals[command.arguments.length];
  return extra === undefined ? undefined : `unexpected argument "${extra}"`;
}

function configFault(command: Command, { problems }: ConfigError, io: CommandIo, moreHelp: string): number {
  for (const problem of problems) io.stderr.write(`${formatProblem(problem)}\n`);
  const fromFlags = problems.filter(({ origin }) => origin.kind === "flag").length;
  const where = fromFlags === problems.length ? "on the command line" : "in the configuration";
  io.stderr.write(
    `lychgate ${command.name}: ${problems.length} ${problems.length === 1 ? "fault" : "faults"} ${where}\n`,
  );
  if (fromFlags === 0) return EXIT.fault;
  io.stderr.write(`Run "${moreHelp}" for the flags.\n`);
  return EXIT.usage;
}

function usageFault(io: CommandIo, message: string, moreHelp: string): number {
  io.stderr.write(`lychgate: ${message}\nRun "${moreHelp}" for more.\n`);
  return EXIT.usage;
}
