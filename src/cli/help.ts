import { SECTION_TITLES } from "../config/schema.ts";
import type { Setting } from "../config/settings.ts";
import type { Command } from "./command.ts";

const WIDTH = 100;
const FLAG_COLUMN = 40;

/** The help of the program: what `lychgate --help` prints. */
export function programHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 3;
  return [
    "lychgate: an edge router for agent sandboxes that never lets a dead route come back to life.",
    "",
    "Usage: lychgate <command> [flags]",
    "",
    "Commands:",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`),
    "",
    "Examples:",
    ...examples([
      ["demo", "a whole cluster in one process to play with"],
      ["serve --config /etc/lychgate/lychgate.yaml", "the router"],
      ["explain 3000-mybox.example.com", "where a request would go, and why"],
    ]),
    "",
    'Run "lychgate <command> --help" for the flags of a command. Every setting is a flag, an environment',
    "variable (LYCHGATE_…) and a key of the file; flags win over the environment, that over the file.",
    "",
  ].join("\n");
}

/** The help of commands that share their first word, such as `node`. */
export function groupHelp(group: string, commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 3;
  return [
    `Usage: lychgate ${group} <command> [flags]`,
    "",
    "Commands:",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`),
    "",
    `Run "lychgate ${group} <command> --help" for the flags of a command.`,
    "",
  ].join("\n");
}

/** The help of one command, its option list generated from the schema. */
export function commandHelp(command: Command): string {
  // The file is either an argument or `--config`.
  const takesFile = command.settings.length > 0 && !command.arguments.includes("FILE");
  const usage = ["lychgate", command.name, ...command.arguments, "[flags]"].join(" ");
  const lines = [`Usage: ${usage}`, "", ...command.details.split("\n").flatMap((text) => wrap(text, WIDTH))];
  lines.push("", "Flags:");
  for (const { name, short, placeholder, description } of command.flags) {
    lines.push(...option(`${short ? `-${short}, ` : ""}--${name}`, placeholder, description));
  }
  if (takesFile) {
    lines.push(...option("--config", "<path>", "Configuration file (YAML). Also LYCHGATE_CONFIG."));
  }
  lines.push(...option("-h, --help", "", "Print this help."));
  for (const [section, title] of Object.entries(SECTION_TITLES)) {
    const settings = command.settings.filter((setting) => setting.section === section);
    if (settings.length > 0) lines.push("", `${title}:`, ...settings.flatMap(settingOption));
  }
  lines.push("", "Examples:", ...examples(command.examples), "");
  return lines.join("\n");
}

function settingOption(setting: Setting): string[] {
  const byDefault = setting.kind === "list" ? "repeatable" : `default ${String(setting.default) || "empty"}`;
  const flag = setting.kind === "boolean" ? `${setting.flag}[=false]` : setting.flag;
  return option(flag, setting.placeholder, `${firstSentence(setting.description)} (${byDefault})`);
}

function option(flag: string, placeholder: string, description: string): string[] {
  const head = `  ${flag}${placeholder ? ` ${placeholder}` : ""}`;
  const [first = "", ...rest] = wrap(plain(description), WIDTH - FLAG_COLUMN);
  const indented = rest.map((line) => " ".repeat(FLAG_COLUMN) + line);
  if (head.length < FLAG_COLUMN - 1) return [head.padEnd(FLAG_COLUMN) + first, ...indented];
  return [head, " ".repeat(FLAG_COLUMN) + first, ...indented];
}

function examples(list: Command["examples"]): string[] {
  return list.flatMap(([line, effect]) => [`  lychgate ${line}`, `      ${effect}`]);
}

function firstSentence(markdown: string): string {
  return /^.*?\.(?= |$)/.exec(markdown)?.[0] ?? markdown;
}

function plain(markdown: string): string {
  return markdown.replaceAll("`", "");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line ? `${line} ${word}` : word;
  }
  return [...lines, line];
}
