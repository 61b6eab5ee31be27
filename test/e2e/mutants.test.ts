import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { MutantResult } from "../mutants/record.ts";

const root = resolve(import.meta.dirname, "../..");
const FILE = "src/peers/decode-utf8.ts";
const record = resolve(root, "reports/mutants-of-a-test.jsonl");

const ONLY = ["--tests", "test/peers/refresh-payload.test.ts", "--record", record];

/** Each run takes seconds to begin, on a busy machine a minute. */
const LONG = { timeout: 900_000 };

function mutants(...args: string[]): string {
  return execFileSync(process.execPath, ["scripts/mutants.ts", ...args, ...ONLY], {
    cwd: root,
    encoding: "utf8",
    // As from a shell: vitest's own variables would be those of the tests that it runs.
    env: { PATH: process.env["PATH"] },
  });
}

test(
  "npm run mutants finds what no test sees, in a copy; a second run goes on where the first ended",
  LONG,
  () => {
    onTestFinished(() => rmSync(record, { force: true }));
    const before = readFileSync(resolve(root, FILE), "utf8");
    const first = mutants(FILE, "--sample", "6");
    expect(first).toMatch(/score [\d.]+ %: \d+ killed, .* 0 not run yet/);
    expect(readFileSync(resolve(root, FILE), "utf8")).toBe(before);
    const lines = () => readFileSync(record, "utf8").trim().split("\n");
    const found = lines().map((line) => JSON.parse(line) as MutantResult);
    expect(found.length).toBeGreaterThan(0);
    expect(found.filter(({ verdict }) => verdict === "killed").length).toBeGreaterThan(0);
    const survived = found.filter(({ verdict }) => verdict === "survived" || verdict === "unseen").length;

    mutants(FILE, "--sample", "6");
    // Only what survived was asked again.
    expect(lines().length).toBe(found.length + survived);

    expect(mutants(FILE, "--sample", "6", "--list")).toMatch(/score /);
    expect(existsSync(record)).toBe(true);
  },
);

test("a path without TypeScript files, or outside src, is refused", () => {
  for (const path of ["src/nothing", "test/routes", "src/routes/no.ts"]) {
    expect(() => mutants(path)).toThrow(/there is no TypeScript file below src there/);
  }
});
