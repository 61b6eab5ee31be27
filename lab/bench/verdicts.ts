import { cpuUsPerRequest, ratioOf } from "./figures.ts";
import type { Sample } from "./figures.ts";
import { GENERATORS } from "./load-plan.ts";
import type { Generator, LoadResult } from "./load-plan.ts";
import { median } from "./statistics.ts";
import { headOf, MAIN_PROXIES, PACED_SHARES, STAGES } from "./workloads.ts";
import type { Workload } from "./workloads.ts";
import { wrkCanSend } from "./wrk/script.ts";

/** One figure that lychgate must reach, or that is told beside one. */
export interface Check {
  /** What traffic it is about. */
  readonly subject: string;
  /** What is compared, such as `CPU / nginx`. */
  readonly figure: string;
  readonly unit: "×" | "MB" | "KiB" | "%";
  /** NaN when it was not measured. */
  readonly value: number;
  /** Largest value that is good enough, and that is hoped for. A figure without `must` is not judged. */
  readonly must?: number;
  readonly aim?: number;
  /** The measurement that `value` is of, where it is the worst of several: `head-e2b-js, wrk`. */
  readonly worst?: string;
  /** How many of the measurements that the figure is the worst of were made. */
  readonly measured?: { readonly count: number; readonly all: number };
}

export type Verdict = "aim" | "must" | "miss" | "told" | "not measured";

/** `aim` when the value reaches that, `must` when only what it must, `told` when nothing is asked of it. */
export function verdictOf({ value, must, aim }: Check): Verdict {
  if (!Number.isFinite(value)) return "not measured";
  if (must === undefined) return "told";
  if (aim !== undefined && value <= aim) return "aim";
  return value <= must ? "must" : "miss";
}

const MB = 1_000_000;

const WORKLOADS = STAGES.flat();
const isSmall = ({ name }: Workload): boolean =>
  headOf(name) !== undefined || /^small-(get|post)(-\d+)?$/.test(name);
const isMixed = ({ name }: Workload): boolean => name === "rotating-get" || name.startsWith("mixed-");
const isNamed =
  (...names: readonly string[]) =>
  ({ name }: Workload): boolean =>
    names.includes(name);

/** A limit for lychgate's CPU time per request, as a multiple of another set-up's, in the worst of some workloads. */
interface Requirement {
  readonly subject: string;
  /** What lychgate is compared with: the name of a set-up, and how to call it. */
  readonly rival: string;
  readonly called: string;
  readonly includes: (workload: Workload) => boolean;
  readonly must: number;
  readonly aim?: number;
}

const NGINX = { rival: "nginx", called: "nginx" } as const;
const REQUIREMENTS: readonly Requirement[] = [
  { ...NGINX, subject: "small GET, 1 KiB POST, any head", includes: isSmall, must: 1.25, aim: 1 },
  { ...NGINX, subject: "mixed heads, 200 hosts in turn", includes: isMixed, must: 1.35, aim: 1.1 },
  ...[
    { subject: "small GET, 1 KiB POST, any head", includes: isSmall },
    { subject: "mixed heads, 200 hosts in turn", includes: isMixed },
  ].flatMap((each): Requirement[] => [
    { ...each, rival: "haproxy", called: "HAProxy", must: 1.15, aim: 0.9 },
    { ...each, rival: "envoy", called: "Envoy", must: 0.33, aim: 0.25 },
  ]),
  { ...NGINX, subject: "64 KiB response", includes: isNamed("response-64k"), must: 1.2, aim: 1 },
  { ...NGINX, subject: "1 MiB response", includes: isNamed("response-1m"), must: 1.2, aim: 1 },
  { ...NGINX, subject: "64 KiB upload", includes: isNamed("upload-64k"), must: 1.2, aim: 1 },
  { ...NGINX, subject: "WebSocket echo", includes: isNamed("websocket"), must: 1.3, aim: 1.1 },
  { ...NGINX, subject: "new upstream connection", includes: isNamed("new-upstream"), must: 1.4, aim: 1.1 },
  { ...NGINX, subject: "new client connection", includes: isNamed("new-client"), must: 1.4, aim: 1.1 },
];
const LOG: Omit<Requirement, "rival"> = {
  subject: "access log on",
  called: "log off",
  includes: isNamed("small-get", "small-post"),
  must: 1.15,
};
/** What was asked of lychgate before, and holds still. */
const FORMER: readonly Requirement[] = [
  {
    subject: "small GET, 1 KiB POST",
    rival: "http-proxy-3",
    called: "http-proxy-3",
    includes: isNamed("small-get", "small-post"),
    must: 1 / 6,
  },
  ...["nginx", "HAProxy", "Envoy"].map((called) => ({
    subject: "small GET, 1 KiB POST",
    rival: `${called.toLowerCase()}-close`,
    called: `${called} closing`,
    includes: isNamed("small-get", "small-post"),
    must: 0.5,
    aim: 0.35,
  })),
];

