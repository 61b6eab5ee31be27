import { describe, expect, it } from "vitest";
import { headline, verdictTable } from "../../../lab/bench/report-verdicts.ts";
import { checksOf, verdictOf, worstHead } from "../../../lab/bench/verdicts.ts";
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

  it("compare CPU time with that of each rival, in the worst workload", () => {
    const checks = checksOf([
      sample("lychgate", "small-get", 1, { cpuUs: 12_000 }),
      sample("nginx", "small-get", 1, { cpuUs: 10_000 }),
      sample("envoy", "small-get", 1, { cpuUs: 48_000 }),
      sample("nginx-close", "small-get", 1, { cpuUs: 40_000 }),
      sample("http-proxy-3", "small-get", 1, { cpuUs: 96_000 }),
      sample("lychgate", "small-post", 1, { cpuUs: 11_000 }),
      sample("nginx", "small-post", 1, { cpuUs: 10_000 }),
      sample("lychgate-log", "small-get", 1, { cpuUs: 13_200 }),
      sample("lychgate-log", "small-post", 1, { cpuUs: 13_200 }),
    ]);
    const small = "small GET, 1 KiB POST, any head";
    expect(find(checks, small, "CPU / nginx")).toMatchObject({
      value: 1.2,
      must: 1.25,
      aim: 1,
      worst: "small-get",
    });
    expect(find(checks, small, "CPU / Envoy")).toMatchObject({ value: 0.25, must: 0.33, aim: 0.25 });
    expect(find(checks, small, "CPU / HAProxy").value).toBeNaN();
    expect(find(checks, "access log on", "CPU / log off")).toMatchObject({
      value: 1.2,
      must: 1.15,
      worst: "small-post",
    });
    expect(find(checks, "small GET, 1 KiB POST", "CPU / nginx closing")).toMatchObject({
      value: 0.3,
      must: 0.5,
      aim: 0.35,
    });
    expect(find(checks, "small GET, 1 KiB POST", "CPU / http-proxy-3")).toMatchObject({
      value: 0.125,
      must: 1 / 6,
    });
  });

  it("ask what was promised: the limits of each kind of traffic", () => {
    const limits = checksOf([])
      .filter(({ figure }) =>
        ["CPU / nginx", "CPU / HAProxy", "CPU / Envoy", "CPU / log off"].includes(figure),
      )
      .map(({ subject, figure, must, aim }) => [subject, figure, must, aim]);
    expect(limits).toEqual([
      ["small GET, 1 KiB POST, any head", "CPU / nginx", 1.25, 1],
      ["mixed heads, 200 hosts in turn", "CPU / nginx", 1.35, 1.1],
      ["small GET, 1 KiB POST, any head", "CPU / HAProxy", 1.15, 0.9],
      ["small GET, 1 KiB POST, any head", "CPU / Envoy", 0.33, 0.25],
      ["mixed heads, 200 hosts in turn", "CPU / HAProxy", 1.15, 0.9],
      ["mixed heads, 200 hosts in turn", "CPU / Envoy", 0.33, 0.25],
      ["64 KiB response", "CPU / nginx", 1.2, 1],
      ["1 MiB response", "CPU / nginx", 1.2, 1],
      ["64 KiB upload", "CPU / nginx", 1.2, 1],
      ["WebSocket echo", "CPU / nginx", 1.3, 1.1],
      ["new upstream connection", "CPU / nginx", 1.4, 1.1],
      ["new client connection", "CPU / nginx", 1.4, 1.1],
      ["access log on", "CPU / log off", 1.15, undefined],
    ]);
  });

  /** What `proxy` costs with each head, by each load generator. */
  const heads = [
    sample("lychgate", "head-curl", 1, { cpuUs: 11_000 }),
    sample("nginx", "head-curl", 1, { cpuUs: 10_000 }),
    sample("lychgate", "head-e2b-js", 1, { cpuUs: 19_000 }),
    sample("nginx", "head-e2b-js", 1, { cpuUs: 10_000 }),
    sample("lychgate", "head-go", 1, { cpuUs: 30_000 }),
  ];
  const byWrk = [
    sample("lychgate", "head-curl", 1, { cpuUs: 22_000 }, "wrk"),
    sample("nginx", "head-curl", 1, { cpuUs: 10_000 }, "wrk"),
  ];

  it("have the worst head over both load generators as their headline, and name both", () => {
    expect(worstHead(heads)).toStrictEqual({
      workload: "head-e2b-js",
      generator: "own",
      ratio: 1.9,
    });
    expect(worstHead([...heads, ...byWrk])).toStrictEqual({
      workload: "head-curl",
      generator: "wrk",
      ratio: 2.2,
    });
    expect(worstHead([])).toBeUndefined();
    expect(headline([...heads, ...byWrk])).toBe(
      "**2.20 × nginx** for the worst head of a real program: head-curl, by wrk.",
    );
    expect(headline(heads)).toContain("head-e2b-js, by the benchmark's own load");
    expect(headline([])).toBeUndefined();
    const posts = [
      sample("lychgate", "post-grpc-web", 1, { cpuUs: 40_000 }),
      sample("nginx", "post-grpc-web", 1, { cpuUs: 10_000 }),
    ];
    expect(worstHead([...heads, ...posts])).toMatchObject({ workload: "post-grpc-web", ratio: 4 });
    const [row] = checksOf([...heads, ...byWrk]);
    expect(row).toMatchObject({ value: 2.2, worst: "head-curl, wrk" });
  });

  it("never compare one load generator's figures with the other's", () => {
    const checks = checksOf([
      sample("lychgate", "head-curl", 1, { cpuUs: 10_000 }),
      sample("nginx", "head-curl", 1, { cpuUs: 1000 }, "wrk"),
    ]);
    expect(verdictOf(checks[0]!)).toBe("not measured");
  });

  it("say of how many measurements they are the worst when some were not made", () => {
    const [own] = checksOf(heads);
    const [both] = checksOf([...heads, ...byWrk]);
    expect(own?.measured?.count).toBe(2);
    expect(both?.measured?.count).toBe(3);
    expect(both?.measured?.all).toBe((own?.measured?.all ?? 0) * 2);
    expect(verdictTable(checksOf(heads), [])).toContain(`MISSED (2 of ${own?.measured?.all} measured)`);
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

  it("compare latencies where every proxy was offered the same rate, and beside a flood of pushes", () => {
    const checks = checksOf([
      sample("lychgate", "paced-60", 1, { p99Us: 300 }),
      sample("nginx", "paced-60", 1, { p99Us: 200 }),
      sample("lychgate", "paced-get", 1, { p99Us: 100 }),
      sample("lychgate", "flood", 1, { p99Us: 115 }),
    ]);
    expect(find(checks, "60 % of own peak", "p99 / nginx").value).toBeCloseTo(1.5);
    expect(find(checks, "10,000 changes/s", "p99").value).toBeCloseTo(15);
  });

  it("are a table that leaves out and counts what was not measured", () => {
    const none = { ...check, subject: "z", value: Number.NaN };
    const table = verdictTable([check, { ...check, value: 1.3 }, none], [{ ...check, value: 0.9 }]);
    expect(table).toContain(
      "| x       |      y |   1.00 × |              |     0.90 × | ≤ 1.25 × | ≤ 1.10 × | met, and the aim |",
    );
    expect(table).toContain("MISSED");
    expect(table).toContain("Not measured: 1 of 3 figures.");
    expect(table).not.toContain("| z ");
  });
});
