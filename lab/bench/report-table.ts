import type { Cell } from "./figures.ts";
import { markdownTable } from "./markdown-table.ts";
import type { Workload } from "./workloads.ts";

/** The load's core was full while the proxy's was not: requests per second are the load's then, not the proxy's. */
function loadWasTheLimit({ loadBusy, proxyBusy }: Cell, { shareOfPeak }: Workload): boolean {
  return shareOfPeak === undefined && loadBusy > 0.93 && proxyBusy < 0.9;
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
] as const;
/** Columns of the same measurements with wrk. */
const WRK_COLUMNS = ["wrk µs/req", "wrk × nginx", "wrk req/s", "wrk p99 ms"] as const;

/** One Markdown table per workload that was measured, cheapest proxy first. */
export function reportTables(cells: readonly Cell[], workloads: readonly Workload[]): string {
  return workloads
    .map((workload) => {
      const here = cells.filter((cell) => cell.workload === workload.name);
      const byWrk = new Map(
        here.filter(({ generator }) => generator === "wrk").map((cell) => [cell.proxy, cell]),
      );
      const rows = here
        .filter(({ generator }) => generator === "own")
        .toSorted((a, b) => a.cpuUs - b.cpuUs)
        .map((cell) => {
          const wrk = byWrk.get(cell.proxy);
          const remark = remarks(cell, workload, wrk).join("; ");
          return rowOf(cell).concat(byWrk.size > 0 ? wrkRowOf(wrk) : [], remark);
        });
      if (rows.length === 0) return "";
      return `### ${workload.name}: ${workload.title}\n\n${markdownTable([[...COLUMNS, ...(byWrk.size > 0 ? WRK_COLUMNS : []), ""], ...rows])}`;
    })
    .filter((each) => each !== "")
    .join("\n\n");
}

function rowOf(cell: Cell): string[] {
  return [
    cell.proxy,
    fixed(cell.cpuUs, 1),
    Number.isFinite(cell.cpuUs) ? `${fixed(cell.cpuUsMin, 1)}–${fixed(cell.cpuUsMax, 1)}` : "",
    fixed(cell.timesNginx, 2),
    Number.isFinite(cell.cpuUs) ? `${Math.round(cell.kernelShare * 100)} %` : "",
    Math.round(cell.perSecond).toLocaleString("en"),
    fixed(cell.p50Ms, 2),
    fixed(cell.p99Ms, 2),
    fixed(cell.p999Ms, 2),
    fixed(cell.residentMb, 0),
  ];
}

function wrkRowOf(cell: Cell | undefined): string[] {
  if (cell === undefined) return WRK_COLUMNS.map(() => "");
  return [
    fixed(cell.cpuUs, 1),
    fixed(cell.timesNginx, 2),
    Math.round(cell.perSecond).toLocaleString("en"),
    fixed(cell.p99Ms, 2),
  ];
}

function remarks(cell: Cell, workload: Workload, byWrk: Cell | undefined): string[] {
  return [
    ...(cell.errors > 0 ? [`${cell.errors} errors`] : []),
    ...(byWrk !== undefined && byWrk.errors > 0 ? [`${byWrk.errors} errors by wrk`] : []),
    ...(cell.kibPerIdleClient === undefined
      ? []
      : [`${fixed(cell.kibPerIdleClient, 1)} KiB per idle client`]),
    ...(Number.isFinite(cell.cpuUs) ? [] : [`${fixed(cell.cpuMsPerSecond, 1)} ms CPU/s`]),
    ...(loadWasTheLimit(cell, workload) ? ["load's core full"] : []),
    ...(cell.othersShare > 0.05 ? [`others took ${Math.round(cell.othersShare * 100)} % of its core`] : []),
  ];
}

function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "";
}
