import { type ViolationKind, VIOLATIONS } from "./oracle.ts";
import { PHASE_TEXTS } from "./phases.ts";
import { escapeMarkup } from "../charts/svg.ts";
import { barsHtml, number, plotSvg, type Series } from "./plots.ts";
import { REPORT_STYLE } from "./report-style.ts";
import type { Counted, LoadResult, Point } from "./result.ts";
import {
  churnRatio,
  MIN_RIGHT_PER_PHASE,
  ms,
  OUTCOME_WORDS,
  UNEXPECTED_SHARE_ALLOWED,
  verdictOf,
} from "./verdict.ts";

const VIOLATION_TITLES: Readonly<Record<ViolationKind, string>> = {
  misroute: "Misroutes",
  "after-end": "Answers after the end",
  revived: "Revived routes",
};

/** Reasons with a color of their own in the plot of refusals; the others are one. */
const REASON_COLORS = ["s1", "s2", "s3", "s4", "s5"];

/** The report: one HTML page that needs nothing else and follows the reader's light or dark scheme. */
export function reportHtml(result: LoadResult): string {
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>lychgate load: ${escapeMarkup(titleOf(result))}</title><style>${REPORT_STYLE}</style></head><body><main>`,
    ...head(result),
    ...plots(result),
    ...tables(result),
    ...method(result),
    "</main></body></html>",
    "",
  ].join("\n");
}

function titleOf(result: LoadResult): string {
  const { outcome, headline } = verdictOf(result);
  return outcome === "inconclusive" ? `inconclusive: ${headline}` : headline;
}

function head(result: LoadResult): string[] {
  const { outcome, headline, failures } = verdictOf(result);
  const { total, violationCounts, phases, stopped } = result;
  const ratio = churnRatio(phases);
  const p99 = (kind: string): string => ms(phases.find((phase) => phase.kind === kind)?.p99Ms);
  const stoppedCount = stopped?.reduce((sum, { count }) => sum + count, 0);
  const list = failures.map((failure) => `<li>${escapeMarkup(failure)}</li>`).join("");
  return [
    "<h1>lychgate load</h1>",
    `<p>${escapeMarkup(result.startedAt.slice(0, 19).replace("T", " "))} UTC, ${escapeMarkup(result.subject)}</p>`,
    `<div class="verdict ${outcome}"><strong>${OUTCOME_WORDS[outcome]}: ${escapeMarkup(headline)}</strong>${list && `<ul>${list}</ul>`}</div>`,
    '<div class="tiles">',
    tile(number(total.requests), "requests", false),
    tile(number(violationCounts.misroute), "misroutes", violationCounts.misroute > 0),
    tile(stoppedCount === undefined ? "–" : number(stoppedCount), "resurrections stopped", false),
    tile(number(total.unexpected), "unexpected statuses", total.unexpected > 0),
    tile(p99("calm"), "p99 without churn", false),
    tile(p99("churn"), `p99 with churn${ratio === undefined ? "" : ` (× ${ratio.toFixed(2)})`}`, false),
    "</div>",
  ];
}

function tile(value: string, label: string, bad: boolean): string {
  return `<div class="tile${bad ? " bad" : ""}"><b>${value}</b><span>${escapeMarkup(label)}</span></div>`;
}

function plots({ points, phases }: LoadResult): string[] {
  const common = {
    timesMs: points.map(({ atMs }) => atMs),
    untilMs: Math.max(phases.at(-1)?.untilMs ?? 0, (points.at(-1)?.atMs ?? 0) + (points[0]?.stepMs ?? 0) / 2),
    phases,
  };
  const rate = (count: (point: Point) => number): number[] =>
    points.map((point) => (count(point) * 1000) / point.stepMs);
  const outcomes: Series[] = [
    { label: "answered by the right pod", color: "right", values: rate(({ right }) => right) },
    { label: "refused as expected", color: "refused", values: rate(({ refused }) => refused) },
    { label: "unexpected", color: "unexpected", values: rate(({ unexpected }) => unexpected) },
    { label: "wrong", color: "wrong", values: rate(({ violations }) => violations) },
  ];
  const hasStopped = points.some(({ stopped }) => stopped !== undefined);
  return [
    plotSvg({
      ...common,
      title: "Requests, by what came of them",
      unit: "per second",
      kind: "stack",
      series: outcomes,
    }),
    plotSvg({
      ...common,
      title: "Latency of pods' answers",
      unit: "ms",
      kind: "lines",
      series: [
        { label: "p50", color: "p50", values: points.map(({ p50Ms }) => p50Ms) },
        { label: "p99", color: "p99", values: points.map(({ p99Ms }) => p99Ms) },
      ],
    }),
    plotSvg({
      ...common,
      title: "Everything but 200, by status and reason",
      unit: "per second",
      kind: "stack",
      series: refusalSeries(points, rate),
    }),
    ...(hasStopped
      ? [
          plotSvg({
            ...common,
            title: "Resurrections stopped",
            unit: "since the start",
            kind: "lines",
            series: [{ label: "stopped", color: "stopped", values: points.map(({ stopped }) => stopped) }],
          }),
        ]
      : []),
  ];
}

function refusalSeries(
  points: readonly Point[],
  rate: (count: (point: Point) => number) => number[],
): Series[] {
  const sums = new Map<string, number>();
  for (const { statuses } of points) {
    for (const [label, count] of Object.entries(statuses)) sums.set(label, (sums.get(label) ?? 0) + count);
  }
  const labels = [...sums].sort(([, a], [, b]) => b - a).map(([label]) => label);
  const shown = labels.slice(0, REASON_COLORS.length);
  const series = shown.map((label, i): Series => {
    return { label, color: REASON_COLORS[i] ?? "s6", values: rate(({ statuses }) => statuses[label] ?? 0) };
  });
  const rest = labels.slice(shown.length);
  if (rest.length === 0) return series;
  const values = rate(({ statuses }) => rest.reduce((sum, label) => sum + (statuses[label] ?? 0), 0));
  return [...series, { label: `${rest.length} others`, color: "s6", values }];
}

function tables(result: LoadResult): string[] {
  const { phases, stopped, violations, violationCounts } = result;
  const rows = phases.map(
    ({ title, fromMs, untilMs, requests, right, refused, unexpected, violations, p50Ms, p99Ms }) => {
      const rate = (requests * 1000) / Math.max(1, untilMs - fromMs);
      return `<tr><th scope="row">${title}</th><td>${((untilMs - fromMs) / 1000).toFixed(1)} s</td><td>${number(requests)}</td><td>${number(Math.round(rate))}</td><td>${number(right)}</td><td>${number(refused)}</td>${alarm(unexpected)}${alarm(violations)}<td>${ms(p50Ms)}</td><td>${ms(p99Ms)}</td></tr>`;
    },
  );
  const heads = [
    "phase",
    "time",
    "requests",
    "per second",
    "right",
    "refused",
    "unexpected",
    "wrong",
    "p50",
    "p99",
  ];
  return [
    "<h2>Phases</h2>",
    scrollCard(
      "Phases",
      `<thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody>`,
    ),
    ...VIOLATIONS.filter((kind) => violationCounts[kind] > 0).flatMap((kind) => {
      const found = violations.filter((violation) => violation.kind === kind);
      const lines = found.map(
        ({ atMs, phase, detail }) =>
          `<tr><td class="text">${(atMs / 1000).toFixed(1)} s, ${PHASE_TEXTS[phase].title}</td><td class="text">${escapeMarkup(detail)}</td></tr>`,
      );
      return [
        `<h2>${VIOLATION_TITLES[kind]}: ${number(violationCounts[kind])}${found.length < violationCounts[kind] ? ", the first" : ""}</h2>`,
        scrollCard(VIOLATION_TITLES[kind], lines.join("")),
      ];
    }),
    "<h2>Resurrections stopped, by guard</h2>",
    "<p>Updates of sandboxes without a living route that the router refused. From peers they are pushes that came late, twice, out of order or stale; from the informer they are events that it had yet to hear when a push had told of the end.</p>",
    `<div class="card">${
      stopped === undefined
        ? "<p>Not known: the router's metrics were not asked.</p>"
        : stopped.length === 0
          ? "<p>None was tried.</p>"
          : barsHtml(stopped.map(({ source, guard, count }) => ({ label: `${guard} (${source})`, count })))
    }</div>`,
    ...(result.unexpected.length > 0
      ? ["<h2>Unexpected</h2>", countedTable("Unexpected", result.unexpected)]
      : []),
    '<div class="columns"><div><h2>Statuses</h2>',
    countedTable("Statuses", result.statuses),
    "</div><div><h2>What happened in the cluster</h2>",
    result.cluster.length > 0
      ? countedTable("What happened in the cluster", result.cluster)
      : '<div class="card"><p>Nothing.</p></div>',
    "</div></div>",
  ];
}

/** A table that may be wider than the page: who has no mouse moves it by its focus and the arrow keys. */
function scrollCard(label: string, rows: string): string {
  return `<div class="card scroll" role="region" aria-label="${label}" tabindex="0"><table>${rows}</table></div>`;
}

function countedTable(label: string, rows: readonly Counted[]): string {
  const lines = rows.map(({ label, count, example }) => {
    const more = example === undefined ? "" : `<td class="text">${escapeMarkup(example)}</td>`;
    return `<tr><th scope="row">${escapeMarkup(label)}</th><td>${number(count)}</td>${more}</tr>`;
  });
  return scrollCard(label, lines.join(""));
}

function method({
  options,
  autocannon,
  phases,
  version,
  node,
  unidentified,
  unjudged,
}: LoadResult): string[] {
  const kinds = phases.map(
    ({ kind }) =>
      `<tr><th scope="row">${PHASE_TEXTS[kind].title}</th><td class="text">${PHASE_TEXTS[kind].what}</td></tr>`,
  );
  return [
    "<h2>How it was judged</h2>",
    "<p>Every pod answers with the name of its sandbox and its own UID, and repeats the number of the request. An answer is right when it comes from a pod of the sandbox that was asked for, and the pod lived at some moment of the request's flight. A refusal is expected while the sandbox changes, and must name the state that it has had for long otherwise: a reply that shows a living route of a sandbox that ended long ago is a revived route, even if nobody answered. Long is what the router must have heard: a second and the informer's lag.</p>",
    `<p>A run fails on one misroute, one answer after the end or one revived route, and when more than ${UNEXPECTED_SHARE_ALLOWED * 100} % of the requests came to something unexpected. Without a fault it is inconclusive when a phase other than the warm-up had fewer than ${MIN_RIGHT_PER_PHASE} right answers.</p>`,
    scrollCard("Phases and what happens in them", kinds.join("")),
    `<footer>Lychgate ${escapeMarkup(version)}, Node ${escapeMarkup(node)}. Options: ${pairsOf(options)}. autocannon itself counted: ${pairsOf(autocannon) || "nothing"}. ${unidentified > 0 ? `${number(unidentified)} answers did not say whose they are. ` : ""}${unjudged > 0 ? `${number(unjudged)} answers were not judged.` : ""}</footer>`,
  ];
}

function pairsOf(record: Readonly<Record<string, string | number>>): string {
  return Object.entries(record)
    .map(
      ([name, value]) =>
        `${escapeMarkup(name)} ${typeof value === "number" ? number(value) : escapeMarkup(value)}`,
    )
    .join(", ");
}

/** A cell that draws the eye when what it counts should not be. */
function alarm(count: number): string {
  return `<td${count > 0 ? ' class="alarm"' : ""}>${number(count)}</td>`;
}