/**
 * All figures that `lychgate` (the name of one of its set-ups) must reach, in a fixed order. A figure of CPU time is that of
 * the worst workload and the worse load generator.
 */
export function checksOf(samples: readonly Sample[], lychgate = "lychgate"): Check[] {
  return [
    ...REQUIREMENTS.map((each) => worstCheck(samples, lychgate, each)),
    ...(lychgate === "lychgate" ? [worstCheck(samples, "lychgate-log", { ...LOG, rival: lychgate })] : []),
    ...FORMER.map((each) => worstCheck(samples, lychgate, each)),
    ...PACED_SHARES.map((percent) => ({
      subject: `${percent} % of own peak`,
      figure: "p99 / nginx",
      unit: "×" as const,
      value: ratioOf(samples, `paced-${percent}`, lychgate, "nginx", ({ p99Us }) => p99Us),
      must: 1.5,
      aim: 1,
    })),
    ...memoryChecks(samples, lychgate),
    ...churnChecks(samples, lychgate),
  ];
}

/** A ratio of CPU times and what it was measured with. */
interface Measured {
  readonly workload: string;
  readonly generator: Generator;
  readonly ratio: number;
}

function worstCheck(
  samples: readonly Sample[],
  ours: string,
  { subject, called, rival, includes, must, aim }: Requirement,
): Check {
  const workloads = WORKLOADS.filter((each) => includes(each) && takePart(each, ours, rival));
  const all = ratiosOf(samples, workloads, ours, rival);
  const found = all.filter(({ ratio }) => Number.isFinite(ratio));
  const worst = worstOf(found);
  return {
    subject,
    figure: `CPU / ${called}`,
    unit: "×",
    value: worst?.ratio ?? Number.NaN,
    must,
    ...(aim !== undefined && { aim }),
    ...(worst !== undefined && { worst: nameOf(worst) }),
    measured: { count: found.length, all: all.length },
  };
}

function takePart({ proxies }: Workload, ...names: readonly string[]): boolean {
  const partakers: readonly string[] = proxies ?? MAIN_PROXIES;
  return names.every((name) => partakers.includes(name));
}

/** One for each workload and generator; wrk's only when wrk took part. NaN for what was not measured. */
function ratiosOf(
  samples: readonly Sample[],
  workloads: readonly Workload[],
  ours: string,
  rival: string,
): Measured[] {
  const took = GENERATORS.filter(
    (each) => each === "own" || samples.some(({ generator }) => generator === each),
  );
  return workloads.flatMap((workload) =>
    took
      .filter((generator) => generator === "own" || wrkCanSend(workload))
      .map((generator) => ({
        workload: workload.name,
        generator,
        ratio: ratioOf(samples, workload.name, ours, rival, cpuUsPerRequest, generator),
      })),
  );
}

function worstOf(measured: readonly Measured[]): Measured | undefined {
  return measured.toSorted((a, b) => b.ratio - a.ratio)[0];
}

function nameOf({ workload, generator }: Measured): string {
  return generator === "wrk" ? `${workload}, wrk` : workload;
}

