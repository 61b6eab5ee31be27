import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { appendResult, diffOf, isInSample, keyOf, needsRun, readRecord, scoreOf } from "./record.ts";
import type { MutantIdentity, MutantResult, Verdict } from "./record.ts";

const SOURCE = "const one = 1;\nif (a < b && c) {\n  stop();\n}\n";
const identity: MutantIdentity = {
  path: "src/x.ts",
  source: SOURCE,
  location: { start: { line: 1, column: 4 }, end: { line: 1, column: 9 } },
  replacement: "a <= b",
};

const result = (key: string, verdict: Verdict): MutantResult => ({
  key,
  path: identity.path,
  location: identity.location,
  mutator: "EqualityOperator",
  replacement: identity.replacement,
  verdict,
});

function recordFile(): string {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-record-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, "reports/mutants.jsonl");
}

test("a mutant of a file that has changed, at another place or with another text is another one", () => {
  const others: MutantIdentity[] = [
    { ...identity, path: "src/y.ts" },
    { ...identity, source: `${SOURCE} ` },
    { ...identity, replacement: "a > b" },
    { ...identity, location: { start: { line: 1, column: 4 }, end: { line: 1, column: 10 } } },
    { ...identity, location: { start: { line: 0, column: 4 }, end: { line: 1, column: 9 } } },
  ];
  expect(new Set([identity, { ...identity }, ...others].map(keyOf)).size).toBe(6);
});

test("a sample is about as large as asked for, the same for the same seed, and within every larger one", () => {
  const keys = Array.from({ length: 10_000 }, (_, i) => keyOf({ ...identity, replacement: String(i) }));
  const sample = (seed: number, share: number) => keys.filter((key) => isInSample(key, seed, share));
  const small = sample(1, 0.1);
  expect(small.length).toBeGreaterThan(850);
  expect(small.length).toBeLessThan(1_150);
  expect(sample(1, 0.1)).toEqual(small);
  const large = new Set(sample(1, 0.2));
  expect(small.filter((key) => !large.has(key))).toEqual([]);
  expect(sample(2, 0.1)).not.toEqual(small);
  expect(sample(1, 1)).toEqual(keys);
  expect(sample(1, 0)).toEqual([]);
});

test("a record that was cut within a line is read up to there, and the last word on a mutant counts", () => {
  const file = recordFile();
  expect(readRecord(file).size).toBe(0);
  appendResult(file, result("a", "survived"));
  appendResult(file, result("b", "killed"));
  appendResult(file, result("a", "killed"));
  appendFileSync(file, '{"key":"c","path":"sr');
  expect([...readRecord(file)].map(([key, { verdict }]) => `${key} ${verdict}`)).toEqual([
    "a killed",
    "b killed",
  ]);
});

test("what was found out is not run again, what survived is: a test may have come", () => {
  const run = (["killed", "timeout", "survived", "unseen"] as const).map((verdict) =>
    needsRun(result("a", verdict)),
  );
  expect(run).toEqual([false, false, true, true]);
  expect(needsRun(undefined)).toBe(true);
});

test("the score is the share that was found out; of none there is none", () => {
  const all = (["killed", "timeout", "survived", "unseen"] as const).map((verdict) => result("a", verdict));
  expect(scoreOf(all)).toBe(50);
  expect(scoreOf([])).toBeUndefined();
});

test("a survivor is shown as the lines that it changes", () => {
  expect(diffOf(SOURCE, result("a", "survived"))).toBe(
    "src/x.ts:2:5 survived (EqualityOperator)\n- if (a < b && c) {\n+ if (a <= b && c) {",
  );
  const block = { start: { line: 1, column: 16 }, end: { line: 3, column: 1 } };
  expect(diffOf(SOURCE, { ...result("a", "unseen"), location: block, replacement: "{}" })).toBe(
    "src/x.ts:2:17 unseen (EqualityOperator)\n- if (a < b && c) {\n-   stop();\n- }\n+ if (a < b && c) {}",
  );
});
