import type { MetricSpec } from "../../src/metrics/names.ts";
import { is, selector } from "./promql.ts";

/** A series of one router as Prometheus has it, for a case. */
export function seriesName(
  spec: MetricSpec,
  labels: Readonly<Record<string, string>> = {},
  instance = "gate-0:9902",
): string {
  const matchers = Object.fromEntries(Object.entries(labels).map(([name, word]) => [name, is(word)]));
  return selector(spec, matchers, "", `namespace="agents",instance="${instance}"`);
}
