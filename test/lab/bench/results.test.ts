import { describe, expect, it } from "vitest";
import { parseOptions } from "../../../lab/bench/options.ts";
import { resultsText } from "../../../lab/bench/results.ts";
import type { Results } from "../../../lab/bench/results.ts";
import { sample } from "./sample.ts";

function resultsOf(samples: Results["samples"]): Results {
  const options = parseOptions([], { proxies: [], workloads: [] });
  if (options === "help") throw new Error("no help was asked for");
  const missing = { wrk: "wrk is not on PATH" };
  return { startedAt: new Date(0), options, versions: { nginx: "1.22" }, missing, samples };
}

describe("the text of a result", () => {
  const samples = [
    sample("lychgate", "head-curl", 1, { cpuUs: 15_000 }),
    sample("nginx", "head-curl", 1, { cpuUs: 10_000 }),
  ];

  it("begins with the worst head, then tells each limit with the ratio, what is missing, and the tables", () => {
    const text = resultsText(resultsOf(samples));
    const parts = [
      "Left out: wrk: wrk is not on PATH.",
      "**1.50 × nginx** for the worst head of a real program: head-curl",
      "### What it must reach",
      "### head-curl: GET as curl sends it",
    ].map((part) => text.indexOf(part));
    expect(parts.every((at) => at >= 0)).toBe(true);
    expect(parts).toStrictEqual(parts.toSorted((a, b) => a - b));
    expect(text).toMatch(/any head \| CPU \/ nginx \| +1\.50 × \| +head-curl \|.* ≤ 1\.25 × .*MISSED/);
  });

  it("names wrong answers with the load that found them", () => {
    const wrong = sample("lychgate", "head-curl", 1, { errors: 3, firstError: "oh" }, "wrk");
    expect(resultsText(resultsOf([...samples, wrong]))).toContain(
      "Wrong answers: lychgate in head-curl by wrk: 3; the first: oh",
    );
  });
});
