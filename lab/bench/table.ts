/**
 * What the route table costs, and a first list (`npm run bench:table`; `--quick` for a short run): prints tables and writes
 * lab/bench/results/table.json. Each part runs in processes of its own, one after the other. See lab/bench/table.md.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { markdownTable } from "./markdown-table.ts";
import { endChild, firstLine, spawnNode } from "./table-child.ts";
import type { Rate, TableFigures } from "./table-figures.ts";
import { LIST_WAYS } from "../../src/watch/list-way.ts";
import { measureSync, type SyncFigures } from "./table-sync.ts";
import { measureWorkers, type Quantiles } from "./table-workers.ts";

const [flag, ...more] = process.argv.slice(2);
if (more.length > 0 || (flag !== undefined && flag !== "--quick")) {
  process.stderr.write("usage: node lab/bench/table.ts [--quick]\n");
  process.exit(2);
}
const isQuick = flag === "--quick";
const sizes = isQuick ? [10_000] : [10_000, 100_000, 1_000_000];

const tables: TableFigures[] = [];
for (const size of sizes) {
  say(`a table of ${whole(size)} routes …`);
  tables.push(await measureTable(size, isQuick ? 0.2 : 0.5));
}
say("a first list, from the dev cluster's API into lychgate serve …");
const syncs: SyncFigures[] = [];
for (const way of LIST_WAYS) syncs.push(await measureSync(isQuick ? 5_000 : 100_000, 4_096, way));
say("a push, until all workers know it …");
const workers = await measureWorkers(2, isQuick ? 40 : 400);

const machine = { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version };
const results = { at: new Date().toISOString(), quick: isQuick, machine, tables, syncs, workers };
const directory = join(import.meta.dirname, "results");
await mkdir(directory, { recursive: true });
await writeFile(join(directory, "table.json"), `${JSON.stringify(results, undefined, 2)}\n`);

const columns = ["", ...tables.map(({ routes }) => `${whole(routes)} routes`), "unit"];
const row = (name: string, value: (figures: TableFigures) => number, unit: string): string[] => [
  name,
  ...tables.map((figures) => whole(value(figures))),
  unit,
];
const [first] = tables;
const kindsOf = <Kind extends string>(
  of: (figures: TableFigures) => Readonly<Record<Kind, unknown>>,
): Kind[] => (first === undefined ? [] : (Object.keys(of(first)) as Kind[]));
/** Two figures in a cell: the mean, and that of the quietest tenth of the batches. */
const rateRow = (name: string, of: (figures: TableFigures) => Rate): string[] => [
  name,
  ...tables.map((figures) => `${millions(of(figures).mean)} (${millions(of(figures).quiet)})`),
  "millions/s: mean (quietest)",
];
const rows = [
  columns,
  ...kindsOf(({ mutationsPerSecond }) => mutationsPerSecond).map((kind) =>
    rateRow(kind, ({ mutationsPerSecond }) => mutationsPerSecond[kind]),
  ),
  ...kindsOf(({ lookupsPerSecond }) => lookupsPerSecond).map((kind) =>
    rateRow(`lookup: ${kind}`, ({ lookupsPerSecond }) => lookupsPerSecond[kind]),
  ),
  ...kindsOf(({ bytesPerRoute }) => bytesPerRoute).map((kind) =>
    row(`memory: ${kind}`, ({ bytesPerRoute }) => bytesPerRoute[kind], "bytes per route"),
  ),
  row("a first list taken in", ({ relistMs }) => relistMs, "ms"),
];
process.stdout.write(`${markdownTable(rows)}\n\n`);
for (const sync of syncs) {
  process.stdout.write(
    `First list (${sync.list}) of ${whole(sync.sandboxes)} sandboxes of ${whole(sync.bytesPerSandbox)} bytes: listed in ` +
      `${sync.listSeconds.toFixed(1)} s, ready ${sync.secondsToReady.toFixed(1)} s after the start, ` +
      `${sync.cpuSeconds.toFixed(1)} s of CPU, peak memory ${whole(sync.peakMiB)} MiB.\n`,
  );
}
process.stdout.write(
  `A push to ${workers.workers} workers: answered after ${spread(workers.answeredMs)}, in effect in all after ` +
    `${spread(workers.inEffectMs)} (${whole(workers.pushes)} pushes).\n`,
);

async function measureTable(routes: number, seconds: number): Promise<TableFigures> {
  const script = join(import.meta.dirname, "table-figures.ts");
  const child = spawnNode(["--expose-gc", script, String(routes), String(seconds)]);
  try {
    return JSON.parse(await firstLine(child, "stdout", () => true)) as TableFigures;
  } finally {
    await endChild(child);
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function millions(value: number): string {
  return (value / 1e6).toFixed(2);
}

function spread({ p50, p99 }: Quantiles): string {
  return `${p50.toFixed(1)} ms (p99 ${p99.toFixed(1)} ms)`;
}
