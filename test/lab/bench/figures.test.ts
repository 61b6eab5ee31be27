import { describe, expect, it } from "vitest";
import { cellsOf, ratioOf } from "../../../lab/bench/figures.ts";
import { median } from "../../../lab/bench/statistics.ts";
import { sample } from "./sample.ts";

describe("the benchmark's figures", () => {
  it("take the median, of an even number the mean of the middle two", () => {
    expect(median([5, 1, 9])).toBe(5);
    expect(median([5, 1, 9, 7])).toBe(6);
    expect(median([])).toBeNaN();
  });

  it("are medians over the rounds, with the range of CPU time", () => {
    const samples = [10, 30, 14].map((cpuPerRequest, index) =>
      sample("nginx", "small-get", index + 1, {
        requests: 1000,
        cpuUs: cpuPerRequest * 1000,
        measuredMs: 500,
      }),
    );
    expect(cellsOf(samples)).toStrictEqual([
      expect.objectContaining({
        proxy: "nginx",
        workload: "small-get",
        rounds: 3,
        cpuUs: 14,
        cpuUsMin: 10,
        cpuUsMax: 30,
        perSecond: 2000,
        errors: 0,
      }),
    ]);
  });

  it("have no CPU time per request nor latency without requests, and add up the errors", () => {
    const [cell] = cellsOf([
      sample("x", "pushes-alone", 1, {
        requests: 0,
        cpuUs: 5000,
        measuredMs: 100,
        errors: 2,
        firstError: "oh",
      }),
      sample("x", "pushes-alone", 2, { requests: 0, cpuUs: 5000, measuredMs: 100, errors: 1 }),
    ]);
    expect(cell).toMatchObject({ errors: 3, firstError: "oh", cpuMsPerSecond: 50 });
    expect(cell?.cpuUs).toBeNaN();
    expect(cell?.p99Ms).toBeNaN();
  });

  it("compare proxies within a round, so that a slow round weighs on both sides", () => {
    const samples = [
      sample("lychgate", "small-get", 1, { cpuUs: 12_000 }),
      sample("nginx", "small-get", 1, { cpuUs: 10_000 }),
      sample("lychgate", "small-get", 2, { cpuUs: 36_000 }),
      sample("nginx", "small-get", 2, { cpuUs: 30_000 }),
      sample("nginx", "small-get", 3, { cpuUs: 1 }),
    ];
    expect(ratioOf(samples, "small-get", "lychgate", "nginx")).toBeCloseTo(1.2);
    expect(ratioOf(samples, "small-get", "lychgate", "haproxy")).toBeNaN();
    expect(ratioOf(samples, "websocket", "lychgate", "nginx")).toBeNaN();
  });
});
