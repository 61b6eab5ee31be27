import { expect, test } from "vitest";
import { WatermarkPace } from "../../src/routes/watermark-pace.ts";
import { NOTHING_SEEN } from "../../src/routes/resource-version.ts";
import { rv } from "./support/timeline.ts";

// Rule 13 in figures: the ceiling is the watermark and what it moves in so many hours, at the pace of the last hour.

const T0 = 1_800_000_000_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const FLOOR = 10_000_000;

/** Heard once a minute; `perMinute` says how far the watermark has moved since then. */
function paced(maxAheadHours: number, minutes: number, perMinute: (minute: number) => number) {
  const pace = new WatermarkPace(maxAheadHours);
  let version = 1_000;
  pace.note(rv(version), T0);
  for (let minute = 1; minute <= minutes; minute++) {
    version += perMinute(minute);
    pace.note(rv(version), T0 + minute * MINUTE_MS);
  }
  return { pace, version, nowMs: T0 + minutes * MINUTE_MS };
}
const ahead = ({ pace, version, nowMs }: ReturnType<typeof paced>, laterMs = 0) =>
  Number(pace.ceiling(rv(version), nowMs + laterMs)) - version;

test("ten million where nothing better is known", () => {
  const pace = new WatermarkPace(12);
  expect(pace.ceiling(rv(1_000), T0)).toBe(String(1_000 + FLOOR));
  pace.note(rv(500), T0);
  expect(pace.ceiling(rv(1_000), T0)).toBe(String(1_000 + FLOOR));
});

test("ten million where it is more than what the pace says", () => {
  expect(ahead(paced(12, 60, () => 10))).toBe(FLOOR);
});

test("a pace is one that was measured for a minute or longer", () => {
  const million = 1_000_000;
  expect(ahead(paced(12, 1, () => million))).toBe(12 * 60 * million);
  const pace = new WatermarkPace(12);
  pace.note(rv(1_000), T0);
  pace.note(rv(1_000 + million), T0 + MINUTE_MS - 1);
  expect(pace.ceiling(rv(1_000 + million), T0 + MINUTE_MS)).toBe(String(1_000 + million + FLOOR));
});

test("so many hours of the pace, and as much as it moves in the time since the informer was heard", () => {
  const perHour = 60_000_000;
  const of = (hours: number) => paced(hours, 30, () => perHour / 60);
  expect(ahead(of(1))).toBe(perHour);
  expect(ahead(of(12))).toBe(12 * perHour);
  expect(ahead(of(1), 5 * HOUR_MS)).toBe(6 * perHour);
  // A clock that is set back counts as standing still.
  expect(ahead(of(1), -5 * HOUR_MS)).toBe(perHour);
});

test("the pace of the last hour, not of the hours before it", () => {
  const perHour = 60_000_000;
  const fastThenSlow = paced(1, 180, (minute) => (minute <= 60 ? 10 : 1) * (perHour / 60));
  expect(ahead(fastThenSlow)).toBe(perHour);
  // Half an hour after the fast hour, half of it still counts.
  const half = paced(1, 90, (minute) => (minute <= 60 ? 10 : 1) * (perHour / 60));
  expect(ahead(half)).toBe(5.5 * perHour);
});

test("one sample a minute, however often the informer speaks", () => {
  const pace = new WatermarkPace(1);
  const perSecond = 20_000;
  const seconds = 3 * 3_600;
  // Three times as fast until half an hour before the end. Were each word a sample, only the last minute would count.
  let version = 1_000;
  for (let second = 0; second <= seconds; second++) {
    pace.note(rv(version), T0 + second * 1_000);
    version += second >= seconds - 1_800 ? perSecond : 3 * perSecond;
  }
  const moved = Number(pace.ceiling(rv(version), T0 + seconds * 1_000)) - version;
  expect(moved).toBeGreaterThan(1.9 * perSecond * 3_600);
  expect(moved).toBeLessThan(2.1 * perSecond * 3_600);
});

test("any version before the first list, and with the rule off", () => {
  const pace = new WatermarkPace(12);
  pace.note(NOTHING_SEEN, T0);
  expect(pace.ceiling(NOTHING_SEEN, T0)).toBeUndefined();
  // What was noted before the first list is no measure: the list did not move the watermark from 0.
  pace.note(rv(900_000_000), T0 + MINUTE_MS);
  expect(pace.ceiling(rv(900_000_000), T0 + MINUTE_MS)).toBe(String(900_000_000 + FLOOR));
  const off = new WatermarkPace(0);
  off.note(rv(1_000), T0);
  expect(off.ceiling(rv(1_000), T0)).toBeUndefined();
});

test("versions longer than a number is exact", () => {
  const pace = new WatermarkPace(12);
  expect(pace.ceiling(rv(1), T0)).toBe("10000001");
  const long = "9".repeat(40) as ReturnType<typeof rv>;
  expect(pace.ceiling(long, T0)).toBe(String(BigInt(long) + BigInt(FLOOR)));
});

test("after a restore the pace is learned from there", () => {
  const { pace, nowMs } = paced(1, 60, () => 1_000_000);
  pace.reset();
  pace.note(rv(500), nowMs);
  pace.note(rv(2_000_500), nowMs + MINUTE_MS);
  expect(Number(pace.ceiling(rv(2_000_500), nowMs + MINUTE_MS)) - 2_000_500).toBe(120_000_000);
});
