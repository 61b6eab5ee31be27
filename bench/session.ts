import type { BenchOptions } from "./options.ts";
import type { Children } from "./children.ts";
import type { Sample } from "./figures.ts";
import type { LoadGenerator } from "./load-generator.ts";
import type { LoadPlan, LoadResult } from "./load-plan.ts";
import type { Proxy, ProxyContext, RunningProxy } from "./proxies/proxy.ts";
import type { Sandbox } from "./sandboxes.ts";
import { median } from "./statistics.ts";
import { MAIN_PROXIES } from "./workloads.ts";
import type { Workload } from "./workloads.ts";

/** What a session works with. */
export interface SessionOptions {
  readonly options: BenchOptions;
  readonly children: Children;
  readonly directory: string;
  readonly load: LoadGenerator;
  readonly sandboxes: readonly Sandbox[];
  readonly proxies: readonly Proxy[];
  readonly stages: readonly (readonly Workload[])[];
  /** Told what is being done, line by line. */
  readonly progress: (line: string) => void;
}

const FIRST_WARMUP_MS = 2500;

/** Starts all proxies and runs all rounds of all workloads. A proxy that fails a cell is left out of that cell. */
export async function runSession(session: SessionOptions): Promise<Sample[]> {
  const { options, stages, proxies, progress } = session;
  const running = new Map<string, RunningProxy>();
  for (const proxy of proxies) {
    progress(`starting ${proxy.name}`);
    running.set(proxy.name, await proxy.start(contextOf(session, proxy)));
  }
  await warmUp(session, running);
  const samples: Sample[] = [];
  for (const stage of stages) {
    for (let round = 1; round <= options.rounds; round += 1) {
      for (const proxy of proxies) {
        for (const workload of stage.filter((each) => takesPart(proxy, each))) {
          const result = await oneCell(session, proxy, running, workload, peakOf(samples));
          if (result !== undefined)
            samples.push({ proxy: proxy.name, workload: workload.name, round, result });
        }
      }
    }
  }
  return samples;
}

/** Node compiles what is hot only after a while; what runs first must not pay for that. */
async function warmUp(session: SessionOptions, running: ReadonlyMap<string, RunningProxy>): Promise<void> {
  const [workload] = session.stages.flat();
  if (workload === undefined) return;
  for (const [name, proxy] of running) {
    session.progress(`warming up ${name}`);
    const { warmupMs: _, ...plan } = planOf(session, proxy, { ...workload, freshProxy: false });
    const { requests, errors, firstError } = await session.load.measure({
      ...plan,
      ...(plan.protocol === "http" && { hosts: 1, connections: 64 }),
      idleConnections: 0,
      warmupMs: 0,
      measureMs: session.options.quick ? FIRST_WARMUP_MS / 2 : FIRST_WARMUP_MS,
    });
    if (requests === 0) throw new Error(`${name} answered nothing (${errors} errors): ${firstError ?? ""}`);
  }
}

/** Whether `proxy` is meant for `workload`, and able. */
export function takesPart(proxy: Pick<Proxy, "name" | "webSockets">, workload: Workload): boolean {
  const names: readonly string[] = workload.proxies ?? MAIN_PROXIES;
  return names.includes(proxy.name) && (workload.load.protocol === "http" || proxy.webSockets);
}

/** Requests per second of lychgate at its best, from what was measured so far; undefined before. */
function peakOf(samples: readonly Sample[]): number | undefined {
  const rates = samples
    .filter(({ proxy, workload }) => proxy === "lychgate" && workload === "small-get")
    .map(({ result }) => (result.requests / result.measuredMs) * 1000);
  return rates.length > 0 ? median(rates) : undefined;
}

async function oneCell(
  session: SessionOptions,
  proxy: Proxy,
  running: ReadonlyMap<string, RunningProxy>,
  workload: Workload,
  peak: number | undefined,
): Promise<LoadResult | undefined> {
  const { progress, load } = session;
  const common = running.get(proxy.name);
  if (common === undefined) return undefined;
  const fresh =
    workload.freshProxy === true ? await proxy.start(contextOf(session, proxy, "-fresh")) : undefined;
  try {
    const result = await load.measure(planOf(session, fresh ?? common, workload, peak));
    const perRequest = result.requests > 0 ? `${(result.cpuUs / result.requests).toFixed(1)} µs` : "";
    const errors = result.errors > 0 ? `, ${result.errors} ERRORS, the first: ${result.firstError}` : "";
    progress(`${workload.name} ${proxy.name}: ${perRequest}${errors}`);
    return result;
  } finally {
    await fresh?.stop();
  }
}

function planOf(
  { options }: SessionOptions,
  { port, pid, peerPort }: RunningProxy,
  workload: Workload,
  peak?: number,
): LoadPlan {
  const { shareOfPeak, pushesPerSecond } = workload;
  return {
    ...workload.load,
    port,
    pid,
    core: options.cores[0],
    warmupMs: options.warmupSeconds * 1000,
    measureMs: options.seconds * 1000,
    ...(shareOfPeak !== undefined && peak !== undefined && { ratePerSecond: Math.round(peak * shareOfPeak) }),
    ...(pushesPerSecond !== undefined &&
      peerPort !== undefined && { pushes: { port: peerPort, perSecond: pushesPerSecond } }),
  };
}

function contextOf(
  { children, directory, options, sandboxes, load }: SessionOptions,
  { name }: Proxy,
  suffix = "",
): ProxyContext {
  return {
    name: `${name}${suffix}`,
    children,
    core: options.cores[0],
    directory,
    sandboxes,
    podPort: load.podPort,
  };
}
