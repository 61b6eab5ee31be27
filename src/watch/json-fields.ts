/** A JSON object whose fields are not known to have any type. */
export type JsonObject = Readonly<Record<string, unknown>>;

const EMPTY: JsonObject = Object.freeze({});

/** True for a JSON object; false for an array, `null` and every scalar. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value as an object; an empty one when it is anything else. */
export function objectOrEmpty(value: unknown): JsonObject {
  return isJsonObject(value) ? value : EMPTY;
}

/** The value as a string; `""` when it is anything else. */
export function stringOrEmpty(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The value as an array; an empty one when it is anything else. */
export function arrayOrEmpty(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
