import { parseResourceVersion, type ResourceVersion } from "../../src/routes/resource-version.ts";
import type { Observation } from "../../src/routes/observation.ts";
import { projectSandbox } from "../../src/watch/sandbox-projection.ts";

/**
 * Sandboxes as a cluster has them, each a function of its number: namespaces, names, IDs, UIDs, owners, tokens and
 * addresses of the usual shapes and lengths. Nothing of them is kept, so that what a table holds is all there is.
 */

/** How a sandbox differs from its usual self. */
export interface SandboxChange {
  readonly paused?: boolean;
  /** Moves it to another address. */
  readonly move?: number;
  /** Counts its lives: another UID for each. */
  readonly life?: number;
  /** Without an access token, a pod UID and a shutdownTime. */
  readonly plain?: boolean;
}

/** The namespace of a sandbox: 1,000 of them, fewer in a small cluster. */
export function namespaceOf(index: number): string {
  return `team-${String(index % 1_000).padStart(4, "0")}`;
}

/** The object's name, of 24 characters. */
export function nameOf(index: number): string {
  return `code-interpreter-${base32(index, 1, 7)}`;
}

/** The routing ID: half have a label with a short one, half are found by `namespace--name`. */
export function idOf(index: number): string {
  return index % 2 === 0 ? `0${base32(index, 2, 13)}` : `${namespaceOf(index)}--${nameOf(index)}`;
}

/** The pod's address: never that of another sandbox, unless 16 million are exceeded. */
export function ipOf(index: number, move = 0): string {
  const n = (index + move * 4_000_037) & 0xff_ffff;
  return `10.${n >>> 16}.${(n >>> 8) & 255}.${n & 255}`;
}

/** What the informer makes of pages of sandboxes: JSON, parsed in pages of 500, projected, and the page let go. */
export function observe(
  indexes: readonly number[],
  firstVersion: number,
  changeOf: (index: number) => SandboxChange = () => ({}),
): Observation[] {
  const observations: Observation[] = [];
  for (let start = 0; start < indexes.length; start += 500) {
    const page = indexes
      .slice(start, start + 500)
      .map((index, at) => sandboxJson(index, firstVersion + start + at, changeOf(index)));
    for (const object of JSON.parse(`[${page.join(",")}]`) as unknown[]) {
      const projection = projectSandbox(object);
      if (projection.kind === "invalid") throw new Error(projection.message);
      observations.push(projection.observation);
    }
  }
  return observations;
}

/** A version as a `ResourceVersion`. */
export function versionOf(version: number): ResourceVersion {
  const parsed = parseResourceVersion(String(version));
  if (parsed === undefined) throw new Error(`${version} is no resourceVersion`);
  return parsed;
}

function sandboxJson(
  index: number,
  version: number,
  { paused = false, move, life = 0, plain = false }: SandboxChange,
): string {
  const labelled = index % 2 === 0 ? `"agents.kruise.io/sandbox-id":"${idOf(index)}",` : "";
  const shutdown = index % 4 === 0 && !plain ? `,"shutdownTime":"2030-01-01T00:00:00Z"` : "";
  const token = plain ? "" : `,"agents.kruise.io/runtime-access-token":"${uuid(index, 2)}"`;
  const podUid = plain ? "" : `,"podUID":"${uuid(index, 1_000 + life)}"`;
  return (
    `{"apiVersion":"agents.kruise.io/v1alpha1","kind":"Sandbox","metadata":{"namespace":"${namespaceOf(index)}",` +
    `"name":"${nameOf(index)}","uid":"${uuid(index, 3 + life)}","resourceVersion":"${version}",` +
    `"labels":{${labelled}"agents.kruise.io/sandbox-pool":"code"},` +
    `"annotations":{"agents.kruise.io/owner":"${uuid(index >>> 3, 1)}"${token}}},"spec":{"paused":${paused}${shutdown}},` +
    `"status":{"phase":"${paused ? "Paused" : "Running"}","conditions":[{"type":"Ready","status":"True"}],` +
    `"podInfo":{"podIP":"${ipOf(index, move)}"${podUid}}}}`
  );
}

const DIGITS = "abcdefghijklmnopqrstuvwxyz234567";

function base32(index: number, salt: number, length: number): string {
  let text = "";
  let bits = 0;
  for (let at = 0; at < length; at++) {
    if (at % 6 === 0) bits = mix(index, salt * 16 + at);
    text += DIGITS[bits & 31];
    bits >>>= 5;
  }
  return text;
}

function uuid(index: number, salt: number): string {
  const hex = [0, 1, 2, 3]
    .map((part) =>
      mix(index, salt * 4 + part + 1e6)
        .toString(16)
        .padStart(8, "0"),
    )
    .join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** 32 bits that depend on both numbers (the finalizer of MurmurHash3, twice). */
function mix(a: number, b: number): number {
  let h = Math.imul(a ^ 0x9e37_79b9, 0x85eb_ca6b) ^ Math.imul(b + 1, 0xc2b2_ae35);
  for (let round = 0; round < 2; round++) {
    h ^= h >>> 16;
    h = Math.imul(h, 0x85eb_ca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2_ae35);
    h ^= h >>> 16;
  }
  return h >>> 0;
}
