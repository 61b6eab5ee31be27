import { median } from "../statistics.ts";

/** One reading of a series. */
export interface Reading {
  readonly atMs: number;
  readonly value: number;
}

/** How a series moves, by the slopes between all pairs of its readings. */
export interface Trend {
  /** Theil–Sen: the median of those slopes, per hour. A few outliers do not move it. */
  readonly perHour: number;
  /** Lower end of Sen's 95 % confidence interval of the slope, per hour: above 0 the growth is not chance. */
  readonly atLeastPerHour: number;
  /** `perHour` times the time from the first reading to the last. */
  readonly growth: number;
  /** Median of the readings. */
  readonly level: number;
}

/** How far a series may grow within the readings that are judged: the larger of the two. */
export interface Allowance {
  readonly absolute: number;
  /** Share of the median, 0.05 for 5 %. */
  readonly relative: number;
}

export type TrendVerdict = "steady" | "grows" | "too few readings";

/** With fewer readings a trend is not judged. */
export const MIN_READINGS = 10;
const HOUR_MS = 3_600_000;
/** Of the normal distribution, for 95 % on both sides together. */
const Z_95 = 1.96;

/**
 * The Theil–Sen slope of `readings` with Sen's confidence interval (P. K. Sen, "Estimates of the regression
 * coefficient based on Kendall's tau", 1968). Undefined for fewer than {@link MIN_READINGS}. It compares all pairs, so
 * keep the number of readings to some hundreds.
 */
export function trendOf(readings: readonly Reading[]): Trend | undefined {
  const count = readings.length;
  if (count < MIN_READINGS) return undefined;
  const slopes: number[] = [];
  for (const [index, from] of readings.entries()) {
    for (const to of readings.slice(index + 1)) {
      if (to.atMs > from.atMs) slopes.push((to.value - from.value) / (to.atMs - from.atMs));
    }
  }
  slopes.sort((a, b) => a - b);
  // Variance of Kendall's S without ties. With ties it is smaller, so this errs towards "steady".
  const spread = Z_95 * Math.sqrt((count * (count - 1) * (2 * count + 5)) / 18);
  const lowest = Math.max(0, Math.floor((slopes.length - spread) / 2));
  const [first, last] = [readings[0], readings.at(-1)];
  const perMs = median(slopes);
  return {
    perHour: perMs * HOUR_MS,
    atLeastPerHour: (slopes[lowest] ?? Number.NaN) * HOUR_MS,
    growth: perMs * ((last?.atMs ?? 0) - (first?.atMs ?? 0)),
    level: median(readings.map(({ value }) => value)),
  };
}

/** What was read in the second half of the time: the first is for warming up and filling caches. */
export function secondHalf<T extends Pick<Reading, "atMs">>(readings: readonly T[]): readonly T[] {
  const [first, last] = [readings[0], readings.at(-1)];
  if (first === undefined || last === undefined) return [];
  const middleMs = (first.atMs + last.atMs) / 2;
  return readings.filter(({ atMs }) => atMs >= middleMs);
}

/** `grows` when the growth is more than allowed and its confidence interval lies above 0. */
export function judgeTrend(trend: Trend | undefined, { absolute, relative }: Allowance): TrendVerdict {
  if (trend === undefined) return "too few readings";
  const allowed = Math.max(absolute, relative * trend.level);
  return trend.atLeastPerHour > 0 && trend.growth > allowed ? "grows" : "steady";
}
