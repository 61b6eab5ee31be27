import { expect, test } from "vitest";
import { watchReadiness } from "../../src/router/watch-readiness.ts";

const ready = { staleAfterMs: 1_000, readyWhenStale: true };

test("a watch that was heard in time, or never yet, is ready", () => {
  expect(watchReadiness([{ scope: "", ageMs: 1_000 }], ready)).toBe(true);
  expect(watchReadiness([{ scope: "", ageMs: undefined }], ready)).toBe(true);
  expect(watchReadiness([], ready)).toBe(true);
});

test("of several namespaces the one that was heard last is told", () => {
  const scopes = [
    { scope: "a", ageMs: 2_000 },
    { scope: "b", ageMs: 9_000 },
    { scope: "c", ageMs: 5_000 },
  ];
  const remark = "stale: the API server was last heard 9 s ago for namespace b";
  expect(watchReadiness(scopes, ready)).toEqual({ remark });
  expect(watchReadiness(scopes, { ...ready, readyWhenStale: false })).toBe(remark);
});
