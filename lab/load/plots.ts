import { type Axis, escapeMarkup, linear, pixels, pointsOf } from "../charts/svg.ts";
import type { PhaseResult } from "./result.ts";

/** A line, or a layer of a stack. */
export interface Series {
  readonly label: string;
  /** Name of the CSS variable that holds its color, without dashes. */
  readonly color: string;
  /** One value for each of the plot's times; `undefined` leaves a gap. */
  readonly values: readonly (number | undefined)[];
}

/** A plot over time. */
export interface Plot {
  readonly title: string;
  /** What the left axis counts. */
  readonly unit: string;
  /** Stacked areas, the first at the bottom, or lines. */
  readonly kind: "stack" | "lines";
  /** Since the load began, ascending. */
  readonly timesMs: readonly number[];
  readonly untilMs: number;
  readonly series: readonly Series[];
  readonly phases: readonly PhaseResult[];
}

const WIDTH = 920;
const HEIGHT = 236;
const LEFT = 56;
const RIGHT = 12;
const TOP = 26;
const BOTTOM = 26;
const TICKS = 4;

/** The plot as an SVG element, its colors from CSS variables. With a legend above when there is more than one series. */
export function plotSvg(plot: Plot): string {
  const { series, timesMs, untilMs } = plot;
  const tops = plot.kind === "stack" ? stackTops(series) : series.map(({ values }) => values);
  const peak = Math.max(0, ...tops.flat().map((value) => value ?? 0));
  const scale = niceScale(peak);
  const x = linear(Math.max(1, untilMs), LEFT, WIDTH - RIGHT);
  const y = linear(scale.max, HEIGHT - BOTTOM, TOP);
  const marks =
    plot.kind === "stack"
      ? series.map(({ color }, i) =>
          area(timesMs, tops[i] ?? [], i === 0 ? undefined : tops[i - 1], color, x, y),
        )
      : series.map(({ color, values }) => line(timesMs, values, color, x, y));
  return [
    `<figure><figcaption>${escapeMarkup(plot.title)}<span>${escapeMarkup(plot.unit)}</span></figcaption>`,
    legend(plot),
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeMarkup(plot.title)}">`,
    ...bands(plot, x),
    ...axes(scale, untilMs, x, y),
    ...marks,
    ...hovers(plot, x),
    "</svg></figure>",
  ].join("\n");
}

/** Bars from left to right with their values, as an HTML table that reads without colors too. */
export function barsHtml(rows: readonly { readonly label: string; readonly count: number }[]): string {
  const most = Math.max(1, ...rows.map(({ count }) => count));
  const row = ({ label, count }: { label: string; count: number }): string =>
    `<tr><th scope="row">${escapeMarkup(label)}</th><td class="bar"><i style="width:${((100 * count) / most).toFixed(1)}%"></i></td><td>${number(count)}</td></tr>`;
  return `<table class="bars">${rows.map(row).join("")}</table>`;
}

/** A count, to be read. */
export function number(count: number): string {
  return count.toLocaleString("en", { maximumFractionDigits: count < 10 ? 2 : count < 100 ? 1 : 0 });
}

function stackTops(series: readonly Series[]): number[][] {
  const tops: number[][] = [];
  for (const { values } of series) {
    const below = tops.at(-1);
    tops.push(values.map((value, i) => (value ?? 0) + (below?.[i] ?? 0)));
  }
  return tops;
}

function area(
  timesMs: readonly number[],
  top: readonly (number | undefined)[],
  below: readonly (number | undefined)[] | undefined,
  color: string,
  x: Axis,
  y: Axis,
): string {
  const upper = timesMs.map((ms, i) => [x(ms), y(top[i] ?? 0)] as const);
  const lower = timesMs.map((ms, i) => [x(ms), y(below?.[i] ?? 0)] as const).reverse();
  return `<polygon points="${pointsOf([...upper, ...lower])}" style="fill:var(--${color})" class="area"/>`;
}

function line(
  timesMs: readonly number[],
  values: readonly (number | undefined)[],
  color: string,
  x: Axis,
  y: Axis,
): string {
  const runs: (readonly [number, number])[][] = [[]];
  for (const [i, ms] of timesMs.entries()) {
    const value = values[i];
    if (value === undefined) runs.push([]);
    else runs.at(-1)?.push([x(ms), y(value)]);
  }
  return runs
    .filter((run) => run.length > 0)
    .map((run) => `<polyline points="${pointsOf(run)}" style="stroke:var(--${color})" class="line"/>`)
    .join("");
}

function bands({ phases }: Plot, x: Axis): string[] {
  return phases.map(({ kind, title, fromMs, untilMs }) => {
    const [from, width] = [x(fromMs), x(untilMs) - x(fromMs)];
    const box = `x="${pixels(from)}" y="${TOP}" width="${pixels(width)}" height="${HEIGHT - TOP - BOTTOM}"`;
    // A name that does not fit is left to the other plots' hover text and the table.
    const fits = title.length * 6.2 < width;
    const name = fits ? `<text x="${pixels(from + 4)}" y="${TOP - 8}" class="phase">${title}</text>` : "";
    return `<rect ${box} class="band ${kind}"><title>${title}</title></rect>${name}`;
  });
}

function axes(scale: Scale, untilMs: number, x: Axis, y: Axis): string[] {
  const lines: string[] = [];
  for (let value = 0; value <= scale.max + scale.step / 2; value += scale.step) {
    const at = pixels(y(value));
    lines.push(
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" class="grid"/>`,
      `<text x="${LEFT - 8}" y="${at}" dy="0.32em" class="tick end">${number(value)}</text>`,
    );
  }
  const stepMs = niceScale(untilMs / 2000).step * 1000;
  for (let ms = 0; ms <= untilMs; ms += stepMs) {
    lines.push(
      `<text x="${pixels(x(ms))}" y="${HEIGHT - 8}" class="tick middle">${number(ms / 1000)} s</text>`,
    );
  }
  return lines;
}

/** What the values of each step are, to be read under the pointer. */
function hovers({ timesMs, series, untilMs, unit }: Plot, x: Axis): string[] {
  const width = (x(untilMs) - x(0)) / Math.max(1, timesMs.length);
  return timesMs.map((ms, i) => {
    const values = series
      .filter(({ values }) => (values[i] ?? 0) > 0)
      .map(({ label, values }) => `${label}: ${number(values[i] ?? 0)} ${unit}`);
    const text = escapeMarkup([`${(ms / 1000).toFixed(1)} s`, ...values].join("\n"));
    const left = pixels(x(ms) - width / 2);
    return `<rect x="${left}" y="${TOP}" width="${pixels(width)}" height="${HEIGHT - TOP - BOTTOM}" class="hover"><title>${text}</title></rect>`;
  });
}

function legend({ series }: Plot): string {
  if (series.length < 2) return "";
  const items = series.map(
    ({ label, color }) => `<li><i style="background:var(--${color})"></i>${escapeMarkup(label)}</li>`,
  );
  return `<ul class="legend">${items.join("")}</ul>`;
}

interface Scale {
  readonly max: number;
  readonly step: number;
}

/** A round step so that about four of them hold `peak`. */
function niceScale(peak: number): Scale {
  if (peak <= 0) return { max: 1, step: 1 };
  const rough = peak / TICKS;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((each) => each * unit >= rough) ?? 10) * unit;
  return { max: Math.ceil(peak / step) * step, step };
}
