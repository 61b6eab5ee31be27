import { describe, expect, it } from "vitest";
import { verdictTable } from "../../../lab/bench/report-verdicts.ts";
import { checksOf, verdictOf } from "../../../lab/bench/verdicts.ts";
import type { Check } from "../../../lab/bench/verdicts.ts";
import { sample } from "./sample.ts";

const check: Check = { subject: "x", figure: "y", unit: "×", value: 1, must: 1.25, aim: 1.1 };

function find(checks: readonly Check[], subject: string, figure: string): Check {
  const found = checks.find((each) => each.subject === subject && each.figure === figure);
  if (found === undefined) throw new Error(`no check ${subject}, ${figure}`);
  return found;
}

describe("the benchmark's verdicts", () => {
  it("tell the aim from what must be reached, limits included", () => {
    expect(verdictOf({ ...check, value: 1.1 })).toBe("aim");
    expect(verdictOf({ ...check, value: 1.11 })).toBe("must");
    expect(verdictOf({ ...check, value: 1.25 })).toBe("must");
    expect(verdictOf({ ...check, value: 1.26 })).toBe("miss");
    expect(verdictOf({ ...check, value: Number.NaN })).toBe("not measured");
    const { must: _, aim: __, ...free } = check;
    expect(verdictOf(free)).toBe("told");
  });

  it("compare small messages with keep-alive rivals and with those that close", () => {
    const checks = checksOf([
      sample("lychgate", "small-get", 1, { cpuUs: 12_000 }),
      sample("nginx", "small-get", 1, { cpuUs: 10_000 }),
      sample("nginx-close", "small-get", 1, { cpuUs: 40_000 }),
      sample("http-proxy-3", "small-get", 1, { cpuUs: 96_000 }),
    ]);
    expect(find(checks, "small GET", "CPU / nginx")).toMatchObject({ value: 1.2, must: 1.25 });
    expect(find(checks, "small GET", "CPU / nginx closing")).toMatchObject({
      value: 0.3,
      must: 0.5,
      aim: 0.35,
    });
    expect(find(checks, "small GET", "CPU / http-proxy-3")).toMatchObject({ value: 0.125, must: 1 / 6 });
    expect(find(checks, "small GET", "CPU / HAProxy").value).toBeNaN();
  });

  it("have the worst head of all as their headline, and name it", () => {
    const checks = checksOf([
      sample("lychgate", "head-curl", 1, { cpuUs: 11_000 }),
      sample("nginx", "head-curl", 1, { cpuUs: 10_000 }),
      sample("lychgate", "head-e2b-js", 1, { cpuUs: 19_000 }),
      sample("nginx", "head-e2b-js", 1, { cpuUs: 10_000 }),
      sample("lychgate", "head-go", 1, { cpuUs: 30_000 }),
    ]);
    expect(checks[0]).toMatchObject({
      subject: "GET, worst head",
      figure: "CPU / nginx (e2b-js)",
      value: 1.9,
      must: 1.25,
    });
    expect(verdictOf(checks[1]!)).toBe("not measured");
  });

  it("take the largest memory under load of any round, and the median of what an idle client costs", () => {
    const checks = checksOf([
      sample("lychgate", "response-64k", 1, { residentBytes: 90e6 }),
      sample("lychgate", "response-64k", 2, { residentBytes: 110e6 }),
      ...[4096, 6144, 9000].map((bytes, index) =>
        sample("lychgate", "idle-clients", index + 1, { bytesPerIdleClient: bytes }),
      ),
    ]);
    expect(find(checks, "64 KiB response", "resident memory")).toMatchObject({ value: 110, must: 100 });
    expect(find(checks, "1,000 idle clients", "memory of each")).toMatchObject({ value: 6, must: 8 });
  });

  it("take from churn's cost what the pushes cost alone, and tell it with them too", () => {
    const checks = checksOf([
      sample("lychgate", "paced-get", 1, { cpuUs: 10_000, p99Us: 100 }),
      sample("lychgate", "churn", 1, { cpuUs: 16_300, p99Us: 110 }),
      sample("lychgate", "pushes-alone", 1, { requests: 0, cpuUs: 6000 }),
    ]);
    expect(find(checks, "1,000 changes/s", "CPU per request, less the pushes' own").value).toBeCloseTo(3);
    expect(find(checks, "1,000 changes/s", "CPU per request, pushes and all").value).toBeCloseTo(63);
    expect(find(checks, "1,000 changes/s", "p99").value).toBeCloseTo(10);
  });

  it("are a table that leaves out and counts what was not measured", () => {
    const none = { ...check, subject: "z", value: Number.NaN };
    const table = verdictTable([check, { ...check, value: 1.3 }, none], [{ ...check, value: 0.9 }]);
    expect(table).toContain(
      "| x       |      y |   1.00 × |        0.90 × | ≤ 1.25 × | ≤ 1.10 × | reached, and the aim |",
    );
    expect(table).toContain("MISSED");
    expect(table).toContain("Not measured: 1 of 3 figures.");
    expect(table).not.toContain("| z ");
  });
});
