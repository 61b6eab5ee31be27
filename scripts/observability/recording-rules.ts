import { METRICS } from "../../src/metrics/names.ts";
import { ROUTER_FAULTS } from "./fault-reasons.ts";
import { DAY, HOUR, MINUTE } from "./pace.ts";
import type { Pace } from "./pace.ts";
import { is, isNot, matching, promql } from "./promql.ts";

/** A recording rule. */
export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

/** Of a hundred thousand requests a hundred may fail by the router's own doing. */
export const OBJECTIVE = 0.999;

/** Windows of the error budget: what is spent now, and whether it goes on (Google's SRE workbook, chapter 5). */
export const BUDGET_WINDOWS = {
  "5m": 5 * MINUTE,
  "30m": 30 * MINUTE,
  "1h": HOUR,
  "2h": 2 * HOUR,
  "6h": 6 * HOUR,
  "1d": DAY,
  "3d": 3 * DAY,
} as const;

/** Names of recorded series: level, metric, operation. */
export const RECORDED = {
  requests: "namespace_reason:lychgate_requests:rate5m",
  serverErrorRatio: "namespace_reason:lychgate_server_errors:ratio_rate5m",
  budgetErrorRatio: (window: keyof typeof BUDGET_WINDOWS) =>
    `namespace:lychgate_budget_errors:ratio_rate${window}`,
} as const;

/** All of them, in the order in which they are evaluated. */
export function recordingRules(pace: Pace): readonly RecordingRule[] {
  const q = promql();
  const fiveMinutes = pace.duration(5 * MINUTE);
  const budget = Object.entries(BUDGET_WINDOWS).map(([name, seconds]) => {
    const window = pace.duration(seconds);
    const all = q.rate(METRICS.requests, window, "namespace");
    const faults = q.rate(METRICS.requests, window, "namespace", { reason: is(...ROUTER_FAULTS) });
    // Series of a reason come with its first request: without any, the ratio is 0 and not unknown.
    return {
      record: RECORDED.budgetErrorRatio(name as keyof typeof BUDGET_WINDOWS),
      expr: `(${faults} or 0 * ${all}) / ${all}`,
    };
  });
  return [
    { record: RECORDED.requests, expr: q.rate(METRICS.requests, fiveMinutes, "namespace, reason") },
    {
      record: RECORDED.serverErrorRatio,
      expr: `${q.rate(METRICS.requests, fiveMinutes, "namespace, reason", {
        code: matching("5.."),
        reason: isNot("ok"),
      })} / on (namespace) group_left () ${q.rate(METRICS.requests, fiveMinutes, "namespace")}`,
    },
    ...budget,
  ];
}
