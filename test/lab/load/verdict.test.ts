import { expect, test } from "vitest";
import type { Answer } from "../../../lab/load/answer.ts";
import { LatencyHistogram } from "../../../lab/load/latency-histogram.ts";
import type { Judgement } from "../../../lab/load/oracle.ts";
import { planGivenPhases, planPhases } from "../../../lab/load/phases.ts";
import { Progress, progressLine } from "../../../lab/load/progress.ts";
import { readStopped, stoppedSince } from "../../../lab/load/router-metrics.ts";
import { churnRatio, MIN_RIGHT_PER_PHASE, verdictLines, verdictOf } from "../../../lab/load/verdict.ts";
import { loadResult } from "./support.ts";
import { PassThrough } from "node:stream";

const other: Answer = { target: 0, sentMs: 0, answeredMs: 1, outcome: { kind: "timeout" } };
const misroute: Judgement = { kind: "misroute", detail: "a was answered by b" };

test("a run without a fault passes", () => {
  const verdict = verdictOf(loadResult({ right: 5_000, refused: 300 }));
  expect(verdict).toEqual({
    outcome: "passed",
    headline: "0 misroutes in 5,300 requests",
    failures: [],
  });
});

test("one misroute in a million fails, and is told", () => {
  const verdict = verdictOf(loadResult({ right: 1_000_000, others: [[other, misroute]] }));
  expect(verdict).toEqual({
    outcome: "failed",
    headline: "1 misroute",
    failures: ["1 misroute, such as: a was answered by b"],
  });
});

test.each([
  [{ kind: "after-end", detail: "x" }, "1 answer after the end of a sandbox"],
  [{ kind: "revived", detail: "x" }, "1 answer that shows a revived route"],
] as const)("%s fails", (judgement, headline) => {
  const verdict = verdictOf(loadResult({ right: 1_000_000, others: [[other, judgement]] }));
  expect(verdict).toMatchObject({ outcome: "failed", headline });
});

test("a cluster that stood still for longer than its pods take to die is named beside the misroute", () => {
  const result = loadResult({ right: 1_000, others: [[other, misroute]] });
  const failures = (longestMs: number) =>
    verdictOf({ ...result, stall: { longestMs, podEndMs: 300 } }).failures;
  expect(failures(200)).toHaveLength(1);
  expect(failures(450)).toEqual([
    expect.stringContaining("1 misroute"),
    expect.stringContaining("stood still for up to 450 ms"),
  ]);
  const withoutFault = { ...loadResult({ right: 100 }), stall: { longestMs: 450, podEndMs: 300 } };
  expect(verdictOf(withoutFault).outcome).toBe("passed");
});

test("unexpected statuses fail above a thousandth of the requests", () => {
  const unexpected: Judgement = { kind: "unexpected", label: "503 overloaded", detail: "x got 503" };
  const withSome = (count: number) =>
    verdictOf(
      loadResult({ right: 10_000 - count, others: Array.from({ length: count }, () => [other, unexpected]) }),
    );
  expect(withSome(10).outcome).toBe("passed");
  expect(withSome(11)).toEqual({
    outcome: "failed",
    headline:
      "11 unexpected statuses in 10000 requests, above the 0.1 % that are let pass; most often 503 overloaded",
    failures: [expect.stringContaining("such as: x got 503")],
  });
});

test("a run that proved nothing is inconclusive", () => {
  expect(verdictOf(loadResult({ refused: 100 }))).toEqual({
    outcome: "inconclusive",
    headline: "no request was answered by the pod that was asked for",
    failures: ["no request was answered by the pod that was asked for"],
  });
  expect(verdictOf(loadResult({ unidentified: 5 }))).toMatchObject({
    outcome: "inconclusive",
    failures: [expect.stringContaining("no pod said who it is")],
  });
  expect(verdictOf({ ...loadResult({ right: 100 }), unjudged: 3 }).outcome).toBe("inconclusive");
});

test("each phase but the warm-up needs right answers; 58 requests of which none came in calm prove nothing", () => {
  const result = loadResult({ right: 58 });
  const phases = (rights: Readonly<Record<string, number>>) =>
    planPhases(10_000).map(({ kind, title }) => {
      const right = rights[kind] ?? MIN_RIGHT_PER_PHASE;
      const figures = { requests: right, right, refused: 0, unexpected: 0, violations: 0 };
      return Object.assign(figures, { kind, title, fromMs: 0, untilMs: 1_000 });
    });
  const verdict = verdictOf({ ...result, phases: phases({ calm: 0, churn: 0, lag: 19 }) });
  expect(verdict.outcome).toBe("inconclusive");
  expect(verdict.headline).toMatch(
    /^fewer than 20 right answers in calm \(0\), churn \(0\), lagging informer \(19\)/,
  );
  expect(verdictOf({ ...result, phases: phases({ "warm-up": 0 }) }).outcome).toBe("passed");
  // A fault that was seen weighs more than what was not.
  const faulty = loadResult({ right: 4, others: [[other, misroute]] });
  expect(verdictOf(faulty)).toMatchObject({
    outcome: "failed",
    headline: "1 misroute",
    failures: [expect.stringContaining("1 misroute"), expect.stringContaining("fewer than 20 right answers")],
  });
});

