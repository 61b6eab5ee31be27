import type { Sample } from "../../../lab/bench/figures.ts";
import type { Generator, LoadResult } from "../../../lab/bench/load-plan.ts";

/** A sample with 1,000 requests in a second, 10 µs of CPU each, but for what `result` says. */
export function sample(
  proxy: string,
  workload: string,
  round: number,
  result: Partial<LoadResult> = {},
  generator: Generator = "own",
): Sample {
  const plain: LoadResult = {
    requests: 1000,
    measuredMs: 1000,
    cpuUs: 10_000,
    kernelShare: 0.5,
    othersShare: 0,
    loadCpuUs: 10_000,
    residentBytes: 50_000_000,
    p50Us: 100,
    p99Us: 200,
    p999Us: 300,
    errors: 0,
    pushes: 0,
  };
  return { proxy, workload, generator, round, result: { ...plain, ...result } };
}
