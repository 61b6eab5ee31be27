import { z } from "zod";
import { configSchema } from "./schema.ts";

/** What a setting's value is, as far as reading it from text needs to know. */
export type SettingKind = "integer" | "boolean" | "choice" | "text" | "list";

/** A value of a setting. */
export type SettingValue = string | number | boolean | readonly string[];

/** One key of the schema with its names in every source. */
export interface Setting {
  /** `watch.pageSize` */
  readonly key: string;
  /** `watch`, or `""` for keys without a section. */
  readonly section: string;
  /** `--watch-page-size` */
  readonly flag: string;
  /** `LYCHGATE_WATCH_PAGE_SIZE` */
  readonly variable: string;
  readonly kind: SettingKind;
  /** The type in words: `integer, 1 to 10000`, `kubernetes or none`, `list of domains`. */
  readonly type: string;
  /** A word for the value in usage lines: `<number>`, `<[host]:port>`; empty for booleans. */
  readonly placeholder: string;
  readonly default: SettingValue;
  /** Markdown; its first sentence stands alone. */
  readonly description: string;
  readonly schema: z.ZodType;
  /** A reload (SIGHUP) changes it; otherwise it needs a restart. */
  readonly live: boolean;
  /** Its value must not be shown. */
  readonly secret: boolean;
}

/** Prefix of every environment variable that is looked at. */
export const VARIABLE_PREFIX = "LYCHGATE_";

/** The flag of a key: `watch.pageSize` becomes `--watch-page-size`. */
export function flagOf(key: string): string {
  return `--${kebab(key)}`;
}

/** The environment variable of a key: `watch.pageSize` becomes `LYCHGATE_WATCH_PAGE_SIZE`. */
export function variableOf(key: string): string {
  return VARIABLE_PREFIX + kebab(key).replaceAll("-", "_").toUpperCase();
}

function kebab(key: string): string {
  return key.replaceAll(".", "-").replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Every setting, in the schema's order. */
export const SETTINGS: readonly Setting[] = [...settingsOf(configSchema)];

const byKey = new Map(SETTINGS.map((setting) => [setting.key, setting]));

/** The setting of a key, or `undefined` for an unknown one. */
export function settingOf(key: string): Setting | undefined {
  return byKey.get(key);
}

function* settingsOf(schema: z.ZodObject): Generator<Setting> {
  for (const [name, member] of Object.entries(schema.shape)) {
    if (member instanceof z.ZodPrefault) {
      const inner = member.unwrap();
      if (inner instanceof z.ZodObject) {
        for (const [leafName, leaf] of Object.entries(inner.shape))
          yield setting(`${name}.${leafName}`, name, leaf);
        continue;
      }
    }
    yield setting(name, "", member);
  }
}

interface LeafSchema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default: SettingValue;
  readonly description: string;
  readonly form?: string;
  readonly live?: boolean;
}

function setting(key: string, section: string, schema: z.core.$ZodType): Setting {
  const leaf = z.toJSONSchema(schema, { io: "input" }) as unknown as LeafSchema;
  return {
    key,
    section,
    flag: flagOf(key),
    variable: variableOf(key),
    ...shapeOf(key, leaf),
    default: leaf.default,
    description: leaf.description,
    schema: schema as z.ZodType,
    live: leaf.live === true,
    secret: leaf.form === "secret",
  };
}

function shapeOf(key: string, leaf: LeafSchema): Pick<Setting, "kind" | "type" | "placeholder"> {
  if (leaf.enum) return { kind: "choice", type: orList(leaf.enum), placeholder: leaf.enum.join("|") };
  const form = leaf.form ?? "text";
  switch (leaf.type ?? "string") {
    case "integer": {
      const unit = key.endsWith("Ms") ? "milliseconds" : key.endsWith("Bytes") ? "bytes" : "integer";
      const placeholder = unit === "milliseconds" ? "<ms>" : unit === "bytes" ? "<bytes>" : "<number>";
      return { kind: "integer", type: `${unit}, ${leaf.minimum} to ${leaf.maximum}`, placeholder };
    }
    case "boolean":
      return { kind: "boolean", type: "true or false", placeholder: "" };
    case "array":
      return { kind: "list", type: `list of ${form}s`, placeholder: `<${form}>` };
    default:
      return { kind: "text", type: form, placeholder: form.startsWith("[") ? form : `<${form}>` };
  }
}

function orList(words: readonly string[]): string {
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