/** The headline: the head that costs `lychgate` most beside nginx. Undefined when no head was measured with both. */
export function worstHead(samples: readonly Sample[], lychgate = "lychgate"): Measured | undefined {
  const heads = WORKLOADS.filter(({ name }) => headOf(name) !== undefined);
  const ratios = ratiosOf(samples, heads, lychgate, "nginx").filter(({ ratio }) => Number.isFinite(ratio));
  const worst = worstOf(ratios);
  return worst && { workload: worst.workload, generator: worst.generator, ratio: worst.ratio };
}

function memoryChecks(samples: readonly Sample[], lychgate: string): Check[] {
  const resident = resultsOf(samples, lychgate, "response-64k").map(
    ({ residentBytes }) => residentBytes / MB,
  );
  const idle = resultsOf(samples, lychgate, "idle-clients").flatMap(
    ({ bytesPerIdleClient }) => bytesPerIdleClient ?? [],
  );
  return [
    {
      subject: "64 KiB response",
      figure: "resident memory",
      unit: "MB",
      value: resident.length > 0 ? Math.max(...resident) : Number.NaN,
      must: 100,
    },
    {
      subject: "1,000 idle clients",
      figure: "memory of each",
      unit: "KiB",
      value: median(idle) / 1024,
      must: 8,
    },
  ];
}

/**
 * What changes cost the requests: CPU per request with the pushes, less what the same pushes cost alone, compared
 * with CPU per request without them. The figure with the pushes' own cost in it is told beside.
 */
function churnChecks(samples: readonly Sample[], lychgate: string): Check[] {
  const rounds = churnRounds(samples, lychgate);
  const growth = (figure: (round: ChurnRound) => number): number =>
    (median(rounds.map(figure).filter(Number.isFinite)) - 1) * 100;
  const subject = "1,000 changes/s";
  return [
    {
      subject,
      figure: "CPU per request, less the pushes' own",
      unit: "%",
      value: growth(netGrowth),
      must: 5,
    },
    { subject, figure: "CPU per request, pushes and all", unit: "%", value: growth(grossGrowth) },
    {
      subject,
      figure: "p99",
      unit: "%",
      value: growth(({ quiet, churn }) => churn.p99Us / quiet.p99Us),
      must: 20,
    },
    {
      subject: "10,000 changes/s",
      figure: "p99",
      unit: "%",
      value: floodGrowth(samples, lychgate),
      must: 20,
    },
  ];
}

/** By how much a flood of pushes moves the p99 of requests, in percent. */
function floodGrowth(samples: readonly Sample[], lychgate: string): number {
  const flood = resultsOf(samples, lychgate, "flood");
  const ratios = resultsOf(samples, lychgate, "paced-get").flatMap(({ p99Us }, round) => {
    const pushed = flood[round];
    return pushed === undefined ? [] : [pushed.p99Us / p99Us];
  });
  return (median(ratios) - 1) * 100;
}

interface ChurnRound {
  readonly quiet: LoadResult;
  readonly churn: LoadResult;
  readonly alone: LoadResult;
}

function churnRounds(samples: readonly Sample[], lychgate: string): ChurnRound[] {
  const quiet = resultsOf(samples, lychgate, "paced-get");
  const churn = resultsOf(samples, lychgate, "churn");
  const alone = resultsOf(samples, lychgate, "pushes-alone");
  return quiet.flatMap((each, round) => {
    const [one, other] = [churn[round], alone[round]];
    return one === undefined || other === undefined ? [] : [{ quiet: each, churn: one, alone: other }];
  });
}

function grossGrowth({ quiet, churn }: ChurnRound): number {
  return cpuUsPerRequest(churn) / cpuUsPerRequest(quiet);
}

function netGrowth({ quiet, churn, alone }: ChurnRound): number {
  const pushesUs = (alone.cpuUs / alone.measuredMs) * churn.measuredMs;
  return (churn.cpuUs - pushesUs) / churn.requests / cpuUsPerRequest(quiet);
}

function resultsOf(samples: readonly Sample[], proxy: string, workload: string): LoadResult[] {
  return samples
    .filter((each) => each.proxy === proxy && each.workload === workload && each.generator === "own")
    .toSorted((a, b) => a.round - b.round)
    .map(({ result }) => result);
}
