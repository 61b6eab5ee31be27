import { ratioOf } from "./figures.ts";
import type { Cell, Sample } from "./figures.ts";

/** The load's core was full while the proxy's was not: requests per second are the load's then, not the proxy's. */
export function loadWasTheLimit({ loadBusy, proxyBusy }: Cell): boolean {
  return loadBusy > 0.93 && proxyBusy < 0.93;
}

const COLUMNS = [
  "proxy",
  "CPU µs/req",
  "min–max",
  "× nginx",
  "kernel",
  "req/s",
  "p50 ms",
  "p99 ms",
  "p99.9 ms",
  "RSS MB",
  "",
] as const;

/** One Markdown table per workload, cheapest first, in the order in which they were measured. */
export function reportTables(
  cells: readonly Cell[],
  samples: readonly Sample[],
  titles: ReadonlyMap<string, string>,
): string {
  const byWorkload = Map.groupBy(cells, ({ workload }) => workload);
  return [...byWorkload]
    .map(([workload, group]) => {
      const rows = group
        .toSorted((a, b) => a.cpuUs - b.cpuUs)
        .map((cell) => rowOf(cell, ratioOf(samples, workload, cell.proxy, "nginx")));
      return `### ${workload}: ${titles.get(workload) ?? ""}\n\n${markdownTable([COLUMNS, ...rows])}\n`;
    })
    .join("\n");
}

function rowOf(cell: Cell, ratio: number): string[] {
  return [
    cell.proxy,
    fixed(cell.cpuUs, 1),
    `${fixed(cell.cpuUsMin, 1)}–${fixed(cell.cpuUsMax, 1)}`,
    fixed(ratio, 2),
    Number.isFinite(cell.cpuUs) ? `${Math.round(cell.kernelShare * 100)} %` : "",
    Math.round(cell.perSecond).toLocaleString("en"),
    fixed(cell.p50Ms, 2),
    fixed(cell.p99Ms, 2),
    fixed(cell.p999Ms, 2),
    fixed(cell.residentMb, 0),
    remarks(cell).join("; "),
  ];
}

function remarks(cell: Cell): string[] {
  return [
    ...(cell.errors > 0 ? [`${cell.errors} errors`] : []),
    ...(cell.kibPerIdleClient === undefined
      ? []
      : [`${fixed(cell.kibPerIdleClient, 1)} KiB per idle client`]),
    ...(Number.isFinite(cell.cpuUs) ? [] : [`${fixed(cell.cpuMsPerSecond, 1)} ms CPU/s`]),
    ...(loadWasTheLimit(cell) ? ["load's core full"] : []),
    ...(cell.othersShare > 0.05 ? [`others took ${Math.round(cell.othersShare * 100)} % of its core`] : []),
  ];
}

function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "";
}

/** Lines up `rows`, of which the first is the head, as a Markdown table. */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    `| ${widths
      .map((width, column) => {
        const text = row[column] ?? "";
        return column === 0 || column === widths.length - 1 ? text.padEnd(width) : text.padStart(width);
      })
      .join(" | ")} |`;
  const [head = [], ...body] = rows;
  const rule = `| ${widths.map((width, column) => (column === 0 || column === widths.length - 1 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(head), rule, ...body.map(line)].join("\n");
}
