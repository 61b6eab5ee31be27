import { cpus, release, totalmem } from "node:os";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BenchOptions } from "./options.ts";
import { cellsOf } from "./figures.ts";
import type { Cell, Sample } from "./figures.ts";
import { plotSvg } from "./plot.ts";
import type { Panel } from "./plot.ts";
import { reportTables } from "./report-table.ts";
import { verdictTable } from "./report-verdicts.ts";
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
  { workload: "response-64k", limit: 1.35 },
  { workload: "response-1m", limit: 1.35 },
  { workload: "upload-64k", limit: 1.8 },
  { workload: "rotating-get" },
  { workload: "new-upstream", limit: 1.6 },
  { workload: "new-client" },
  { workload: "websocket", limit: 1.7 },
  { workload: "idle-clients" },
];

const TITLES: ReadonlyMap<string, string> = new Map(STAGES.flat().map(({ name, title }) => [name, title]));

/** The run as text: tables of figures, then of verdicts, then who was missing. */
export function resultsText(results: Results): string {
  const { samples, missing, versions } = results;
  const cells = cellsOf(samples);
  const lines = [
    `${machineText()}; ${whenText(results)}.`,
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
    "",
    reportTables(cells, STAGES.flat()),
    "### What lychgate must reach",
    "",
    verdictTable(checksOf(samples), checksOf(samples, "lychgate-shared")),
    "",
    ...Object.entries(missing).map(([name, reason]) => `Left out: ${name}: ${reason}.`),
    ...faults(cells),
  ];
  return `${lines.join("\n")}\n`;
}

function faults(cells: readonly Cell[]): string[] {
  return cells
    .filter(({ errors }) => errors > 0)
    .map(
      ({ proxy, workload, errors, firstError }) =>
        `Wrong answers: ${proxy} in ${workload}: ${errors}; the first: ${firstError}`,
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
    options,
    versions,
    missing,
    verdicts,
    cells,
    samples,
  };
  const panels = PLOTTED.map((each): Panel =>
    Object.assign({ title: TITLES.get(each.workload) ?? "" }, each),
  );
  const svg = plotSvg(cells, panels, {
    title: "CPU time of the proxy per request",
    subtitle: `medians of ${options.rounds} interleaved rounds of ${options.seconds} s, bars with their range; one core per proxy; × nginx; ${machineText()}, ${startedAt.toISOString().slice(0, 10)}`,
  });
  await mkdir(folder, { recursive: true });
  const paths = [join(folder, `${name}.json`), join(folder, `${name}.svg`)];
  await writeFile(paths[0]!, `${JSON.stringify(json, null, 1)}\n`);
  await writeFile(paths[1]!, svg);
  return paths;
}

function machineText(): string {
  const [cpu] = cpus();
  return `${cpu?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release().split("-")[0]}`;
}

function whenText({ startedAt, options }: Results): string {
  return `${startedAt.toISOString().slice(0, 16).replace("T", " ")} UTC; ${options.rounds} rounds of ${options.seconds} s`;
}
