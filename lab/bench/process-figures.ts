import { readdirSync, readFileSync } from "node:fs";

/** USER_HZ is 100 on every architecture that Node runs on. */
const TICK_US = 10_000;

/** What a process and its descendants used so far. */
export interface ProcessFigures {
  /** Time on a CPU, all threads. */
  readonly cpuUs: number;
  /** The parts of it by the clock tick (10 ms): good for a share, too coarse for a figure. */
  readonly userTicks: number;
  readonly kernelTicks: number;
  readonly residentBytes: number;
}

/**
 * Reads `/proc` for `pid` and its descendants. CPU time is that of `schedstat`, in nanoseconds, summed over the
 * threads; where the kernel lacks it, utime + stime of `stat`. A process that has ended counts as 0.
 */
export function processFigures(pid: number): ProcessFigures {
  let cpuUs = 0;
  let userTicks = 0;
  let kernelTicks = 0;
  let residentBytes = 0;
  for (const each of tree(pid)) {
    const stat = read(`/proc/${each}/stat`);
    // The command's name may hold blanks and brackets; after the last bracket the fields begin with the third.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const user = Number(fields[11] ?? 0);
    const kernel = Number(fields[12] ?? 0);
    userTicks += user;
    kernelTicks += kernel;
    const ranNs = scheduledNs(each);
    cpuUs += ranNs > 0 ? ranNs / 1000 : (user + kernel) * TICK_US;
    residentBytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${each}/status`))?.[1] ?? 0) * 1024;
  }
  return { cpuUs, userTicks, kernelTicks, residentBytes };
}

function tree(pid: number): number[] {
  const found = [pid];
  // The list grows while it is walked.
  for (const each of found) {
    for (const thread of threads(each)) {
      const children = read(`/proc/${each}/task/${thread}/children`).trim();
      if (children !== "") found.push(...children.split(" ").map(Number));
    }
  }
  return found;
}

/** Time that all threads of a process ran. */
function scheduledNs(pid: number): number {
  return threads(pid)
    .map((thread) => Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(" ")[0] ?? 0))
    .reduce((sum, each) => sum + each, 0);
}

/** Time that `core` was not idle since the machine began, whoever used it, by the clock tick. */
export function coreBusyUs(core: number): number {
  const line = new RegExp(`^cpu${core} (.*)$`, "m").exec(read("/proc/stat"))?.[1] ?? "";
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = line.split(" ").map(Number);
  return (user + nice + system + irq + softIrq + steal) * TICK_US;
}

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
