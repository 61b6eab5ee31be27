import { stringify } from "yaml";
import type { LoadedConfig } from "./load.ts";
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

/**
 * The effective configuration as YAML that can be loaded again, each value with its origin as a comment:
 * `listen: ":7788" # default`.
 */
export function renderYaml({ config, origins }: LoadedConfig): string {
  const lines: { readonly text: string; readonly comment?: string }[] = [];
  let section = "";
  for (const setting of SETTINGS) {
    if (setting.section !== section) {
      section = setting.section;
      lines.push({ text: `${section}:` });
    }
    const name = section ? `  ${setting.key.slice(section.length + 1)}` : setting.key;
    const value = stringify(valueOf(config, setting), { collectionStyle: "flow", lineWidth: 0 }).trimEnd();
    const origin = origins.get(setting.key);
    lines.push({ text: `${name}: ${value}`, ...(origin && { comment: formatOrigin(origin) }) });
  }
  const width = Math.min(60, Math.max(...lines.map(({ text }) => text.length)));
  return lines
    .map(({ text, comment }) => (comment === undefined ? text : `${text.padEnd(width)} # ${comment}`))
    .map((line) => `${line}\n`)
    .join("");
}
