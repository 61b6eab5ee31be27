import { writeFile } from "node:fs/promises";
import type { LabelValues } from "../src/metrics/label-values.ts";
import { HOST_METRICS, METRICS, PROCESS_METRICS } from "../src/metrics/names.ts";
import type { MetricSpec } from "../src/metrics/names.ts";
import { markdownTable } from "./markdown-table.ts";

/** `docs/reference/metrics.md`: every metric with its labels and their values, from the code that makes them. */
export function metricsReference(): string {
  const own: readonly MetricSpec[] = Object.values(METRICS);
  const host: readonly MetricSpec[] = Object.values(HOST_METRICS);
  return [
    "<!-- Made by scripts/metrics-reference.ts. Do not edit: change src/metrics/names.ts and run it again. -->",
    "# Metrics",
    "",
    "On the admin port (9902 by default) under `/metrics`, in Prometheus's text format. The text is at most a second",
    "old. No label holds anything that a client, a pod or a tenant chooses, so the number of series does not depend",
    "on traffic: what is not on a label's list counts under the list's last word. Counters and histograms with",
    "closed labels start at 0, except `lychgate_requests_total`, whose series come when they are first needed.",
    "",
    "With several workers one scrape shows them all: counters, histograms and gauges of traffic are sums over all",
    "processes, and do not fall when a worker is replaced. Metrics of the process itself have a series for each, with the",
    "label `worker`: `primary`, `0`, `1` …",
    "",
    "## Lychgate",
    "",
    ...table(own),
    "",
    "## Node",
    "",
    "Kernel routes of the node that the router or its tools look after. A group's series are there from its first use on:",
    "in the router itself, on the listener of `lychgate node anycast run`, or in the file that a command writes with",
    "`--metrics-file` for node_exporter's textfile collector.",
    "",
    ...table(host),
    "",
    "## Label values",
    "",
    ...labelSections([...own, ...host]),
    "## Process",
    "",
    ...table(Object.values(PROCESS_METRICS)),
    "",
  ].join("\n");
}

/** A compact table of Lychgate's own metrics for the README. */
export function metricsSummaryTable(): string[] {
  const rows = Object.values(METRICS).map(({ name, type, help }) => [`\`${name}\``, type, help]);
  return markdownTable(["metric", "type", "meaning"], rows);
}

function table(specs: readonly MetricSpec[]): string[] {
  const rows = specs.map(({ name, type, labels = {}, help }) => {
    const names = Object.keys(labels).map((label) => `\`${label}\``);
    return [`\`${name}\``, type, names.join(", "), help];
  });
  return markdownTable(["metric", "type", "labels", "meaning"], rows);
}

/** One entry per list of values, naming the metrics and labels that use it. */
function labelSections(specs: readonly MetricSpec[]): string[] {
  const users = new Map<LabelValues, string[]>();
  for (const { name, labels = {} } of specs) {
    for (const [label, values] of Object.entries(labels)) {
      users.set(values, [...(users.get(values) ?? []), `\`${name}{${label}}\``]);
    }
  }
  return [...users].flatMap(([values, uses]) => [`${uses.join(", ")}:`, valuesText(values), ""]);
}

function valuesText(values: LabelValues): string {
  return values.kind === "closed"
    ? values.values.map((value) => `\`${value}\``).join(", ")
    : `bounded by ${values.by}`;
}

if (import.meta.main) {
  await writeFile(new URL("../docs/reference/metrics.md", import.meta.url), metricsReference());
}
