import { describe, expect, it } from "vitest";
import { cellsOf } from "../../../lab/bench/figures.ts";
import { plotSvg } from "../../../lab/bench/plot.ts";
import { sample } from "./sample.ts";

const text = { title: "CPU & more", subtitle: "a < b" };

describe("the benchmark's plot", () => {
  it("draws a bar per proxy, cheapest first, with its ratio to nginx, and the limit", () => {
    const cells = cellsOf([
      sample("http-proxy-3", "small-get", 1, { cpuUs: 120_000 }),
      sample("nginx", "small-get", 1, { cpuUs: 15_000 }),
      sample("lychgate", "small-get", 1, { cpuUs: 18_000 }),
    ]);
    const svg = plotSvg(cells, [{ workload: "small-get", title: "GET", limit: 1.25 }], text);
    const order = ["nginx", "lychgate", "http-proxy-3"].map((name) => svg.indexOf(`>${name}</text>`));
    expect(order.every((at) => at > 0)).toBe(true);
    expect(order).toStrictEqual(order.toSorted((a, b) => a - b));
    expect(svg).toContain("18.0 µs · 1.20×");
    expect(svg).toContain("1.25 × nginx");
    expect(svg).toContain("CPU &#38; more");
  });

  it("leaves out workloads and proxies without figures", () => {
    const cells = cellsOf([sample("nginx", "small-get", 1, { requests: 0 })]);
    const svg = plotSvg(cells, [{ workload: "small-get", title: "GET" }], text);
    expect(svg).not.toContain("GET");
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });
});
