import { escapeMarkup, linear, pixels, pointsOf } from "../../charts/svg.ts";
import type { PlotText } from "../plot.ts";
import type { SoakFinding, SoakSample } from "./verdict.ts";

interface Line {
  readonly label: string;
  readonly colour: string;
  readonly valueOf: (sample: SoakSample) => number;
}

interface Panel {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
}

const WIDTH = 1000;
const LEFT = 70;
const RIGHT = 24;
const HEAD = 72;
const PANEL = 150;
const CHART = 104;
const TITLE = 22;
const TICKS = 2;
const FOOT = 16;
const FONT = "font-family=\"'Inter','Helvetica Neue',Helvetica,Arial,sans-serif\"";
const INK = "#1f2933";
const MUTED = "#66727f";
const MAIN = "#0f766e";
const SECOND = "#94a3b8";
const GROWS = "#c2410c";
const MB = 1_000_000;

const PANELS: readonly Panel[] = [
  {
    title: "Resident memory",
    unit: "MB",
    lines: [
      { label: "heap in use", colour: SECOND, valueOf: ({ heapBytes }) => heapBytes / MB },
      { label: "resident", colour: MAIN, valueOf: ({ residentBytes }) => residentBytes / MB },
    ],
  },
  {
    title: "Open file descriptors",
    unit: "",
    lines: [{ label: "", colour: MAIN, valueOf: ({ openFiles }) => openFiles }],
  },
  {
    title: "Event loop lag, p99",
    unit: "ms",
    lines: [{ label: "", colour: MAIN, valueOf: ({ lagP99Ms }) => lagP99Ms }],
  },
  {
    title: "Latency of requests, p99.9",
    unit: "ms",
    lines: [
      { label: "p50", colour: SECOND, valueOf: ({ p50Ms }) => p50Ms },
      { label: "p99.9", colour: MAIN, valueOf: ({ p999Ms }) => p999Ms },
    ],
  },
  {
    title: "What other processes took of its core",
    unit: "%",
    lines: [{ label: "", colour: SECOND, valueOf: ({ othersShare }) => othersShare * 100 }],
  },
];

/**
 * A self-contained SVG: each watched figure over time. The second half, which is judged, is shaded; the line of its
 * trend is drawn, and what grows is said in red.
 */
export function soakSvg(
  samples: readonly SoakSample[],
  findings: readonly SoakFinding[],
  text: PlotText,
): string {
  const height = HEAD + PANELS.length * PANEL + FOOT;
  const panels = PANELS.map((panel, index) =>
    panelSvg(
      panel,
      samples,
      findings.find(({ watched }) => watched.title === panel.title),
      HEAD + index * PANEL,
    ),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ${FONT} font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="24" y="34" font-size="20" font-weight="600" fill="${INK}">${escapeMarkup(text.title)}</text>
<text x="24" y="54" fill="${MUTED}">${escapeMarkup(text.subtitle)}</text>
${panels.join("\n")}
</svg>
`;
}

function panelSvg(
  { title, unit, lines }: Panel,
  samples: readonly SoakSample[],
  finding: SoakFinding | undefined,
  y: number,
): string {
  const top = y + TITLE;
  const bottom = top + CHART;
  const untilMs = Math.max(1, samples.at(-1)?.atMs ?? 1);
  const values = lines.flatMap(({ valueOf }) => samples.map(valueOf)).filter(Number.isFinite);
  const most = niceCeiling(Math.max(1, ...values));
  const x = linear(untilMs, LEFT, WIDTH - RIGHT);
  const scale = linear(most, bottom, top);
  const judgedFrom = x(((samples[0]?.atMs ?? 0) + untilMs) / 2);
  const ticks = Array.from({ length: TICKS + 1 }, (_, tick) => (most * tick) / TICKS);
  const legend = lines
    .filter(({ label }) => label !== "")
    .map(({ label, colour }) => `<tspan dx="12" fill="${colour}">${escapeMarkup(label)}</tspan>`);
  return [
    `<text x="${LEFT}" y="${y + 14}" fill="${INK}"><tspan font-size="13" font-weight="600">${escapeMarkup(title)}</tspan>${unit === "" ? "" : ` <tspan fill="${MUTED}">${unit}</tspan>`}${legend.join("")}</text>`,
    verdictSvg(finding, y + 14),
    `<rect x="${pixels(judgedFrom)}" y="${top}" width="${pixels(WIDTH - RIGHT - judgedFrom)}" height="${CHART}" fill="#f1f5f9"/>`,
    ...ticks.map(
      (value) =>
        `<line x1="${LEFT}" y1="${pixels(scale(value))}" x2="${WIDTH - RIGHT}" y2="${pixels(scale(value))}" stroke="#d5dae0"/><text x="${LEFT - 8}" y="${pixels(scale(value) + 4)}" text-anchor="end" fill="${MUTED}">${amount(value)}</text>`,
    ),
    ...timeTicks(untilMs).map(
      (ms) =>
        `<text x="${pixels(x(ms))}" y="${bottom + 15}" text-anchor="middle" font-size="10" fill="${MUTED}">${amount(ms / 60_000)} min</text>`,
    ),
    ...lines.map(({ colour, valueOf }) => {
      const points = samples
        .map((sample) => [x(sample.atMs), scale(valueOf(sample))] as const)
        .filter(([, at]) => Number.isFinite(at));
      return `<polyline points="${pointsOf(points)}" fill="none" stroke="${colour}" stroke-width="1.5"/>`;
    }),
    trendSvg(finding, judgedFrom, scale),
  ].join("\n");
}

function verdictSvg(finding: SoakFinding | undefined, y: number): string {
  if (finding === undefined) return "";
  const colour = finding.verdict === "grows" ? GROWS : MUTED;
  const { trend, watched, verdict } = finding;
  const said = verdict === "too few readings" ? "not judged" : verdict;
  const growth =
    trend === undefined
      ? ""
      : `, ${trend.growth < 0 ? "−" : "+"}${Math.abs(trend.growth).toFixed(1)} ${watched.unit}`;
  return `<text x="${WIDTH - RIGHT}" y="${y}" text-anchor="end" fill="${colour}">second half: ${escapeMarkup(said + growth.trimEnd())}</text>`;
}

/** The trend as a line through the middle of the judged half. */
function trendSvg(finding: SoakFinding | undefined, from: number, scale: (value: number) => number): string {
  if (finding?.trend === undefined) return "";
  const { level, growth } = finding.trend;
  const colour = finding.verdict === "grows" ? GROWS : INK;
  const [start, end] = [level - growth / 2, level + growth / 2].map((value) => scale(Math.max(0, value)));
  return `<line x1="${pixels(from)}" y1="${pixels(start ?? 0)}" x2="${WIDTH - RIGHT}" y2="${pixels(end ?? 0)}" stroke="${colour}" stroke-dasharray="4 3"/>`;
}

/** Four to eight whole steps of minutes, or seconds for a short run. */
function timeTicks(untilMs: number): number[] {
  const steps = [5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400].map((seconds) => seconds * 1000);
  const step = steps.find((each) => untilMs / each <= 8) ?? 14_400_000;
  return Array.from({ length: Math.floor(untilMs / step) + 1 }, (_, index) => index * step);
}

/** The next number that reads well at the end of an axis. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((each) => each * power >= value) ?? 10) * power;
}

function amount(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: 2 });
}
