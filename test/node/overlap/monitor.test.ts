import { describe, expect, test } from "vitest";
import { NodeToolError } from "../../../src/node/node-tool-error.ts";
import type { OverlapResult } from "../../../src/node/overlap/check.ts";
import { OverlapMonitor } from "../../../src/node/overlap/monitor.ts";
import type { CidrVerdict } from "../../../src/node/overlap/verdict.ts";
import { eventually } from "../../support/eventually.ts";

const OK: CidrVerdict = {
  cidr: "10.1.0.0/16",
  verdict: "ok",
  expected: ["eth0"],
  findings: [],
  moreFindings: 0,
};
const TAKEN: CidrVerdict = {
  ...OK,
  verdict: "overlap",
  findings: [
    {
      verdict: "overlap",
      parts: ["10.1.2.0/24"],
      moreParts: 0,
      route: "10.1.2.0/24 dev ib0 proto kernel",
      interfaces: ["ib0"],
      condition: "",
      source: "tables",
      fix: { entries: [], text: "static-routes {destination: 10.1.2.0/25}" },
    },
  ],
};
const WHY = "10.1.0.0/16 (10.1.2.0/24) leaves by ib0 (10.1.2.0/24 dev ib0 proto kernel), not by eth0";

/** A monitor whose checks and timers the test ends itself. */
function monitor(strict: boolean) {
  const checks: { resolve(...cidrs: CidrVerdict[]): void; reject(error: Error): void }[] = [];
  const timers: { fire: () => void; delayMs: number; cleared: boolean }[] = [];
  const lines: string[] = [];
  const heard: unknown[] = [];
  const log = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  const made = new OverlapMonitor({
    strict,
    intervalMs: 30_000,
    cidrs: () => [],
    check: () =>
      new Promise<OverlapResult>((resolve, reject) => {
        checks.push({
          resolve: (...cidrs) =>
            resolve({ ok: cidrs.every(({ verdict }) => verdict === "ok"), defaults: [], cidrs, probes: 0 }),
          reject,
        });
      }),
    observer: { checked: (check) => heard.push(check), failed: () => heard.push("failed") },
    clock: {
      nowMs: () => 7_000,
      monotonicMs: () => 7_000,
      setTimeout(fire, delayMs) {
        const timer = { fire, delayMs, cleared: false };
        timers.push(timer);
        return { clear: () => void (timer.cleared = true) };
      },
    },
    log: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
  });
  /** Ends the check under way, and waits until the next is planned. */
  const end = async (act: (check: (typeof checks)[number]) => void) => {
    const check = checks.at(-1);
    if (check) act(check);
    const planned = timers.length;
    await eventually(() => expect(timers.length).toBe(planned + 1));
  };
  const next = () => timers.at(-1)?.fire();
  return { made, checks, timers, lines, heard, end, next };
}

describe("readiness in strict mode", () => {
  test("waits for the first check, falls with an overlap and names the CIDR, and comes back", async () => {
    const { made, end, next, heard } = monitor(true);
    made.start();
    expect(made.ready()).toBe("the first overlap check has not ended");
    await end((check) => check.resolve(OK));
    expect(made.ready()).toBe(true);
    next();
    await end((check) => check.resolve(TAKEN));
    expect(made.ready()).toBe(WHY);
    expect(heard.at(-1)).toEqual({ verdictCounts: { overlap: 1 }, strict: true, atMs: 7_000 });
    next();
    await end((check) => check.resolve(OK));
    expect(made.ready()).toBe(true);
  });

  test("what a check found stands when the next one fails; without any, the failure is the reason", async () => {
    const { made, end, next, heard } = monitor(true);
    made.start();
    await end((check) =>
      check.reject(new NodeToolError("missing_program", "ip is not installed", { fix: "install it" })),
    );
    expect(made.ready()).toBe("the overlap check failed: ip is not installed; install it");
    next();
    await end((check) => check.resolve(OK));
    next();
    await end((check) => check.reject(new Error("no")));
    expect(made.ready()).toBe(true);
    expect(heard.filter((one) => one === "failed")).toHaveLength(2);
  });

  test("names three CIDRs, and how many more", async () => {
    const { made, end } = monitor(true);
    made.start();
    await end((check) => check.resolve(TAKEN, TAKEN, TAKEN, TAKEN, TAKEN));
    expect(made.ready()).toBe(`${WHY}; ${WHY}; ${WHY}; and 2 more`);
  });
});

test("in warn mode readiness never depends on it", async () => {
  const { made, end } = monitor(false);
  made.start();
  expect(made.ready()).toBe(true);
  await end((check) => check.resolve(TAKEN));
  expect(made.ready()).toBe(true);
});

test("what changes is logged, once", async () => {
  const { made, end, next, lines } = monitor(false);
  made.start();
  await end((check) => check.resolve(TAKEN));
  next();
  await end((check) => check.resolve(TAKEN));
  next();
  await end((check) => check.resolve(OK));
  expect(lines).toEqual([
    `warn the kernel sends a CIDR elsewhere: ${WHY}`,
    "info the kernel sends 10.1.0.0/16 by the default route again",
  ]);
});

test("one check at a time, the interval between them, and none after the end", async () => {
  const { made, checks, timers, end } = monitor(false);
  made.start();
  expect(timers).toHaveLength(0);
  await end((check) => check.resolve(OK));
  expect(timers).toMatchObject([{ delayMs: 30_000 }]);
  await made.stop();
  expect(timers[0]?.cleared).toBe(true);
  expect(checks).toHaveLength(1);
});
