/** What `scripts/mutants.ts` tells the processes that Stryker starts. */
export interface RunSettings {
  /** The project's root, of which Stryker works on a copy. */
  readonly root: string;
  readonly recordFile: string;
  readonly seed: number;
  /** How many of all mutants are tried, 0 to 1. */
  readonly share: number;
  /** Globs of test files. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

const VARIABLE = "LYCHGATE_MUTANTS";

/** For the environment of this process and its children. */
export function shareSettings(settings: RunSettings): void {
  process.env[VARIABLE] = JSON.stringify(settings);
}

/** Throws when this is not a process of such a run. */
export function sharedSettings(): RunSettings {
  const text = process.env[VARIABLE];
  if (text === undefined) throw new Error(`${VARIABLE} is not set: start it with npm run mutants`);
  return JSON.parse(text) as RunSettings;
}
