import { cpus, release, totalmem } from "node:os";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { BenchOptions } from "./options.ts";
import { cellsOf } from "./figures.ts";
import type { Cell, Sample } from "./figures.ts";
import { plotSvg } from "./plot.ts";
import type { Panel } from "./plot.ts";
import { reportTables } from "./report-table.ts";
import { headline, verdictTable } from "./report-verdicts.ts";
import { MAX_OTHERS_SHARE } from "./session.ts";
import { checksOf, verdictOf } from "./verdicts.ts";
import { STAGES } from "./workloads.ts";

/** All that a run found out. */
export interface Results {
  readonly startedAt: Date;
  readonly options: BenchOptions;
  /** Versions of the set-ups that took part, and why the others did not. */
  readonly versions: Readonly<Record<string, string>>;
  readonly missing: Readonly<Record<string, string>>;
  readonly samples: readonly Sample[];
}

/** Workloads in the plot, in order, with what lychgate may cost there. */
const PLOTTED: readonly { readonly workload: string; readonly limit?: number }[] = [
  { workload: "small-get", limit: 1.25 },
  { workload: "small-post", limit: 1.25 },
  { workload: "mixed-get", limit: 1.35 },
  { workload: "rotating-get", limit: 1.35 },
  { workload: "response-64k", limit: 1.2 },
  { workload: "response-1m", limit: 1.2 },
  { workload: "upload-64k", limit: 1.2 },
  { workload: "new-upstream", limit: 1.4 },
  { workload: "new-client", limit: 1.4 },
  { workload: "websocket", limit: 1.3 },
  { workload: "idle-clients" },
];

const TITLES: ReadonlyMap<string, string> = new Map(STAGES.flat().map(({ name, title }) => [name, title]));

/** The run as Markdown: who took part, the headline, what lychgate must reach, figures by workload, what went wrong. */
export function resultsText(results: Results): string {
  const { samples, missing, versions } = results;
  const cells = cellsOf(samples);
  const verdicts = verdictTable(checksOf(samples), checksOf(samples, "lychgate-documented"));
  const parts = [
    `${machineText()}; ${whenText(results)}.`,
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}.`,
    ...Object.entries(missing).map(([name, reason]) => `Left out: ${name}: ${reason}.`),
    ...disturbance(samples),
    ...faults(cells),
    ...[headline(samples)].filter((line) => line !== undefined),
    ...(verdicts === undefined ? [] : ["### What it must reach", verdicts]),
    reportTables(cells, STAGES.flat()),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Whether others used the proxies' core too much for the figures to mean much. */
function disturbance(samples: readonly Sample[]): string[] {
  const disturbed = samples.filter(({ result }) => result.othersShare > MAX_OTHERS_SHARE).length;
  return disturbed === 0
    ? []
    : [
        `**Disturbed**: in ${disturbed} of ${samples.length} measurements other processes took more than ${MAX_OTHERS_SHARE * 100} % of the proxy's core. Latencies and requests per second suffer most, CPU times less.`,
      ];
}

function faults(cells: readonly Cell[]): string[] {
  return cells
    .filter(({ errors }) => errors > 0)
    .map(
      ({ proxy, workload, generator, errors, firstError }) =>
        `Wrong answers: ${proxy} in ${workload}${generator === "wrk" ? " by wrk" : ""}: ${errors}; the first: ${firstError}`,
    );
}

/** Writes `<name>.json` and `<name>.svg` into `folder`. Returns their paths. */
export async function writeResults(results: Results, folder: string, name: string): Promise<string[]> {
  const cells = cellsOf(results.samples);
  const verdicts = checksOf(results.samples).map((check) => ({ verdict: verdictOf(check), check }));
  const { startedAt, options, versions, missing, samples } = results;
  const json = {
    startedAt: startedAt.toISOString(),
    machine: machineText(),
    node: process.version,
    rounds: options.rounds,
    seconds: options.seconds,
    warmupSeconds: options.warmupSeconds,
    cores: options.cores,
    versions,
    missing,
    verdicts,
    cells,
    samples,
  };
  const panels = PLOTTED.map((each): Panel =>
    Object.assign({ title: TITLES.get(each.workload) ?? "" }, each),
  );
  const own = cells.filter(({ generator }) => generator === "own");
  const svg = plotSvg(own, panels, {
    title: "CPU time of the proxy per request",
    subtitle: `medians of ${roundsText(options)}, interleaved, bars with their range; one core per proxy; × nginx; ${machineText()}, ${startedAt.toISOString().slice(0, 10)}`,
  });
  await mkdir(folder, { recursive: true });
  const paths = [join(folder, `${name}.json`), join(folder, `${name}.svg`)];
  await writeFile(paths[0]!, `${JSON.stringify(json, null, 1)}\n`);
  await writeFile(paths[1]!, svg);
  return paths;
}

/** What stands between these lines of README.md is the last full run. */
const README_BEGIN = "<!-- result: written by a full run -->\n";
const README_END = "<!-- end of result -->";

/** Puts the run into the README of this folder, in place of the last one. Returns its path. */
export async function writeReadme(results: Results): Promise<string> {
  const path = resolve(import.meta.dirname, "README.md");
  const text = await readFile(path, "utf8");
  const [from, to] = [text.indexOf(README_BEGIN), text.indexOf(README_END)];
  if (from < 0 || to < from) throw new Error(`${path} lacks the two lines that enclose the result`);
  const before = text.slice(0, from + README_BEGIN.length);
  await writeFile(path, `${before}\n${resultsText(results)}\n${text.slice(to)}`);
  return path;
}

/** The machine that a run was made on, in a few words. */
export function machineText(): string {
  const [cpu] = cpus();
  return `${cpu?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release().split("-")[0]}`;
}

function whenText({ startedAt, options }: Results): string {
  return `${startedAt.toISOString().slice(0, 16).replace("T", " ")} UTC; ${roundsText(options)}`;
}

function roundsText({ rounds, seconds }: BenchOptions): string {
  return `${rounds} ${rounds === 1 ? "round" : "rounds"} of ${seconds} s`;
}
