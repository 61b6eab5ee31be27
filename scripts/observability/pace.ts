/** How fast time goes in rules. The drill runs them faster than an operator's Prometheus does. */
export interface Pace {
  /** A PromQL duration. */
  duration(seconds: number): string;
  /** A number of seconds to compare an age with. */
  seconds(seconds: number): number;
}

/** @param times 1 for the committed rules; 20 makes 5 minutes 15 seconds. No duration gets shorter than a second. */
export function paceOf(times: number): Pace {
  return {
    duration: (seconds) => durationText(Math.max(1, Math.round(seconds / times))),
    seconds: (seconds) => seconds / times,
  };
}

/** Seconds in the largest unit that divides them. */
function durationText(seconds: number): string {
  for (const [unit, size] of [
    ["d", 86_400],
    ["h", 3_600],
    ["m", 60],
  ] as const) {
    if (seconds % size === 0) return `${seconds / size}${unit}`;
  }
  return `${seconds}s`;
}

/** A minute, an hour and a day in seconds. */
export const MINUTE = 60;
export const HOUR = 3_600;
export const DAY = 86_400;
