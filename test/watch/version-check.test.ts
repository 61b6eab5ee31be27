import { expect, test } from "vitest";
import type { ResourceVersion } from "../../src/routes/resource-version.ts";
import { ApiFault } from "../../src/watch/fault.ts";
import { checkVersions } from "../../src/watch/version-check.ts";

// What the informer makes of the API server's present version, with time that passes by itself.

const rv = (version: number) => String(version) as ResourceVersion;

/** Asks until the answers are used up, then is ended. An answer may first do something: what happens while it is under way. */
async function checking(
  answers: (number | ApiFault | (() => number))[],
  { watermark = (): number => 10, firstAfterMs = 0 } = {},
) {
  const waits: number[] = [];
  const results: string[] = [];
  const reloads: boolean[] = [];
  const over = new AbortController();
  const fault = await checkVersions({
    async ask(reload) {
      reloads.push(reload);
      const answer = answers.shift();
      if (answers.length === 0) setImmediate(() => over.abort());
      if (answer instanceof ApiFault) throw answer;
      return rv(typeof answer === "function" ? answer() : (answer ?? 0));
    },
    watermark: () => rv(watermark()),
    clock: {
      nowMs: () => 0,
      monotonicMs: () => 0,
      setTimeout(callback, delayMs) {
        waits.push(delayMs);
        const timer = setTimeout(callback, 5);
        return { clear: () => clearTimeout(timer) };
      },
    },
    firstAfterMs,
    intervalMs: 60_000,
    retryMs: 1_000,
    checked: (result) => results.push(result),
    signal: over.signal,
  });
  return { fault, waits, results, reloads };
}

test("a version at or above the watermark passes, and is asked for again after the interval", async () => {
  const { fault, waits, results } = await checking([10, 11, 12]);
  expect(fault).toBeUndefined();
  expect(results).toEqual(["passed", "passed", "passed"]);
  expect(waits).toEqual([60_000, 60_000, 60_000]);
});

test("a version below the watermark is a server that went back in time", async () => {
  const { fault, results } = await checking([12, 9, 12]);
  expect(fault).toMatchObject({
    code: "behind",
    message: expect.stringContaining("the API server is at version 9, below the watermark 10"),
  });
  expect(results).toEqual(["passed", "behind"]);
});

test("what the watch delivers while the question is under way does not count against the answer", async () => {
  let watermark = 10;
  const overtaken = () => {
    watermark = 50;
    return 11;
  };
  const { fault, results } = await checking([overtaken, 50], { watermark: () => watermark });
  expect(fault).toBeUndefined();
  expect(results).toEqual(["passed", "passed"]);
});

test("a question that fails is asked again after a second, or when the server says; after a 401 with new credentials", async () => {
  const { waits, results, reloads } = await checking([
    new ApiFault("unauthorized", "no"),
    new ApiFault("throttled", "busy", { retryAfterMs: 7_000 }),
    new ApiFault("throttled", "busy", { retryAfterMs: 10 }),
    12,
  ]);
  expect(results).toEqual(["failed", "failed", "failed", "passed"]);
  expect(waits).toEqual([1_000, 7_000, 1_000, 60_000]);
  expect(reloads).toEqual([false, true, false, false]);
});

test("after a list it is first asked when the interval is over", async () => {
  expect((await checking([12], { firstAfterMs: 60_000 })).waits[0]).toBe(60_000);
});
