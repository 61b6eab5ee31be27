import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

/** Where a mutant stands: lines and columns from 0; `end` is behind it. */
export interface Place {
  readonly start: { readonly line: number; readonly column: number };
  readonly end: { readonly line: number; readonly column: number };
}

/** One change of one file. */
export interface MutantIdentity {
  /** From the root of the project: `src/routes/heap.ts`. */
  readonly path: string;
  /** The text of the whole file: a mutant of a file that has changed is another one. */
  readonly source: string;
  readonly location: Place;
  readonly replacement: string;
}

/**
 * `killed`: a test failed. `timeout`: the tests took several times as long as without it. `survived`: none failed.
 * `unseen`: no test runs that code.
 */
export type Verdict = "killed" | "timeout" | "survived" | "unseen";

/** A line of the record. */
export interface MutantResult {
  readonly key: string;
  readonly path: string;
  readonly location: Place;
  readonly mutator: string;
  readonly replacement: string;
  readonly verdict: Verdict;
}

/** The same as long as the file and the change are. 64 hexadecimal digits. */
export function keyOf({ path, source, location: { start, end }, replacement }: MutantIdentity): string {
  const what = [path, source, start.line, start.column, end.line, end.column, replacement];
  return createHash("sha256").update(JSON.stringify(what)).digest("hex");
}

/**
 * Whether a mutant is in the random sample that `seed` draws of `share` (0 to 1) of them all. It does not depend on the
 * others: a larger share with the same seed holds the smaller one, and what was found before counts.
 */
export function isInSample(key: string, seed: number, share: number): boolean {
  const drawn = createHash("sha256").update(`${seed} ${key}`).digest().readUInt32BE();
  return drawn < share * 2 ** 32;
}

/** What is known of each mutant, by its key; the last word counts. */
export function readRecord(file: string): Map<string, MutantResult> {
  const known = new Map<string, MutantResult>();
  if (!existsSync(file)) return known;
  for (const line of readFileSync(file, "utf8").split("\n")) {
    // The last line of a run that was killed may be half of one.
    if (!line.endsWith("}")) continue;
    const result = JSON.parse(line) as MutantResult;
    known.set(result.key, result);
  }
  return known;
}

/** Adds a result. Each is on disk when the call returns, so that a run that is killed loses nothing. */
export function appendResult(file: string, result: MutantResult): void {
  mkdirSync(dirname(file), { recursive: true });
  appendFileSync(file, `${JSON.stringify(result)}\n`);
}

/** A mutant that was found out once needs no second run: tests are added, rarely taken away. Survivors are asked again. */
export function needsRun(known: MutantResult | undefined): boolean {
  return known === undefined || known.verdict === "survived" || known.verdict === "unseen";
}

/** Found out among all that were run, in percent; undefined when none was. */
export function scoreOf(results: readonly MutantResult[]): number | undefined {
  if (results.length === 0) return undefined;
  const found = results.filter(({ verdict }) => verdict === "killed" || verdict === "timeout");
  return (found.length / results.length) * 100;
}

/** The lines that a mutant changes, before (`-`) and after (`+`), below its place as editors count: from 1. */
export function diffOf(
  source: string,
  { path, location, replacement, verdict, mutator }: MutantResult,
): string {
  const lines = source.split("\n");
  const { start, end } = location;
  const before = lines.slice(start.line, end.line + 1);
  const head = (before[0] ?? "").slice(0, start.column);
  const tail = (before.at(-1) ?? "").slice(end.column);
  const after = `${head}${replacement}${tail}`.split("\n");
  return [
    `${path}:${start.line + 1}:${start.column + 1} ${verdict} (${mutator})`,
    ...before.map((line) => `- ${line}`),
    ...after.map((line) => `+ ${line}`),
  ].join("\n");
}
