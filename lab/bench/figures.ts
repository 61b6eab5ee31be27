import type { Generator, LoadResult } from "./load-plan.ts";
import { median } from "./statistics.ts";

/** One measurement: one proxy under one workload in one round. */
export interface Sample {
  readonly proxy: string;
  readonly workload: string;
  readonly generator: Generator;
  readonly round: number;
  readonly result: LoadResult;
}

/** Medians over the rounds of one proxy under one workload. */
export interface Cell {
  readonly proxy: string;
  readonly workload: string;
  readonly generator: Generator;
  readonly rounds: number;
  /** CPU microseconds of the proxy's processes per request; NaN without requests. */
  readonly cpuUs: number;
  readonly cpuUsMin: number;
  readonly cpuUsMax: number;
  /** That as a multiple of nginx's; NaN without nginx. See {@link ratioOf}. */
  readonly timesNginx: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** Largest of the rounds. */
  readonly residentMb: number;
  readonly kernelShare: number;
  /** Share of its core that the proxy had, and that the load had. */
  readonly proxyBusy: number;
  readonly loadBusy: number;
  /** Share of its core that other processes took. */
  readonly othersShare: number;
  /** CPU of the proxy per second, in milliseconds. */
  readonly cpuMsPerSecond: number;
  readonly kibPerIdleClient?: number;
  readonly errors: number;
  readonly firstError?: string;
}

const MB = 1_000_000;

/** Pools the samples of each proxy, workload and generator. Kept in the order of their first appearance. */
export function cellsOf(samples: readonly Sample[]): Cell[] {
  const groups = Map.groupBy(
    samples,
    ({ proxy, workload, generator }) => `${workload} ${proxy} ${generator}`,
  );
  return [...groups.values()].map((group) => {
    const { workload, proxy, generator } = group[0]!;
    return cellOf(group, ratioOf(samples, workload, proxy, "nginx", cpuUsPerRequest, generator));
  });
}

function cellOf(group: readonly Sample[], timesNginx: number): Cell {
  const { proxy, workload, generator } = group[0]!;
  const results = group.map(({ result }) => result);
  const middle = (figure: (result: LoadResult) => number): number => median(results.map(figure));
  const latency = (figure: (result: LoadResult) => number): number =>
    median(results.filter(({ requests }) => requests > 0).map(figure)) / 1000;
  const cpu = results.map(cpuUsPerRequest).filter(Number.isFinite);
  const idle = results.flatMap(({ bytesPerIdleClient }) => bytesPerIdleClient ?? []);
  const firstError = results.find((each) => each.firstError !== undefined)?.firstError;
  return {
    proxy,
    workload,
    generator,
    rounds: group.length,
    cpuUs: median(cpu),
    cpuUsMin: cpu.length > 0 ? Math.min(...cpu) : Number.NaN,
    cpuUsMax: cpu.length > 0 ? Math.max(...cpu) : Number.NaN,
    timesNginx,
    perSecond: middle((each) => (each.requests / each.measuredMs) * 1000),
    p50Ms: latency(({ p50Us }) => p50Us),
    p99Ms: latency(({ p99Us }) => p99Us),
    p999Ms: latency(({ p999Us }) => p999Us),
    residentMb: Math.max(...results.map((each) => each.residentBytes)) / MB,
    kernelShare: middle((each) => each.kernelShare),
    proxyBusy: middle((each) => each.cpuUs / 1000 / each.measuredMs),
    loadBusy: middle((each) => each.loadCpuUs / 1000 / each.measuredMs),
    othersShare: middle((each) => each.othersShare),
    cpuMsPerSecond: middle((each) => each.cpuUs / each.measuredMs),
    ...(idle.length > 0 && { kibPerIdleClient: median(idle) / 1024 }),
    errors: results.reduce((sum, each) => sum + each.errors, 0),
    ...(firstError !== undefined && { firstError }),
  };
}

export function cpuUsPerRequest({ cpuUs, requests }: LoadResult): number {
  return requests > 0 ? cpuUs / requests : Number.NaN;
}

/**
 * The median over the rounds of `figure` of `proxy` divided by that of `other` in the same round: what slowed the
 * machine for a while slowed both. Only samples of one generator are compared. NaN when they have no round in common.
 */
export function ratioOf(
  samples: readonly Sample[],
  workload: string,
  proxy: string,
  other: string,
  figure: (result: LoadResult) => number = cpuUsPerRequest,
  generator: Generator = "own",
): number {
  const of = (name: string): Sample[] =>
    samples.filter(
      (each) => each.workload === workload && each.proxy === name && each.generator === generator,
    );
  const others = new Map(of(other).map(({ round, result }) => [round, figure(result)]));
  const ratios = of(proxy).map(({ round, result }) => figure(result) / (others.get(round) ?? Number.NaN));
  return median(ratios.filter(Number.isFinite));
}
