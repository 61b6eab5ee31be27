import { parseArgs } from "node:util";
import type { Problem } from "./config-error.ts";
import type { RawValue, SourceReading } from "./raw-value.ts";
import { formerFlags } from "./former-names.ts";
import { fromText } from "./raw-value.ts";
import type { Setting } from "./settings.ts";
import { SETTINGS } from "./settings.ts";
import { nearest } from "./suggest.ts";

/** A flag that is not a setting: `--json`, `--admin URL`. */
export interface OwnFlag {
  /** Without dashes. */
  readonly name: string;
  readonly kind: "boolean" | "text";
  /** One character, for `-h`. */
  readonly short?: string;
  /** A text that may be given several times, each value counting. Defaults to false. */
  readonly repeatable?: boolean;
}

/** A command line, read. */
export interface ParsedFlags extends SourceReading {
  /** `--config FILE` */
  readonly file: string | undefined;
  /** The values of each own flag that was given, in order; none for a boolean. */
  readonly own: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
}

/** What a command line may hold. */
export interface FlagOptions {
  readonly own?: readonly OwnFlag[];
  /** Settings that are accepted as flags. Defaults to all of them. */
  readonly settings?: readonly Setting[];
  /** Whether `--config FILE` is accepted. Defaults to true. */
  readonly configFile?: boolean;
}

/**
 * Reads a command line (without program and command). Never throws: faults are returned as problems. A repeated
 * list flag adds up, any other repeated flag that takes a value is a fault; a setting's boolean may stand alone or as
 * `--flag=false`.
 */
export function parseFlags(argv: readonly string[], options: FlagOptions = {}): ParsedFlags {
  const own = options.own ?? [];
  const accepted = options.settings ?? SETTINGS;
  const settings = new Map(accepted.map((setting) => [setting.flag.slice(2), setting]));
  const former = formerFlags(accepted);
  const configFlag: readonly OwnFlag[] =
    (options.configFile ?? true) ? [{ name: "config", kind: "text" }] : [];
  const ownByName = new Map([...own, ...configFlag].map((flag) => [flag.name, flag]));

  const { tokens } = parseArgs({
    args: [...argv],
    tokens: true,
    // Not strict: faults are collected here, all of them and with a suggestion.
    strict: false,
    options: Object.fromEntries([
      ...[...settings, ...former].map(
        ([name, { kind }]) => [name, { type: kind === "boolean" ? "boolean" : "string" }] as const,
      ),
      ...[...ownByName.values()].map(
        ({ name, kind, short }) =>
          [name, { type: kind === "boolean" ? "boolean" : "string", ...(short && { short }) }] as const,
      ),
    ]),
  });

  const problems: Problem[] = [];
  const values = new Map<string, RawValue>();
  const given = new Map<string, readonly string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const origin = { kind: "flag", name: token.rawName } as const;
    const setting = settings.get(token.name) ?? former.get(token.name);
    const ownFlag = ownByName.get(token.name);
    if (!setting && !ownFlag) {
      problems.push({
        code: "unknown_key",
        origin,
        message: unknownFlag(token.rawName, [...settings.keys(), ...ownByName.keys()]),
      });
      continue;
    }
    const isBoolean = (setting?.kind ?? ownFlag?.kind) === "boolean";
    // `--listen --source none` has forgotten a value; `--listen=--x` is at least meant.
    if (!isBoolean && (token.value === undefined || (!token.inlineValue && token.value.startsWith("-")))) {
      problems.push({
        code: "missing_value",
        origin,
        key: setting?.key,
        message: `needs a value: ${token.rawName} ${setting?.placeholder ?? "<value>"}`,
      });
      continue;
    }
    if (ownFlag) {
      const earlier = given.get(token.name) ?? [];
      if (isBoolean && token.value !== undefined) {
        problems.push({ code: "invalid_value", origin, message: "takes no value" });
      } else if (earlier.length > 0 && !ownFlag.repeatable) {
        problems.push({ code: "duplicate_key", origin, message: "is given twice" });
      } else given.set(token.name, token.value === undefined ? earlier : [...earlier, token.value]);
      continue;
    }
    if (!setting) continue;
    const value = token.value === undefined ? true : fromText(setting, token.value);
    const earlier = values.get(setting.key);
    if (!earlier) {
      const formerName = settings.has(token.name) ? undefined : token.rawName;
      values.set(setting.key, { setting, value, origin, formerName });
    } else if (Array.isArray(earlier.value) && Array.isArray(value)) {
      values.set(setting.key, {
        ...earlier,
        value: [...(earlier.value as unknown[]), ...(value as unknown[])],
      });
    } else problems.push({ code: "duplicate_key", origin, key: setting.key, message: "is given twice" });
  }
  return {
    values: [...values.values()],
    problems,
    own: given,
    positionals,
    file: given.get("config")?.at(-1),
  };
}

function unknownFlag(rawName: string, known: readonly string[]): string {
  const near = nearest(rawName.replace(/^-+/, ""), known);
  return `unknown flag${near ? `; did you mean --${near}?` : ""}`;
}
