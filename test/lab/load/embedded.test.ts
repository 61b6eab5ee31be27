import { expect, test } from "vitest";
import { provesEnough, runLoad } from "./run-load.ts";

test(
  "the embedded cluster and a real router: 0 misroutes, exit 0, and a report",
  { timeout: 600_000 },
  async () => {
    const flags = "--sandboxes 12 --connections 4 --seed 7 --churn-per-second 30";
    let run = await runLoad(`--duration-s 5 ${flags}`);
    // A busy machine needs longer to see as much.
    if (!provesEnough(run.said)) run = await runLoad(`--duration-s 60 ${flags}`);
    const { code, said, stderr, html } = run;
    const isEnough = provesEnough(said);
    expect(said?.verdict.outcome, stderr).toBe(isEnough ? "passed" : "inconclusive");
    expect(code).toBe(isEnough ? 0 : 1);
    expect(said.violationCounts).toEqual({ misroute: 0, "after-end": 0, revived: 0 });
    expect(said.phases.map(({ kind }) => kind)).toEqual([
      "warm-up",
      "calm",
      "churn",
      "lag",
      "outage",
      "recovery",
    ]);
    expect(said.total.right).toBeGreaterThan(100);
    // What it means to prove could have gone wrong.
    const happened = Object.fromEntries(said.cluster.map(({ label, count }) => [label, count]));
    expect(happened["addresses given to another sandbox"]).toBeGreaterThan(5);
    expect(happened["deletions"]).toBeGreaterThan(2);
    expect(said.stopped?.length).toBeGreaterThan(0);
    // autocannon's own count, up to what was on its way at the end.
    expect(Math.abs((said.autocannon["answered"] ?? 0) - said.total.requests)).toBeLessThanOrEqual(8);
    expect(html).toContain(isEnough ? "Passed: 0 misroutes" : "Inconclusive: fewer than");
    expect(html).not.toMatch(/NaN|undefined/);
    expect(stderr).toMatch(/API outage .* 0 misroutes/);
  },
);
