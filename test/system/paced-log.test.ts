import { expect, test } from "vitest";
import { silentLog, type Log } from "../../src/system/log.ts";
import { systemClock } from "../../src/system/clock.ts";
import { PacedLog } from "../../src/system/paced-log.ts";

test("one line of each kind in an interval; the next one says how many were left out", () => {
  const lines: unknown[] = [];
  const log: Log = { ...silentLog, warn: (message, fields) => void lines.push([message, fields]) };
  let nowMs = 0;
  const paced = new PacedLog(log, { ...systemClock, monotonicMs: () => nowMs }, 1_000);
  let asked = 0;
  const tell = (kind: string) =>
    paced.tell(
      "warn",
      `${kind} happened`,
      () => {
        asked += 1;
        return { kind };
      },
      kind,
    );

  for (const kind of ["a", "a", "b", "a"]) tell(kind);
  expect(lines).toEqual([
    ["a happened", { kind: "a" }],
    ["b happened", { kind: "b" }],
  ]);

  lines.length = 0;
  nowMs = 999;
  tell("b");
  expect(lines).toEqual([]);
  expect(asked).toBe(2);

  nowMs = 1_000;
  tell("a");
  tell("b");
  nowMs = 2_000;
  tell("a");
  expect(lines).toEqual([
    ["a happened", { kind: "a", untoldBefore: 2 }],
    ["b happened", { kind: "b", untoldBefore: 1 }],
    ["a happened", { kind: "a" }],
  ]);
});
