import type { EffectiveConfig } from "./load.ts";
import { formatOrigin } from "./origins.ts";
import type { Config } from "./schema.ts";
import type { Setting, SettingValue } from "./settings.ts";
import { SETTINGS } from "./settings.ts";

/** The value of a setting in a configuration. */
export function valueOf(config: Config, setting: Setting): SettingValue {
  const section: Readonly<Record<string, unknown>> = setting.section
    ? (config[setting.section as keyof Config] as unknown as Record<string, unknown>)
    : config;
  return section[
    setting.section ? setting.key.slice(setting.section.length + 1) : setting.key
  ] as SettingValue;
}

/** What stands in place of a secret that is set. */
export const REDACTED = "(set, not shown)";

/** The value of a setting as it may be shown: {@link REDACTED} for a secret that is set. */
export function shownValueOf(config: Config, setting: Setting): SettingValue {
  const value = valueOf(config, setting);
  return setting.secret && value !== "" ? REDACTED : value;
}

/** The configuration as it may be shown: in the form of the file, without secrets. */
export function shownConfig(config: Config): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const setting of SETTINGS) {
    const { key, section } = setting;
    if (section === "") shown[key] = shownValueOf(config, setting);
    else {
      const members = (shown[section] ??= {}) as Record<string, unknown>;
      members[key.slice(section.length + 1)] = shownValueOf(config, setting);
    }
  }
  return shown;
}

/**
 * The effective configuration as YAML that can be loaded again, each value with its origin as a comment:
 * `listen: ":7788" # default`. A secret that is set stands there as a comment without its value.
 */
export function renderYaml({ config, origins }: EffectiveConfig): string {
  const lines: { readonly text: string; readonly comment?: string }[] = [];
  let section = "";
  for (const setting of SETTINGS) {
    if (setting.section !== section) {
      section = setting.section;
      lines.push({ text: `${section}:` });
    }
    const name = section ? `  ${setting.key.slice(section.length + 1)}` : setting.key;
    const value = asFlow(shownValueOf(config, setting));
    const origin = origins.get(setting.key);
    const isHidden = setting.secret && valueOf(config, setting) !== "";
    // A comment: loaded again, the file must not make a secret of these words.
    lines.push({
      text: `${isHidden ? name.replace(/\S/, "# $&") : name}: ${value}`,
      ...(origin && { comment: escape(formatOrigin(origin)) }),
    });
  }
  const width = Math.min(60, Math.max(...lines.map(({ text }) => text.length)));
  return lines
    .map(({ text, comment }) => (comment === undefined ? text : `${text.padEnd(width)} # ${comment}`))
    .map((line) => `${line}\n`)
    .join("");
}

/** JSON, which YAML 1.2 contains, so that no text can be taken for a number or end its line. */
function asFlow(value: SettingValue): string {
  if (Array.isArray(value)) return `[${value.map(asFlow).join(", ")}]`;
  return escape(JSON.stringify(value));
}

/** Control, format and odd space characters as `\u` escapes: a terminal must not obey them. */
function escape(text: string): string {
  return text.replaceAll(/(?! )[\p{C}\p{Z}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}
