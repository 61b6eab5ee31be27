import { type Axis, escapeMarkup, linear, pixels } from "../charts/svg.ts";
import type { Cell } from "./figures.ts";

/** One chart of the plot: bars of CPU time per request. */
export interface Panel {
  readonly workload: string;
  readonly title: string;
  /** Times nginx that lychgate may cost; drawn as a line. */
  readonly limit?: number;
}

/** Text around the charts. */
export interface PlotText {
  readonly title: string;
  readonly subtitle: string;
}

const WIDTH = 1080;
const MARGIN = 28;
const GAP = 36;
const PANEL_WIDTH = (WIDTH - 2 * MARGIN - GAP) / 2;
const LABEL_WIDTH = 116;
const VALUE_WIDTH = 104;
const BAR_SPACE = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;
const BAR_HEIGHT = 14;
const ROW_HEIGHT = 20;
const PANEL_HEAD = 30;
const PANEL_FOOT = 26;
const HEAD = 84;

const FONT = "font-family=\"'Inter','Helvetica Neue',Helvetica,Arial,sans-serif\"";
const INK = "#1f2933";
const MUTED = "#66727f";
/** Keeps text readable where a line runs behind it. */
const HALO = 'stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke"';
const LIMIT = "#c2410c";

/** A self-contained SVG: for each panel the proxies' CPU time per request, cheapest first, with the range of the rounds. */
export function plotSvg(cells: readonly Cell[], panels: readonly Panel[], text: PlotText): string {
  const charts = panels
    .map((panel) => ({
      panel,
      bars: cells
        .filter(({ workload, cpuUs }) => workload === panel.workload && Number.isFinite(cpuUs))
        .toSorted((a, b) => a.cpuUs - b.cpuUs),
    }))
    .filter(({ bars }) => bars.length > 0);
  let y = HEAD;
  const parts: string[] = [];
  for (let index = 0; index < charts.length; index += 2) {
    const row = charts.slice(index, index + 2);
    row.forEach(({ panel, bars }, column) =>
      parts.push(panelSvg(panel, bars, MARGIN + column * (PANEL_WIDTH + GAP), y)),
    );
    y += PANEL_HEAD + PANEL_FOOT + Math.max(...row.map(({ bars }) => bars.length)) * ROW_HEIGHT;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" ${FONT} font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${MARGIN}" y="36" font-size="20" font-weight="600" fill="${INK}">${escapeMarkup(text.title)}</text>
<text x="${MARGIN}" y="57" fill="${MUTED}">${escapeMarkup(text.subtitle)}</text>
${parts.join("\n")}
</svg>
`;
}

function panelSvg({ title, limit }: Panel, bars: readonly Cell[], x: number, y: number): string {
  const nginx = bars.find(({ proxy }) => proxy === "nginx")?.cpuUs;
  const longest = Math.max(...bars.map(({ cpuUsMax }) => cpuUsMax));
  const scale = linear(longest, 0, BAR_SPACE);
  const top = y + PANEL_HEAD;
  const left = x + LABEL_WIDTH;
  const rows = bars.map((cell, index) => barSvg(cell, left, top + index * ROW_HEIGHT, scale));
  const bottom = top + bars.length * ROW_HEIGHT;
  const showsLimit = limit !== undefined && nginx !== undefined && nginx * limit <= longest;
  return [
    `<text x="${x}" y="${y + 16}" font-size="13" font-weight="600" fill="${INK}">${escapeMarkup(title)}</text>`,
    `<line x1="${left}" y1="${top - 4}" x2="${left}" y2="${bottom}" stroke="#d5dae0"/>`,
    ...(showsLimit ? [limitSvg(left + scale(nginx * limit), top - 4, bottom, limit)] : []),
    ...rows,
  ].join("\n");
}

function barSvg(cell: Cell, left: number, y: number, scale: Axis): string {
  const middle = y + BAR_HEIGHT / 2;
  const isOurs = cell.proxy.startsWith("lychgate");
  const ratio = Number.isFinite(cell.timesNginx) ? ` · ${cell.timesNginx.toFixed(2)}×` : "";
  const [from, to] = [left + scale(cell.cpuUsMin), left + scale(cell.cpuUsMax)].map(pixels);
  const weight = isOurs ? ' font-weight="600"' : "";
  return [
    `<text x="${left - 8}" y="${middle + 4}" text-anchor="end" fill="${INK}"${weight}>${escapeMarkup(cell.proxy)}</text>`,
    `<rect x="${left}" y="${y}" width="${pixels(scale(cell.cpuUs))}" height="${BAR_HEIGHT}" rx="2" fill="${colourOf(cell.proxy)}"/>`,
    ...(cell.rounds > 1
      ? [
          `<path d="M${from} ${middle}H${to}M${from} ${middle - 3}v6M${to} ${middle - 3}v6" stroke="${INK}" opacity="0.55"/>`,
        ]
      : []),
    `<text x="${pixels(left + scale(cell.cpuUsMax) + 8)}" y="${middle + 4}" fill="${isOurs ? INK : MUTED}"${weight} ${HALO}>${amount(cell.cpuUs)}${ratio}</text>`,
  ].join("");
}

function limitSvg(x: number, top: number, bottom: number, limit: number): string {
  return `<line x1="${pixels(x)}" y1="${top}" x2="${pixels(x)}" y2="${bottom}" stroke="${LIMIT}" stroke-dasharray="3 3"/><text x="${pixels(x)}" y="${bottom + 12}" font-size="10" text-anchor="middle" fill="${LIMIT}">${limit} × nginx</text>`;
}

function colourOf(proxy: string): string {
  if (proxy === "lychgate") return "#0f766e";
  if (proxy.startsWith("lychgate")) return "#5fb3a8";
  if (proxy === "nginx") return "#64748b";
  return proxy.endsWith("-close") ? "#dfe4ea" : "#b6c0cb";
}

function amount(us: number): string {
  return us >= 1000 ? `${(us / 1000).toFixed(2)} ms` : `${us.toFixed(us < 100 ? 1 : 0)} µs`;
}
