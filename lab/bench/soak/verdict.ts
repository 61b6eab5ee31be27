import { judgeTrend, secondHalf, trendOf } from "./trend.ts";
import type { Allowance, Reading, Trend, TrendVerdict } from "./trend.ts";

/** What was read of lychgate and of the load at one time. The latencies are those since the sample before. */
export interface SoakSample {
  /** Since the load began. */
  readonly atMs: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly openFiles: number;
  readonly lagP99Ms: number;
  readonly lagMaxMs: number;
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** Share of lychgate's core that other processes took since the sample before, 0 to 1. */
  readonly othersShare: number;
}

/** A figure that is watched. */
export interface Watched {
  readonly title: string;
  readonly unit: "MB" | "ms" | "";
  readonly valueOf: (sample: SoakSample) => number;
  readonly allowance: Allowance;
  /** Other processes on lychgate's core move it too: only samples of calm times are judged. */
  readonly needsCalm: boolean;
}

/** A time is calm when others took no more of lychgate's core. */
export const MAX_OTHERS_SHARE = 0.2;
const MB = 1_000_000;

/** What must not grow over the second half, and what still counts as no growth: more than noise, less than a leak. */
export const WATCHED: readonly Watched[] = [
  {
    title: "Resident memory",
    unit: "MB",
    valueOf: ({ residentBytes }) => residentBytes / MB,
    allowance: { absolute: 5, relative: 0.05 },
    needsCalm: false,
  },
  {
    title: "Open file descriptors",
    unit: "",
    valueOf: ({ openFiles }) => openFiles,
    // Slow answers are more requests at a time, so more connections to pods.
    allowance: { absolute: 10, relative: 0.05 },
    needsCalm: true,
  },
  {
    title: "Event loop lag, p99",
    unit: "ms",
    valueOf: ({ lagP99Ms }) => lagP99Ms,
    allowance: { absolute: 5, relative: 0.5 },
    needsCalm: true,
  },
  {
    title: "Latency of requests, p99.9",
    unit: "ms",
    valueOf: ({ p999Ms }) => p999Ms,
    allowance: { absolute: 5, relative: 0.5 },
    needsCalm: true,
  },
];

/** How one watched figure moved. */
export interface SoakFinding {
  readonly watched: Watched;
  readonly trend: Trend | undefined;
  readonly verdict: TrendVerdict;
}

export function findingsOf(samples: readonly SoakSample[]): SoakFinding[] {
  return WATCHED.map((watched) => {
    const readings = secondHalf(samples)
      .filter(({ othersShare }) => !watched.needsCalm || othersShare <= MAX_OTHERS_SHARE)
      .map((sample): Reading => ({ atMs: sample.atMs, value: watched.valueOf(sample) }))
      .filter(({ value }) => Number.isFinite(value));
    const trend = trendOf(readings);
    return { watched, trend, verdict: judgeTrend(trend, watched.allowance) };
  });
}

/** Whether a soak passes: no answer was wrong, and each watched figure was judged and is steady. */
export function soakPasses(findings: readonly SoakFinding[], errors: number): boolean {
  return errors === 0 && findings.every(({ verdict }) => verdict === "steady");
}

/** The load is behind its clock below this share of the rate that it was asked for. */
const MIN_PACE = 0.95;

/**
 * What to say when the load sent less than `ratePerSecond` over the second half: its latencies count from when a
 * request was due, so they grow then, and say nothing about the router. Undefined when it kept pace.
 */
export function paceWarning(samples: readonly SoakSample[], ratePerSecond: number): string | undefined {
  const half = samples.slice(Math.floor(samples.length / 2));
  const [first, last] = [half[0], half.at(-1)];
  if (first === undefined || last === undefined || first === last) return undefined;
  const sent = half.slice(1).reduce((sum, { requests }) => sum + requests, 0);
  const perSecond = sent / ((last.atMs - first.atMs) / 1000);
  if (perSecond >= ratePerSecond * MIN_PACE) return undefined;
  return `The load got ${Math.round(perSecond)} answers per second instead of ${ratePerSecond}: choose a lower --rate, or latencies say nothing.`;
}

/** The findings as lines for people. */
export function findingLines(findings: readonly SoakFinding[]): string[] {
  return findings.map(({ watched: { title, unit, allowance, needsCalm }, trend, verdict }) => {
    if (trend === undefined) {
      const calm = needsCalm ? ` while others took at most ${MAX_OTHERS_SHARE * 100} % of the core` : "";
      return `${title}: NOT JUDGED: too few readings${calm}`;
    }
    const amount = (value: number): string => `${value.toFixed(1)}${unit === "" ? "" : ` ${unit}`}`;
    const signed = (value: number): string => `${value < 0 ? "−" : "+"}${amount(Math.abs(value))}`;
    const allowed = Math.max(allowance.absolute, allowance.relative * trend.level);
    const said = verdict === "grows" ? "GROWS" : "steady";
    return `${title}: ${said}; median ${amount(trend.level)}, ${signed(trend.growth)} within the second half (at most ${amount(allowed)} allowed), ${signed(trend.perHour)} per hour`;
  });
}
