import { messageOf } from "../../src/system/error-text.ts";
import type { BenchOptions } from "./options.ts";
import type { Children } from "./children.ts";
import type { Sample } from "./figures.ts";
import type { LoadGenerator } from "./load-generator.ts";
import { GENERATORS } from "./load-plan.ts";
import type { Generator, LoadPlan, LoadResult, WrkProgram } from "./load-plan.ts";
import type { Proxy, ProxyContext, RunningProxy } from "./proxies/proxy.ts";
import type { Sandbox } from "./sandboxes.ts";
import { median } from "./statistics.ts";
import { MAIN_PROXIES, SMALL_GET } from "./workloads.ts";
import type { Workload } from "./workloads.ts";
import { wrkCanSend } from "./wrk/script.ts";

/** What a session works with. */
export interface SessionOptions {
  readonly options: BenchOptions;
  readonly children: Children;
  readonly directory: string;
  /** See `ProxyContext`. */
  readonly certificate: ProxyContext["certificate"];
  readonly load: LoadGenerator;
  /** Sends the load a second time where it can; undefined when it is not installed or not wanted. */
  readonly wrk?: WrkProgram;
  readonly sandboxes: readonly Sandbox[];
  readonly proxies: readonly Proxy[];
  readonly stages: readonly (readonly Workload[])[];
  /** Told what is being done, line by line. */
  readonly progress: (line: string) => void;
}

/** What came of a session. */
export interface SessionResult {
  readonly samples: readonly Sample[];
  /** Set-ups that did not start, and why. */
  readonly failed: ReadonlyMap<string, string>;
}

/** Starts the proxies and runs all rounds of all workloads. What does not start is left out. */
export async function runSession(session: SessionOptions): Promise<SessionResult> {
  const { running, failed } = await startAll(session);
  await warmUp(session, running);
  const samples: Sample[] = [];
  const retries = { leftMs: RETRY_BUDGET_MS };
  for (const stage of session.stages) {
    const peak = await peakFor(session, stage, running, samples);
    for (let round = 1; round <= session.options.rounds; round += 1) {
      for (const [proxy, common] of running) {
        for (const workload of stage.filter((each) => takesPart(proxy, each))) {
          for (const generator of generatorsFor(session, workload)) {
            const result = await quietCell(session, retries, () =>
              oneCell(session, proxy, common, workload, peak, generator),
            );
            samples.push({ proxy: proxy.name, workload: workload.name, generator, round, result });
          }
        }
      }
    }
  }
  return { samples, failed };
}

function generatorsFor({ wrk }: SessionOptions, workload: Workload): Generator[] {
  return GENERATORS.filter((each) => each === "own" || (wrk !== undefined && wrkCanSend(workload)));
}

/** Whether `proxy` is meant for `workload`, and able. */
export function takesPart(proxy: Pick<Proxy, "name" | "webSockets">, workload: Workload): boolean {
  const names: readonly string[] = workload.proxies ?? MAIN_PROXIES;
  return names.includes(proxy.name) && (workload.load.protocol === "http" || proxy.webSockets);
}

async function startAll(
  session: SessionOptions,
): Promise<{ running: Map<Proxy, RunningProxy>; failed: Map<string, string> }> {
  const { children, progress, proxies, stages } = session;
  const running = new Map<Proxy, RunningProxy>();
  const failed = new Map<string, string>();
  for (const proxy of proxies.filter((each) => stages.flat().some((workload) => takesPart(each, workload)))) {
    progress(`starting ${proxy.name}`);
    try {
      running.set(proxy, await proxy.start(contextOf(session, proxy)));
    } catch (error) {
      if (children.abandoned) throw error;
      const reason = `it did not start: ${messageOf(error)}`;
      failed.set(proxy.name, reason);
      progress(`left out: ${proxy.name}: ${reason}`);
    }
  }
  return { running, failed };
}

const FIRST_WARMUP_MS = 2500;

/** Node compiles what is hot only after a while; what runs first must not pay for that. */
async function warmUp(session: SessionOptions, running: ReadonlyMap<Proxy, RunningProxy>): Promise<void> {
  for (const [{ name }, proxy] of running) {
    session.progress(`warming up ${name}`);
    const { requests, errors, firstError } = await session.load.measure({
      ...planOf(session, proxy, SMALL_GET),
      warmupMs: 0,
      measureMs: FIRST_WARMUP_MS,
    });
    if (requests === 0) throw new Error(`${name} answered nothing (${errors} errors): ${firstError ?? ""}`);
  }
}

