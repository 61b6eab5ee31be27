const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const two = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/** A count. */
export function count(value) {
  return whole.format(value);
}

/** A rate or another number of which small ones matter. */
export function number(value) {
  if (value === 0) return "0";
  return (value < 1 ? two : value < 100 ? one : whole).format(value);
}

/** Milliseconds, with the unit that reads best. */
export function duration(ms) {
  if (ms === undefined || ms === null) return "–";
  if (ms < 1) return `${two.format(ms)} ms`;
  if (ms < 1000) return `${number(ms)} ms`;
  return `${number(ms / 1000)} s`;
}

/** How long, in two parts: `3 d 4 h`. */
export function span(seconds) {
  const parts = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = parts.findIndex(([length]) => seconds >= length);
  if (first < 0) return "0 s";
  const [[length, unit], next] = parts.slice(first);
  const rest = next ? Math.floor((seconds % length) / next[0]) : 0;
  return `${Math.floor(seconds / length)} ${unit}${rest > 0 ? ` ${rest} ${next[1]}` : ""}`;
}

/** Bytes, in powers of 1,024. */
export function bytes(value) {
  if (value === undefined || value === null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10));
  return `${number(value / 1024 ** power)} ${units[power]}`;
}

/** The time of day, to the millisecond. */
export function clock(atMs) {
  const date = new Date(atMs);
  return `${padded(date.getHours())}:${padded(date.getMinutes())}:${padded(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** How long ago, by the router's clock. */
export function ago(atMs, nowMs) {
  if (!atMs) return "never";
  const seconds = Math.max(0, (nowMs - atMs) / 1000);
  return seconds < 1.5 ? "just now" : `${span(Math.round(seconds))} ago`;
}

function padded(value) {
  return String(value).padStart(2, "0");
}
