import { readFileSync } from "node:fs";
import { join, relative } from "node:path";

import { CheckStatus } from "@stryker-mutator/api/check";
import type { Checker, CheckResult } from "@stryker-mutator/api/check";
import type { Mutant, MutantResult as StrykerResult } from "@stryker-mutator/api/core";
import { declareClassPlugin, PluginKind } from "@stryker-mutator/api/plugin";
import type { Reporter } from "@stryker-mutator/api/report";

import { appendResult, isInSample, keyOf, needsRun, readRecord } from "./record.ts";
import type { Place, Verdict } from "./record.ts";
import { sharedSettings } from "./run-settings.ts";

const sources = new Map<string, string>();

function keyOfMutant(root: string, { fileName, location, replacement }: Mutant): string {
  const path = relative(root, fileName);
  let source = sources.get(path);
  if (source === undefined) {
    source = readFileSync(join(root, path), "utf8");
    sources.set(path, source);
  }
  return keyOf({ path, source, location, replacement });
}

/** Leaves out what is not in the sample, and what was found out before. Stryker has no word of its own for that. */
class SampleChecker implements Checker {
  readonly #settings = sharedSettings();
  readonly #known = readRecord(this.#settings.recordFile);

  async init(): Promise<void> {}

  check(mutants: Mutant[]): Promise<Record<string, CheckResult>> {
    return Promise.resolve(Object.fromEntries(mutants.map((mutant) => [mutant.id, this.#judge(mutant)])));
  }

  group(mutants: Mutant[]): Promise<string[][]> {
    return Promise.resolve([mutants.map(({ id }) => id)]);
  }

  #judge(mutant: Mutant): CheckResult {
    const { root, seed, share } = this.#settings;
    const key = keyOfMutant(root, mutant);
    if (!isInSample(key, seed, share))
      return { status: CheckStatus.CompileError, reason: "not in the sample" };
    if (!needsRun(this.#known.get(key))) return { status: CheckStatus.CompileError, reason: "known" };
    return { status: CheckStatus.Passed };
  }
}

const VERDICTS: Partial<Record<StrykerResult["status"], Verdict>> = {
  Killed: "killed",
  Timeout: "timeout",
  Survived: "survived",
  NoCoverage: "unseen",
  // A test file that can't be loaded any more is a test that fails.
  RuntimeError: "killed",
};

/** Reports of Stryker count from 1, its mutants from 0. */
function fromZero({ start, end }: Place): Place {
  const less = ({ line, column }: Place["start"]) => ({ line: line - 1, column: column - 1 });
  return { start: less(start), end: less(end) };
}

/** Writes each result down as soon as it is known. */
class RecordReporter implements Reporter {
  readonly #settings = sharedSettings();

  onMutantTested(result: Readonly<StrykerResult>): void {
    const verdict = VERDICTS[result.status];
    if (verdict === undefined) return;
    const { root, recordFile } = this.#settings;
    const { fileName, replacement, mutatorName } = result;
    const location = fromZero(result.location);
    appendResult(recordFile, {
      key: keyOfMutant(root, { ...result, location }),
      path: relative(root, fileName),
      location,
      mutator: mutatorName,
      replacement,
      verdict,
    });
  }
}

/** Found by Stryker under this name. */
export const strykerPlugins = [
  declareClassPlugin(PluginKind.Checker, "sample", SampleChecker),
  declareClassPlugin(PluginKind.Reporter, "record", RecordReporter),
];