test("a run that broke fails", () => {
  expect(
    verdictOf({
      ...loadResult({ right: 100 }),
      broken: "the router ended by itself (1); its last words:\nno",
    }),
  ).toMatchObject({
    outcome: "failed",
    headline: "the router ended by itself (1)",
  });
});

test("the lines name every guard that stopped something, and p99 by phase", () => {
  const result = {
    ...loadResult({ right: 100, refused: 5 }),
    stopped: [{ source: "peer", guard: "watermark", count: 7 }],
  };
  const text = verdictLines(result).join("\n");
  expect(text).toContain("100 answered by the right pod, 5 refused as expected");
  expect(text).toContain("7 resurrections, by guard: watermark (peer) 7");
  expect(text).toMatch(/p99 +calm 2\.0\d ms, churn 2\.0\d ms/);
  expect(churnRatio(result.phases)).toBe(1);
});

test("answers belong to the phase and the step in which they came, also when they are judged later", () => {
  const { phases, points } = loadResult({ right: 100, others: [[other, misroute]] });
  expect(phases.map(({ kind, requests }) => [kind, requests])).toEqual([
    ["calm", 50],
    ["churn", 51],
  ]);
  expect(points.map(({ atMs, right }) => [atMs, right])).toEqual([
    [500, 50],
    [1500, 50],
  ]);
});

test("a histogram's quantiles are off by no more than a fiftieth, over seven decades", () => {
  for (const scale of [0.1, 1, 37, 1_000, 100_000]) {
    const histogram = new LatencyHistogram();
    for (let i = 1; i <= 1_000; i++) histogram.record((i / 1_000) * scale);
    for (const q of [0.5, 0.9, 0.99]) {
      const ratio = (histogram.quantileMs(q) ?? 0) / (q * scale);
      expect(Math.abs(ratio - 1), `${q} of ${scale}`).toBeLessThan(0.025);
    }
    const merged = new LatencyHistogram();
    merged.merge(histogram.pairs());
    expect([merged.count, merged.quantileMs(0.99)]).toEqual([1_000, histogram.quantileMs(0.99)]);
  }
  expect(new LatencyHistogram().quantileMs(0.5)).toBeUndefined();
});

test("the phases fill the time", () => {
  for (const phases of [planPhases(30_000), planGivenPhases(30_000, true), planGivenPhases(30_000, false)]) {
    expect(phases.reduce((sum, { durationMs }) => sum + durationMs, 0)).toBeCloseTo(30_000, -1);
  }
});

test("resurrections are read from the router's metrics, and what was there before is left out", () => {
  const metrics = (count: number) =>
    `# TYPE lychgate_resurrection_attempts_total counter\nlychgate_resurrection_attempts_total{source="peer",guard="watermark"} ${count}\nlychgate_resurrection_attempts_total{source="peer",guard="stale"} 0\n`;
  expect(readStopped(metrics(4))).toEqual([{ source: "peer", guard: "watermark", count: 4 }]);
  expect(stoppedSince(readStopped(metrics(4)), readStopped(metrics(9)))).toEqual([
    { source: "peer", guard: "watermark", count: 5 },
  ]);
  expect(stoppedSince(readStopped(metrics(4)), readStopped(metrics(4)))).toEqual([]);
});

test("progress is one line that is written over on a terminal, else a line per phase and every few seconds", () => {
  const now = {
    elapsedMs: 1_000,
    durationMs: 30_000,
    phase: "lagging informer",
    requestsPerSecond: 12_345,
    p99Ms: 12.3,
    misroutes: 0,
    unexpected: 0,
    stopped: 100,
  };
  expect(progressLine(now).length).toBeLessThan(100);
  const told = (isTTY: boolean): string => {
    const out = Object.assign(new PassThrough(), { isTTY });
    const progress = new Progress(out);
    for (const [elapsedMs, phase] of [
      [0, "calm"],
      [250, "calm"],
      [500, "churn"],
      [3_600, "churn"],
    ] as const) {
      progress.show({ ...now, elapsedMs, phase });
    }
    progress.end();
    // `read` gives one piece at a time since Node 26.
    let text = "";
    for (let piece: unknown = out.read(); Buffer.isBuffer(piece); piece = out.read())
      text += piece.toString();
    return text;
  };
  expect(told(false).match(/\n/g)).toHaveLength(3);
  expect(told(true)).not.toContain("\n");
  expect(told(true).split("\r\u001B[2K")).toHaveLength(6);
});
