import { describe, expect, it } from "vitest";
import { cellsOf, ratioOf } from "../../../lab/bench/figures.ts";
import { reportTables } from "../../../lab/bench/report-table.ts";
import { SMALL_GET } from "../../../lab/bench/workloads.ts";
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

  it("keep those of each load generator apart", () => {
    const samples = [
      sample("lychgate", "small-get", 1, { cpuUs: 30_000 }),
      sample("nginx", "small-get", 1, { cpuUs: 20_000 }),
      sample("lychgate", "small-get", 1, { cpuUs: 20_000 }, "wrk"),
      sample("nginx", "small-get", 1, { cpuUs: 10_000 }, "wrk"),
    ];
    expect(
      cellsOf(samples).map(({ generator, cpuUs, timesNginx }) => [generator, cpuUs, timesNginx]),
    ).toEqual([
      ["own", 30, 1.5],
      ["own", 20, 1],
      ["wrk", 20, 2],
      ["wrk", 10, 1],
    ]);
    const table = reportTables(cellsOf(samples), [SMALL_GET]);
    expect(table).toContain("| wrk µs/req | wrk × nginx |");
    expect(table).toMatch(/\| lychgate \| +30\.0 .* 20\.0 \| +2\.00 \|/);
    const own = reportTables(cellsOf(samples.slice(0, 2)), [SMALL_GET]);
    expect(own).not.toContain("wrk");
  });
});
