import type { Problem } from "./config-error.ts";
import { ConfigError, formatProblem } from "./config-error.ts";
import { formerNameWarning, withPresentValue } from "./former-names.ts";
import { FILE_VARIABLE, readEnvironment } from "./environment.ts";
import { readConfigFile } from "./file.ts";
import type { ParsedFlags } from "./flags.ts";
import type { Origin } from "./origins.ts";
import type { RawValue } from "./raw-value.ts";
import { checkValue } from "./raw-value.ts";
import type { Config, ConfigInput } from "./schema.ts";
import { configSchema } from "./schema.ts";
import { SETTINGS, settingOf } from "./settings.ts";
import { nearest } from "./suggest.ts";

/** Everything a configuration can come from, passed in. */
export interface ConfigSources {
  /** From `parseFlags`. */
  readonly flags: Pick<ParsedFlags, "values" | "problems" | "file">;
  /** `process.env`; only `LYCHGATE_*` is looked at. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Returns a file's text or throws. */
  readonly readFile: (path: string) => string;
  /** The configuration file; wins over `--config` and `LYCHGATE_CONFIG`. */
  readonly file?: string | undefined;
}

/** A configuration and where each of its values came from. */
export interface EffectiveConfig {
  /** Complete, valid and frozen. */
  readonly config: Config;
  /** By key (`watch.pageSize`); every key is present. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** The file that was read. */
  readonly file: string | undefined;
}

/** What the sources say, all of them valid. */
export interface LoadedConfig extends EffectiveConfig {
  /** What a person should change soon: names that a setting had before. One line each, without a full stop. */
  readonly warnings: readonly string[];
}

/**
 * Reads every source and lays them over each other: flags win over the environment, that over the file, that over
 * the defaults (docs/architecture.md#configuration). A list is replaced as a whole.
 *
 * @throws {ConfigError} with every fault of every source, those of values that another source overrides too.
 *
 * @example
 * ```ts
 * import { parseFlags } from "./flags.ts";
 * import { loadConfig } from "./load.ts";
 *
 * const { config, origins } = loadConfig({
 *   flags: parseFlags(["--listen", "127.0.0.1:8080"]),
 *   environment: { LYCHGATE_SOURCE: "none" },
 *   readFile: () => "",
 * });
 * console.log(config.listen, config.source, origins.get("source")?.kind);
 * // 127.0.0.1:8080 none environment
 * ```
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const environment = readEnvironment(sources.environment);
  const file = sources.file ?? sources.flags.file ?? environment.file;
  const fromFile =
    file === undefined ? { values: [], problems: [] } : readFileSource(file, sources, environment.file);
  const problems = [...sources.flags.problems, ...environment.problems, ...fromFile.problems];
  // Later ones win.
  const values = [...fromFile.values, ...environment.values, ...sources.flags.values];
  return { ...combine(values, problems), file };
}

/**
 * A complete configuration from an object, for programs and tests: `configFrom({ listen: "127.0.0.1:0" })`.
 *
 * @throws {ConfigError}
 *
 * @example
 * ```ts
 * import { configFrom } from "./load.ts";
 *
 * console.log(configFrom({ client: { maxConnections: 500 } }).client.maxConnections);
 * // 500
 * ```
 */
export function configFrom(input: ConfigInput = {}): Config {
  const origin = { kind: "object" } as const;
  const values: RawValue[] = [];
  const problems: Problem[] = [];
  const read = (key: string, value: unknown) => {
    const setting = settingOf(key);
    if (setting) values.push({ setting, value, origin });
    else if (isRecord(value) && SETTINGS.some(({ section }) => section === key)) {
      for (const [name, inner] of Object.entries(value))
        if (inner !== undefined) read(`${key}.${name}`, inner);
    } else {
      const near = nearest(
        key,
        SETTINGS.map((setting) => setting.key),
      );
      problems.push({
        code: "unknown_key",
        origin,
        message: `unknown key "${key}"${near ? `; did you mean "${near}"?` : ""}`,
      });
    }
  };
  for (const [name, value] of Object.entries(input)) if (value !== undefined) read(name, value);
  return combine(values, problems).config;
}

/** Lays checked values over the defaults, later ones over earlier ones. */
function combine(
  given: readonly RawValue[],
  earlierProblems: readonly Problem[],
): Pick<LoadedConfig, "config" | "origins" | "warnings"> {
  const values = given.map(withPresentValue);
  const problems = [...earlierProblems];
  const origins = new Map<string, Origin>(SETTINGS.map(({ key }) => [key, { kind: "default" }]));
  const input: Record<string, Record<string, unknown>> & Record<string, unknown> = {};
  const invalid = new Set<string>();
  for (const raw of values) {
    const checked = checkValue(raw);
    if ("problems" in checked) {
      problems.push(...checked.problems);
      invalid.add(raw.setting.key);
      continue;
    }
    const { key, section } = raw.setting;
    origins.set(key, raw.origin);
    if (section) (input[section] ??= {})[key.slice(section.length + 1)] = checked.value;
    else input[key] = checked.value as unknown as Record<string, unknown>;
  }
  const result = configSchema.safeParse(input);
  // Only what no single value shows is left to find here: pairs that do not go together.
  for (const issue of result.error?.issues ?? []) {
    const key = issue.path.join(".");
    const other = issue.code === "custom" ? String(issue.params?.["other"]) : key;
    // The default that stands in for a faulty value is nobody's choice.
    if (invalid.has(key) || invalid.has(other)) continue;
    const origin = [key, other].map((name) => origins.get(name)).find((found) => found?.kind !== "default");
    const message = `${key} ${issue.message}`;
    problems.push({ code: "conflicting_values", origin: origin ?? { kind: "default" }, key, message });
  }
  if (problems.length > 0 || !result.success) throw new ConfigError(problems);
  const warnings = values.flatMap((raw) => {
    const warning = formerNameWarning(raw);
    return warning ? [formatProblem(warning)] : [];
  });
  return { config: freeze(result.data), origins, warnings };
}

function readFileSource(
  path: string,
  sources: ConfigSources,
  fromEnvironment: string | undefined,
): ReturnType<typeof readConfigFile> {
  let text: string;
  try {
    text = sources.readFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const origin = { kind: "file", file: path, line: 1, column: 1 } as const;
    // A variable is the one that nobody sees on the command line.
    const named = path === fromEnvironment ? `the file that ${FILE_VARIABLE} names` : "the file";
    return {
      values: [],
      problems: [{ code: "unreadable_file", origin, message: `${named} can't be read: ${reason}` }],
    };
  }
  return readConfigFile(text, path);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) freeze(member);
    Object.freeze(value);
  }
  return value;
}
