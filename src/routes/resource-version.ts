/**
 * A Kubernetes resourceVersion: a canonical positive decimal integer of any length (no sign, no leading zero).
 * Such versions may be compared since Kubernetes 1.35 (KEP-5504); anything else is invalid and changes nothing.
 */
export type ResourceVersion = string & { readonly __brand: "ResourceVersion" };

const CANONICAL = /^[1-9][0-9]*$/;

/** Below every real version: what a table knows before it was told anything. */
export const NOTHING_SEEN = "0" as ResourceVersion;

/**
 * The version that `text` spells, or `undefined` when it is not a canonical positive decimal integer.
 * `0` is refused: Kubernetes uses it to say "any version", never as the version of an object.
 */
export function parseResourceVersion(text: unknown): ResourceVersion | undefined {
  return typeof text === "string" && CANONICAL.test(text) ? (text as ResourceVersion) : undefined;
}

/**
 * Negative when `a` is older than `b`, positive when newer, 0 when equal. Compares digit strings (length, then
 * text), so no version is too long and none loses precision as a JavaScript number would.
 */
export function compareResourceVersions(a: ResourceVersion, b: ResourceVersion): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The newer of two versions. */
export function newerResourceVersion(a: ResourceVersion, b: ResourceVersion): ResourceVersion {
  return compareResourceVersions(a, b) >= 0 ? a : b;
}