/**
 * Requests per second of lychgate (or, without it, of the first set-up) at its best: what `small-get` said, or a
 * measurement for the purpose. Undefined for a stage that goes by no clock.
 */
async function peakFor(
  session: SessionOptions,
  stage: readonly Workload[],
  running: ReadonlyMap<Proxy, RunningProxy>,
  samples: readonly Sample[],
): Promise<number | undefined> {
  if (stage.every(({ shareOfPeak }) => shareOfPeak === undefined)) return undefined;
  const all = [...running];
  const [proxy, common] = all.find(([{ name }]) => name === "lychgate") ?? all[0] ?? [];
  if (proxy === undefined || common === undefined) return undefined;
  const known = samples
    .filter(
      (each) => each.proxy === proxy.name && each.workload === SMALL_GET.name && each.generator === "own",
    )
    .map(({ result }) => perSecond(result));
  return known.length > 0 ? median(known) : perSecond(await oneCell(session, proxy, common, SMALL_GET));
}

function perSecond({ requests, measuredMs }: LoadResult): number {
  return (requests / measuredMs) * 1000;
}

/** Share of the proxy's core that others may take before a cell is measured again, and called disturbed. */
export const MAX_OTHERS_SHARE = 0.08;
/** Time for all repetitions of a session together. */
const RETRY_BUDGET_MS = 60_000;

/** Measures once more when other processes were in the way, and keeps the better of the two. */
async function quietCell(
  session: SessionOptions,
  retries: { leftMs: number },
  measure: () => Promise<LoadResult>,
): Promise<LoadResult> {
  const first = await measure();
  if (first.othersShare <= MAX_OTHERS_SHARE || retries.leftMs <= 0 || session.options.quick) return first;
  const startedMs = performance.now();
  session.progress(`others took ${Math.round(first.othersShare * 100)} % of the proxy's core: once more`);
  const second = await measure();
  retries.leftMs -= performance.now() - startedMs;
  return second.othersShare < first.othersShare ? second : first;
}

async function oneCell(
  session: SessionOptions,
  proxy: Proxy,
  common: RunningProxy,
  workload: Workload,
  peak?: number,
  generator: Generator = "own",
): Promise<LoadResult> {
  const { progress, load } = session;
  const fresh =
    workload.freshProxy === true ? await proxy.start(contextOf(session, proxy, "-fresh")) : undefined;
  try {
    const result = await load.measure(
      planOf(session, fresh ?? common, workload, peak),
      generator === "wrk" ? session.wrk : undefined,
    );
    const perRequest = result.requests > 0 ? `${(result.cpuUs / result.requests).toFixed(1)} µs` : "done";
    const errors = result.errors > 0 ? `, ${result.errors} ERRORS, the first: ${result.firstError}` : "";
    const by = generator === "wrk" ? " by wrk" : "";
    progress(`${workload.name} ${proxy.name}${by}: ${perRequest}${errors}`);
    return result;
  } finally {
    await fresh?.stop();
  }
}

function planOf(
  { options }: SessionOptions,
  { port: plainPort, tlsPort, pid, peerPort }: RunningProxy,
  { load, shareOfPeak, pushesPerSecond, freshProxy }: Workload,
  peak?: number,
): LoadPlan {
  const port = load.tls === true ? (tlsPort ?? plainPort) : plainPort;
  return {
    ...load,
    port,
    pid,
    core: options.cores[0],
    warmupMs: freshProxy === true ? FIRST_WARMUP_MS : options.warmupSeconds * 1000,
    measureMs: options.seconds * 1000,
    ...(shareOfPeak !== undefined && peak !== undefined && { ratePerSecond: Math.round(peak * shareOfPeak) }),
    ...(pushesPerSecond !== undefined &&
      peerPort !== undefined && { pushes: { port: peerPort, perSecond: pushesPerSecond } }),
  };
}

function contextOf(
  { children, directory, certificate, options, sandboxes, load }: SessionOptions,
  { name }: Proxy,
  suffix = "",
): ProxyContext {
  return {
    name: `${name}${suffix}`,
    children,
    core: options.cores[0],
    directory,
    certificate,
    sandboxes,
    podPort: load.podPort,
  };
}
