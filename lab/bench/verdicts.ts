import { cpuUsPerRequest, ratioOf } from "./figures.ts";
import type { Sample } from "./figures.ts";
import type { LoadResult } from "./load-plan.ts";
import { median } from "./statistics.ts";
import { headOf } from "./workloads.ts";

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

/** All figures that `lychgate` (the name of one of its set-ups) must reach, in a fixed order. */
export function checksOf(samples: readonly Sample[], lychgate = "lychgate"): Check[] {
  const cpu = (workload: string, other: string): number => ratioOf(samples, workload, lychgate, other);
  const check = (subject: string, figure: string, value: number, must: number, aim?: number): Check => ({
    subject,
    figure,
    unit: "×",
    value,
    must,
    ...(aim !== undefined && { aim }),
  });
  const small = [
    { subject: "small GET", workload: "small-get" },
    { subject: "1 KiB POST", workload: "small-post" },
  ];
  const against = (workload: string, subject: string, must: number, aim: number): Check =>
    check(subject, "CPU / nginx", cpu(workload, "nginx"), must, aim);
  return [
    ...headChecks(samples, lychgate),
    ...small.flatMap(({ subject, workload }) => [
      against(workload, subject, 1.25, 1.1),
      check(subject, "CPU / HAProxy", cpu(workload, "haproxy"), 1.15),
      check(subject, "CPU / http-proxy-3", cpu(workload, "http-proxy-3"), 1 / 6),
    ]),
    ...small.flatMap(({ subject, workload }) =>
      ["nginx", "HAProxy", "Envoy"].map((name) =>
        check(subject, `CPU / ${name} closing`, cpu(workload, `${name.toLowerCase()}-close`), 0.5, 0.35),
      ),
    ),
    against("response-64k", "64 KiB response", 1.35, 1.1),
    against("response-1m", "1 MiB response", 1.35, 1.1),
    against("upload-64k", "64 KiB upload", 1.8, 1.3),
    against("new-upstream", "new upstream connection", 1.6, 1.3),
    against("websocket", "WebSocket echo", 1.7, 1.3),
    ...(lychgate === "lychgate"
      ? small.map(({ subject, workload }) =>
          check(
            `${subject}, log on`,
            "CPU / log off",
            ratioOf(samples, workload, "lychgate-log", "lychgate"),
            1.25,
          ),
        )
      : []),
    check(
      "70 % of own peak",
      "p99 / nginx",
      ratioOf(samples, "paced-get", lychgate, "nginx", ({ p99Us }) => p99Us),
      1.5,
      1,
    ),
    ...memoryChecks(samples, lychgate),
    ...churnChecks(samples, lychgate),
  ];
}

/** The headline: whatever a real program sends, and the worst of them by name. */
function headChecks(samples: readonly Sample[], lychgate: string): Check[] {
  const heads = [...new Set(samples.map(({ workload }) => workload))].filter(
    (name) => headOf(name) !== undefined,
  );
  const worst = (rival: string): { readonly value: number; readonly head: string } =>
    heads
      .map((workload) => ({
        value: ratioOf(samples, workload, lychgate, rival),
        head: headOf(workload) ?? "",
      }))
      .filter(({ value }) => Number.isFinite(value))
      .reduce((most, each) => (each.value > most.value ? each : most), {
        value: Number.NEGATIVE_INFINITY,
        head: "",
      });
  const check = (figure: string, rival: string, must: number, aim: number): Check => {
    const { value, head } = worst(rival);
    return {
      subject: "GET, worst head",
      figure: head === "" ? figure : `${figure} (${head})`,
      unit: "×",
      value,
      must,
      aim,
    };
  };
  const mixed = (subject: string, workload: string, must: number, aim: number): Check => ({
    subject,
    figure: "CPU / nginx",
    unit: "×",
    value: ratioOf(samples, workload, lychgate, "nginx"),
    must,
    aim,
  });
  return [
    check("CPU / nginx", "nginx", 1.25, 1),
    check("CPU / HAProxy", "haproxy", 1.15, 0.9),
    mixed("all heads, 200 hosts", "mixed-get", 1.35, 1.1),
    mixed("all heads, POST", "mixed-post", 1.35, 1.1),
    mixed("all heads, mixed sizes", "mixed-sizes", 1.35, 1.1),
    ...[1, 16, 512].map((connections) =>
      mixed(`all heads, ${connections} conn.`, `mixed-${connections}`, 1.35, 1.1),
    ),
  ];
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
  ];
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
    .filter((each) => each.proxy === proxy && each.workload === workload)
    .toSorted((a, b) => a.round - b.round)
    .map(({ result }) => result);
}
