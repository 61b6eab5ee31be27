import { h, setAttribute, setText, svg } from "./dom.js";
import { clock } from "./format.js";

const HEIGHT = 150;
const LEFT = 40;
const RIGHT = 4;
const TOP = 8;
const BOTTOM = 20;
/** What a chart shows: the last five minutes, or less while there is less. */
const SPANS_MS = [60_000, 2 * 60_000, 5 * 60_000];
const LONGEST_MS = 5 * 60_000;

/**
 * A chart over time. `series` are `{ label, color, value, stacked? }` with `value(point)`, undefined for a gap. Returns the
 * element and the function that draws points (oldest first) as seen at `nowMs`.
 */
export function chart({ title, unit, series, format }) {
  const grid = svg("g");
  const marks = series.map(({ color, stacked }) => {
    const path = svg("path", { class: stacked ? "" : "line" });
    path.style[stacked ? "fill" : "stroke"] = `var(${color})`;
    return path;
  });
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const picture = svg(
    "svg",
    { role: "img", "aria-label": title },
    grid,
    // Stacked from the top down, so that each covers what is below it.
    ...[...marks].reverse(),
    cursor,
  );
  const values = series.map(() => h("b"));
  const when = h("span", {}, unit);
  const root = h(
    "figure",
    { class: "card" },
    h("figcaption", {}, h("h2", {}, title), when),
    picture,
    h(
      "ul",
      { class: "legend" },
      series.map(({ label, color }, index) => {
        const swatch = h("i", { "aria-hidden": "true" });
        swatch.style.background = `var(${color})`;
        return h("li", {}, swatch, label, values[index]);
      }),
    ),
  );

  let points = [];
  let nowMs = 0;
  let pointedAt;
  /** In pixels, so that texts keep their shape. */
  let width = 360;
  let spanMs = LONGEST_MS;
  const x = (atMs) => LEFT + (1 - (nowMs - atMs) / spanMs) * (width - LEFT - RIGHT);

  function show() {
    const point = pointedAt === undefined ? points.at(-1) : nearest(pointedAt);
    values.forEach((element, index) => {
      const value = point && series[index].value(point);
      setText(element, value === undefined ? "–" : format(value));
    });
    setText(when, pointedAt !== undefined && point ? clock(point.atMs).slice(0, 8) : unit);
    setAttribute(cursor, "visibility", pointedAt !== undefined && point ? "visible" : "hidden");
    if (point) {
      setAttribute(cursor, "x1", x(point.atMs).toFixed(1));
      setAttribute(cursor, "x2", x(point.atMs).toFixed(1));
    }
  }

  function nearest(atMs) {
    return points.reduce(
      (best, point) => (best && Math.abs(best.atMs - atMs) <= Math.abs(point.atMs - atMs) ? best : point),
      undefined,
    );
  }

  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    pointedAt = nowMs - (1 - (at - LEFT) / (width - LEFT - RIGHT)) * spanMs;
    show();
  });
  picture.addEventListener("pointerleave", () => {
    pointedAt = undefined;
    show();
  });

  function draw(all, atMs) {
    nowMs = atMs;
    width = picture.clientWidth || width;
    points = all.filter((point) => point.atMs > nowMs - LONGEST_MS);
    const oldestMs = points[0]?.atMs ?? nowMs;
    spanMs = SPANS_MS.find((each) => nowMs - oldestMs <= each) ?? LONGEST_MS;
    const tops = layered(series, points);
    const scale = niceScale(Math.max(0, ...tops.flat().map(([, to]) => to ?? 0)));
    const y = (value) => HEIGHT - BOTTOM - (value / scale.max) * (HEIGHT - TOP - BOTTOM);
    drawGrid(grid, { scale, width, spanMs, y, format });
    series.forEach(({ stacked }, index) => {
      setAttribute(
        marks[index],
        "d",
        stacked ? area(points, tops[index], x, y) : line(points, tops[index], x, y),
      );
    });
    const last = points.at(-1);
    const said = series.map(({ label, value }) => {
      const now = last && value(last);
      return `${label} ${now === undefined ? "unknown" : format(now)}`;
    });
    setAttribute(
      picture,
      "aria-label",
      `${title} over the last five minutes (${unit}); now ${said.join(", ")}`,
    );
    show();
  }
  return { root, draw };
}

/** For each series, for each point, from where to where it reaches. */
function layered(series, points) {
  const below = points.map(() => 0);
  return series.map(({ value, stacked }) =>
    points.map((point, index) => {
      const own = value(point);
      if (!stacked) return [0, own];
      const from = below[index];
      below[index] = from + (own ?? 0);
      return [from, below[index]];
    }),
  );
}

function line(points, tops, x, y) {
  let path = "";
  let pen = "M";
  points.forEach(({ atMs }, index) => {
    const [, value] = tops[index];
    if (value === undefined) {
      pen = "M";
      return;
    }
    path += `${pen}${x(atMs).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return path;
}

function area(points, tops, x, y) {
  if (points.length < 2) return "";
  const upper = points.map(({ atMs }, index) => `${x(atMs).toFixed(1)} ${y(tops[index][1]).toFixed(1)}`);
  const lower = points.map(({ atMs }, index) => `${x(atMs).toFixed(1)} ${y(tops[index][0]).toFixed(1)}`);
  return `M${upper.join("L")}L${lower.reverse().join("L")}Z`;
}

function drawGrid(grid, { scale, width, spanMs, y, format }) {
  const key = `${scale.max} ${width} ${spanMs}`;
  if (grid.dataset.scale === key) return;
  grid.dataset.scale = key;
  const children = [];
  for (let value = 0; value <= scale.max * 1.001; value += scale.step) {
    const at = y(value).toFixed(1);
    children.push(
      svg("line", { class: "grid-line", x1: LEFT, x2: width - RIGHT, y1: at, y2: at }),
      svg("text", { class: "tick", x: LEFT - 6, y: at, dy: "0.32em", "text-anchor": "end" }, format(value)),
    );
  }
  const stepMs = spanMs === LONGEST_MS ? 60_000 : spanMs / 4;
  for (let backMs = 0; backMs < spanMs; backMs += stepMs) {
    const at = LEFT + (1 - backMs / spanMs) * (width - LEFT - RIGHT);
    const anchor = backMs === 0 ? "end" : "middle";
    const text =
      backMs === 0 ? "now" : spanMs === LONGEST_MS ? `−${backMs / 60_000} min` : `−${backMs / 1_000} s`;
    children.push(svg("text", { class: "tick", x: at, y: HEIGHT - 4, "text-anchor": anchor }, text));
  }
  grid.replaceChildren(...children);
}

/** A round step so that three or four of them hold `peak`. */
function niceScale(peak) {
  if (peak <= 0) return { max: 1, step: 0.5 };
  const rough = peak / 3;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((each) => each * unit >= rough) ?? 10) * unit;
  return { max: Math.ceil(peak / step - 1e-9) * step, step };
}
