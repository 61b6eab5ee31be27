/** Where a value stands on an axis, in pixels. */
export type Axis = (value: number) => number;

/** An axis on which 0 stands at `from` and `most` at `to`. */
export function linear(most: number, from: number, to: number): Axis {
  return (value) => from + (value / most) * (to - from);
}

/** A length as SVG gets it: finer than a tenth of a pixel nobody sees, and the file would only be longer. */
export function pixels(length: number): number {
  return Math.round(length * 10) / 10;
}

/** Points as `points` of a polygon or a polyline wants them. */
export function pointsOf(points: readonly (readonly [x: number, y: number])[]): string {
  return points.map(([x, y]) => `${pixels(x)},${pixels(y)}`).join(" ");
}

/** Text that may stand in SVG and HTML, in attributes too. */
export function escapeMarkup(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
