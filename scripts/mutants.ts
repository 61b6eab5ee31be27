import { globSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { Stryker } from "@stryker-mutator/core";
import { Instrumenter } from "@stryker-mutator/instrumenter";

import { diffOf, isInSample, keyOf, readRecord, scoreOf } from "../test/mutants/record.ts";
import type { MutantIdentity, MutantResult } from "../test/mutants/record.ts";
import { shareSettings } from "../test/mutants/run-settings.ts";

const HELP = `npm run mutants -- PATH [options]

Changes the files at or below PATH (src/routes, src/watch/scope-feed.ts), one small change at a time, in a copy of the
project, and runs the tests of that folder which reach the change. A change that no test notices is printed. What is found
is written to reports/mutants.jsonl at once: a run that was stopped goes on, and changes found out before are not tried
again. test/mutants.md says what was measured and which survivors are accepted.

  --sample N     tries about N of them, drawn at random (default: all)
  --seed S       draws another sample; the same seed draws the same mutants, and more of them for a larger N (default 1)
  --tests GLOB   runs these tests only (default: those of the folder below test/ of the same name); the score is then a
                 lower bound
  --all-tests    the slow tests too: for what survived the others
  --record FILE  keeps the record there (default reports/mutants.jsonl)
  --list         prints what is known of PATH, and runs nothing
`;

/**
 * Minutes of CPU time, run for every mutant that they reach: left out unless asked for. lanes-differential runs its cases at
 * the same time, so that Stryker can't tell which case reached what.
 */
const SLOW_TESTS = [
  "test/routes/interleavings.test.ts",
  "test/routes/rules-are-needed.test.ts",
  "test/routes/verify.test.ts",
  "test/proxy/lanes-differential.test.ts",
  "test/watch/soak.test.ts",
];

/**
 * Not tried: strings are members of closed unions or words for people; `a?.b` without its mark and `{}` in place of an object
 * are errors of types. The compiler, which Stryker can't run (it needs the programming interface of TypeScript before 7),
 * notices these before any test.
 */
const EXCLUDED = ["StringLiteral", "OptionalChaining", "ObjectLiteral"];

const root = resolve(import.meta.dirname, "..");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    tests: { type: "string" },
    "all-tests": { type: "boolean", default: false },
    record: { type: "string", default: "reports/mutants.jsonl" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const [path] = positionals;
if (values.help || path === undefined || positionals.length > 1) {
  console.log(HELP);
  process.exit(values.help ? 0 : 2);
}

process.chdir(root);
const recordFile = resolve(values.record);
const sample = values.sample === undefined ? Infinity : Number(values.sample);
const seed = Number(values.seed);
if (!(sample > 0) || !Number.isInteger(seed)) fail("--sample and --seed must be whole numbers");
const files = filesAt(path);
const [, folder] = path.replaceAll("\\", "/").split("/");
if (files.length === 0 || folder === undefined) fail(`${path}: there is no TypeScript file below src there`);

const mutants = await mutantsOf(files);
const share = Math.min(1, sample / mutants.length);
const keys = mutants.map(keyOf).filter((key) => isInSample(key, seed, share));
console.log(
  `${mutants.length} mutants in ${files.length} files; ${keys.length} in the sample of seed ${seed}`,
);

if (!values.list) {
  shareSettings({
    root,
    recordFile,
    seed,
    share,
    include: [values.tests ?? `test/${folder.replace(/\.ts$/, "")}/**/*.test.ts`],
    exclude: values["all-tests"] ? [] : SLOW_TESTS,
  });
  await new Stryker({
    mutate: files,
    mutator: { excludedMutations: EXCLUDED },
    plugins: ["@stryker-mutator/vitest-runner", resolve(root, "test/mutants/stryker-plugin.ts")],
    testRunner: "vitest",
    vitest: { configFile: "test/mutants/vitest.config.ts", related: true },
    coverageAnalysis: "perTest",
    checkers: ["sample"],
    reporters: ["record"],
    concurrency: 1,
    timeoutMS: 15_000,
    timeoutFactor: 4,
    dryRunTimeoutMinutes: 20,
    allowEmpty: true,
    // Else Stryker reads it with TypeScript's programming interface, which TypeScript 7 does not have.
    tsconfigFile: "none",
    ignorePatterns: ["reports"],
    tempDirName: mkdtempSync(join(tmpdir(), "lychgate-mutants-")),
    allowConsoleColors: false,
  }).runMutationTest();
}

const known = readRecord(recordFile);
const results = keys.flatMap((key) => known.get(key) ?? []);
report(results, keys.length);

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

function filesAt(at: string): string[] {
  if (!at.startsWith("src/") || !statSync(at, { throwIfNoEntry: false })) return [];
  return statSync(at).isDirectory() ? globSync(`${at}/**/*.ts`).sort() : [at];
}

/** All changes that Stryker makes. */
async function mutantsOf(paths: readonly string[]): Promise<MutantIdentity[]> {
  const quiet = () => {};
  const no = () => false;
  const instrumenter = new Instrumenter({
    isTraceEnabled: no,
    isDebugEnabled: no,
    isInfoEnabled: no,
    isWarnEnabled: no,
    isErrorEnabled: no,
    isFatalEnabled: no,
    trace: quiet,
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: quiet,
    fatal: quiet,
  });
  const sources = new Map(paths.map((each) => [each, readFileSync(each, "utf8")]));
  const { mutants: made } = await instrumenter.instrument(
    [...sources].map(([name, content]) => ({ name, content, mutate: true })),
    { plugins: null, excludedMutations: EXCLUDED, ignorers: [] },
  );
  return made
    .filter(({ status }) => status === undefined)
    .map(({ fileName, location, replacement }) => ({
      path: fileName,
      source: sources.get(fileName) ?? "",
      location,
      replacement,
    }));
}

function report(found: readonly MutantResult[], asked: number): void {
  const survivors = found.filter(({ verdict }) => verdict === "survived" || verdict === "unseen");
  for (const each of survivors) console.log(`\n${diffOf(readFileSync(each.path, "utf8"), each)}`);
  console.log("");
  for (const each of new Set(found.map((result) => result.path))) {
    const ofFile = found.filter((result) => result.path === each);
    console.log(`${(scoreOf(ofFile) ?? 0).toFixed(0).padStart(4)} % of ${ofFile.length} in ${each}`);
  }
  const count = (verdict: MutantResult["verdict"]) =>
    found.filter((result) => result.verdict === verdict).length;
  console.log(
    `score ${scoreOf(found)?.toFixed(1) ?? "-"} %: ${count("killed")} killed, ${count("timeout")} timed out, ${count("survived")} survived, ${count("unseen")} reached by no test; ${asked - found.length} not run yet`,
  );
}
