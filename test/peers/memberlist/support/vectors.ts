import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/**
 * What hashicorp's own libraries write, as hex by name. test/e2e/support/memberlist-peer/vectors.go makes the file, and
 * test/e2e/memberlist.test.ts checks that it still does.
 */
const file = resolve(import.meta.dirname, "../vectors.json");
const vectors = new Map(Object.entries(JSON.parse(readFileSync(file, "utf8")) as Record<string, string>));

/** The bytes called `name`. */
export function vector(name: string): Buffer {
  const hex = vectors.get(name);
  if (hex === undefined) throw new Error(`no vector ${name}`);
  return Buffer.from(hex, "hex");
}
