import { describe, expect, it } from "vitest";
import { parseSoakOptions } from "../../../lab/bench/soak/options.ts";
import { soakSvg } from "../../../lab/bench/soak/plot.ts";
import { findingLines, findingsOf, paceWarning, soakPasses } from "../../../lab/bench/soak/verdict.ts";
import type { SoakSample } from "../../../lab/bench/soak/verdict.ts";
import { gauge } from "../../../lab/bench/soak/watch.ts";
import { UsageError } from "../../../lab/bench/options.ts";

const COUNT = 60;
/** A minute between two samples; `grown` adds by the share of the time that is over. */
function samples(grown: (share: number) => Partial<SoakSample> = () => ({})): SoakSample[] {
  return Array.from({ length: COUNT }, (_, index) => ({
    atMs: (index + 1) * 60_000,
    residentBytes: 100e6,
    heapBytes: 40e6,
    openFiles: 200,
    lagP99Ms: 2,
    lagMaxMs: 10,
    requests: 60_000,
    p50Ms: 0.5,
    p99Ms: 3,
    p999Ms: 8,
    othersShare: 0.05,
    ...grown((index + 1) / COUNT),
  }));
}
const text = { title: "A & B", subtitle: "an hour" };

describe("the verdict of a soak", () => {
  it("is that it passes when nothing grows and no answer was wrong", () => {
    const findings = findingsOf(samples());
    expect(findings.map(({ verdict }) => verdict)).toStrictEqual(["steady", "steady", "steady", "steady"]);
    expect(soakPasses(findings, 0)).toBe(true);
    expect(soakPasses(findings, 1)).toBe(false);
  });

  it("passes with what grows in the first half only: caches fill then", () => {
    const findings = findingsOf(
      samples((share) => ({ residentBytes: 50e6 + Math.min(share, 0.45) * 100e6 })),
    );
    expect(soakPasses(findings, 0)).toBe(true);
  });

  it.each<[string, (share: number) => Partial<SoakSample>]>([
    ["Resident memory", (share) => ({ residentBytes: (100 + share * 40) * 1e6 })],
    ["Open file descriptors", (share) => ({ openFiles: Math.round(200 + share * 100) })],
    ["Event loop lag, p99", (share) => ({ lagP99Ms: 2 + share * 20 })],
    ["Latency of requests, p99.9", (share) => ({ p999Ms: 8 + share * 40 })],
  ])("is that %s grows, and names it alone", (title, grown) => {
    const findings = findingsOf(samples(grown));
    expect(soakPasses(findings, 0)).toBe(false);
    expect(findings.filter(({ verdict }) => verdict === "grows").map(({ watched }) => watched.title)).toEqual(
      [title],
    );
    const line = findingLines(findings).find((each) => each.includes("GROWS"));
    expect(line).toMatch(new RegExp(`^${title.replaceAll(".", "\\.")}: GROWS; median .*\\+.* per hour$`));
  });

  it("does not pass without enough samples, nor without a figure", () => {
    expect(soakPasses(findingsOf(samples().slice(0, 8)), 0)).toBe(false);
    expect(soakPasses(findingsOf(samples(() => ({ lagP99Ms: Number.NaN }))), 0)).toBe(false);
    expect(findingLines(findingsOf([]))[0]).toContain("too few readings");
  });

  it("takes no growth of a busy machine for lychgate's, and does not pass without a calm one", () => {
    const slower = (share: number): Partial<SoakSample> => ({
      lagP99Ms: 2 + share * 90,
      p999Ms: 8 + share * 900,
    });
    const busy = findingsOf(samples((share) => ({ ...slower(share), othersShare: 0.9 })));
    expect(busy.map(({ verdict }) => verdict)).toStrictEqual([
      "steady",
      ...Array.from({ length: 3 }, () => "too few readings"),
    ]);
    expect(soakPasses(busy, 0)).toBe(false);
    expect(findingLines(busy)[3]).toContain("NOT JUDGED: too few readings while others took at most 20 %");
    // Every other sample was disturbed.
    let index = 0;
    const now = samples((share) => ((index += 1) % 2 === 0 ? { ...slower(share), othersShare: 0.9 } : {}));
    expect(soakPasses(findingsOf(now), 0)).toBe(true);
  });

  it("finds memory that grows on a busy machine too", () => {
    const findings = findingsOf(
      samples((share) => ({ residentBytes: (100 + share * 40) * 1e6, othersShare: 0.9 })),
    );
    expect(findings[0]?.verdict).toBe("grows");
  });

  it("says when the load did not keep its pace", () => {
    expect(paceWarning(samples(), 1000)).toBeUndefined();
    expect(paceWarning(samples(), 1040)).toBeUndefined();
    expect(paceWarning(samples(), 2000)).toContain("1000 answers per second instead of 2000");
  });
});

describe("the plot of a soak", () => {
  it("draws each watched figure with its trend and verdict, and what grows in red", () => {
    const some = samples((share) => ({ residentBytes: (100 + share * 40) * 1e6 }));
    const svg = soakSvg(some, findingsOf(some), text);
    expect(svg).toContain("A &#38; B");
    expect(svg.match(/<polyline/g)).toHaveLength(7);
    expect(svg.match(/second half: steady/g)).toHaveLength(3);
    expect(svg).toMatch(/fill="#c2410c">second half: grows, \+\d+\.\d MB</);
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });

  it("has no broken figures without samples or with one that lacks", () => {
    const lacking = samples(() => ({ heapBytes: Number.NaN }));
    for (const some of [[], samples().slice(0, 1), lacking]) {
      expect(soakSvg(some, findingsOf(some), text)).not.toMatch(/NaN|undefined|Infinity/);
    }
  });
});

describe("the flags of a soak", () => {
  it("ask for an hour by default", () => {
    expect(parseSoakOptions([])).toMatchObject({ minutes: 60, cores: [0, 1] });
    expect(parseSoakOptions(["--minutes", "10", "--rate=500"])).toMatchObject({
      minutes: 10,
      ratePerSecond: 500,
    });
    expect(parseSoakOptions(["-h"])).toBe("help");
  });

  it.each([["--minutes=0"], ["--minutes=soon"], ["--rate="], ["--cores=1"], ["--hours=1"]])(
    "refuse %s",
    (flag) => {
      expect(() => parseSoakOptions([flag])).toThrow(UsageError);
    },
  );
});

describe("a gauge in the text of /metrics", () => {
  const metrics = '# TYPE a gauge\na 1.5\nab 2\nc{worker="0"} 3e-3\n';

  it("is found by its whole name, with labels or without", () => {
    expect(gauge(metrics, "a")).toBe(1.5);
    expect(gauge(metrics, "ab")).toBe(2);
    expect(gauge(metrics, "c")).toBe(0.003);
    expect(gauge(metrics, "b")).toBeNaN();
  });
});
