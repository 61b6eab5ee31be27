import type { Problem } from "./config-error.ts";
import type { Origin } from "./origins.ts";
import type { Setting, SettingValue } from "./settings.ts";

/** A value as one source gave it, not yet checked. */
export interface RawValue {
  readonly setting: Setting;
  readonly value: unknown;
  readonly origin: Origin;
  /** For a list whose entries have places of their own. */
  readonly itemOrigins?: readonly Origin[];
  /** The name that it was given under, where that is a former one (former-names.ts). */
  readonly formerName?: string | undefined;
  /** The value that was given, where that is a former one. */
  readonly formerValue?: string;
}

/** What one source says: its values, and the faults met while reading it. */
export interface SourceReading {
  readonly values: readonly RawValue[];
  readonly problems: readonly Problem[];
}

const MAX_SHOWN_CHARACTERS = 60;

/** Checks one value against its part of the schema. Messages name the key for a file, where it is not the origin. */
export function checkValue(
  raw: RawValue,
): { readonly value: SettingValue } | { readonly problems: readonly Problem[] } {
  const result = raw.setting.schema.safeParse(raw.value);
  if (result.success) return { value: result.data as SettingValue };
  const { setting } = raw;
  const problems = result.error.issues.map((issue): Problem => {
    const [index] = issue.path;
    const item = typeof index === "number" ? index : undefined;
    // Zod's own words are for programs; those of the schema begin with "must".
    const message = issue.message.startsWith("must ") ? issue.message : `must be ${withArticle(setting)}`;
    const given = item === undefined ? raw.value : (raw.value as readonly unknown[])[item];
    return {
      code: "invalid_value",
      origin: (item === undefined ? undefined : raw.itemOrigins?.[item]) ?? raw.origin,
      key: setting.key,
      message: `${setting.key} ${message}${setting.secret ? "" : `; it is ${shown(given)}`}`,
    };
  });
  return { problems };
}

/**
 * A text from a flag or the environment as the value it stands for; a text that stands for none stays as it is, for
 * {@link checkValue} to refuse. Entries of a list are separated by commas; an empty text is an empty list.
 */
export function fromText(setting: Setting, text: string): unknown {
  const { kind } = setting;
  if (kind === "integer" && /^-?\d{1,15}$/.test(text)) return Number(text);
  if (kind === "boolean" && (text === "true" || text === "false")) return text === "true";
  if (kind === "list") return text === "" ? [] : text.split(",").map((entry) => entry.trim());
  return text;
}

function withArticle(setting: Setting): string {
  const { kind, type } = setting;
  if (kind === "integer")
    return `${type.startsWith("integer") ? "an" : "a number of"} ${type.replace(",", " from")}`;
  if (kind === "list") return `a ${type}`;
  return kind === "text" ? `a text (${type})` : type;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}…` : text;
}
