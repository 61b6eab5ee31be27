import { expect, test } from "vitest";
import { LifeOracle } from "./support/life-oracle.ts";

// The oracle of two-replicas.test.ts sees what a router must never do.

function scene() {
  const oracle = new LifeOracle();
  oracle.begins("one", "one.1");
  oracle.begins("two", "two.1");
  const judge = (podUid: string | undefined, sentMs: number, reason?: string, replica = "a") =>
    oracle.judge({
      replica,
      name: "one",
      sentMs,
      answeredMs: sentMs + 1,
      answer: { status: podUid ? 200 : 502, reason, from: podUid?.split(".")[0], podUid },
    });
  return { oracle, judge };
}

test("another sandbox's pod, or one that nobody knows, is a misroute", () => {
  const { judge } = scene();
  expect(judge("one.1", 1)).toBeUndefined();
  expect(judge("two.1", 2)).toBe("a: one was answered by two (two.1)");
  expect(judge("six.6", 3)).toBe("a: one was answered by six (six.6)");
});

test("an ended pod may answer until the replica has shown that it knows the end", () => {
  const { oracle, judge } = scene();
  oracle.ends("one.1", 100);
  expect(judge("one.1", 120)).toBeUndefined();
  // A failure of the moment shows nothing, nor does what another replica knows.
  expect(judge(undefined, 130, "upstream_refused")).toBeUndefined();
  expect(judge(undefined, 130, "sandbox_not_found", "b")).toBeUndefined();
  expect(judge("one.1", 140)).toBeUndefined();
  expect(judge(undefined, 150, "sandbox_not_found")).toBeUndefined();
  // Sent before that answer came.
  expect(judge("one.1", 150)).toBeUndefined();
  expect(judge("one.1", 152)).toMatch(/had ended 52 ms before, and the replica had known it/);
});

test("an answer of the next pod shows that the end of the last one is known", () => {
  const { oracle, judge } = scene();
  oracle.ends("one.1", 100);
  oracle.begins("one", "one.2");
  expect(judge("one.2", 110)).toBeUndefined();
  expect(judge("one.1", 112)).toMatch(/had known it/);
});

test("a replica that shows nothing has 15 seconds to learn an end", () => {
  const { oracle, judge } = scene();
  oracle.ends("one.1", 100);
  expect(judge("one.1", 15_100)).toBeUndefined();
  expect(judge("one.1", 15_101)).toBe("a: one was answered by one.1, which had ended 15001 ms before");
});
