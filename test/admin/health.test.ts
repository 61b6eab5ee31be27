import { expect, test } from "vitest";
import { assess, type HealthInput } from "../../src/admin/health.ts";

const counts = {
  routes: 3,
  servable: 3,
  hints: 0,
  tombstones: 0,
  idConflicts: 0,
  ipConflicts: 0,
  states: {},
};
const scope = {
  scope: "",
  state: "watching",
  synced: true,
  live: true,
  connected: true,
  relists: 0,
  restarts: 0,
};
const well: HealthInput = {
  nowMs: 100_000,
  checks: [{ name: "synced", ok: true, why: "" }],
  counts,
  snapshotAgeSeconds: undefined,
  watch: { server: "http://api", scopes: [scope] },
  workers: { wanted: 0, ready: 0 },
  barred: false,
  evictedTombstones: 0,
  contradicted: 0,
  requests: 1_000,
  failures: 0,
  bugs: 0,
};

test("all is well", () => {
  expect(assess(well)).toMatchObject({ level: "ok", headline: "Ready: all is well", findings: [] });
  expect(assess({ ...well, watch: undefined }).level).toBe("ok");
});

test("a check that fails is down, and says why first", () => {
  const checks = [{ name: "draining", ok: false, why: "the router is shutting down" }];
  const health = assess({ ...well, checks, bugs: 1 });
  expect(health).toMatchObject({ level: "down", headline: "Not ready: the router is shutting down" });
  expect(health.findings).toHaveLength(2);
});

const away = { ...scope, live: false, connected: false, lastHeardAtMs: 58_000, fault: "connection refused" };

test.each<[string, Partial<HealthInput>, string]>([
  ["the API is away", { watch: { server: "", scopes: [away] } }, "the API server was last heard 42 s ago"],
  [
    "of one namespace",
    { watch: { server: "", scopes: [{ ...away, scope: "a" }] } },
    "42 s ago (namespace a)",
  ],
  ["workers are missing", { workers: { wanted: 4, ready: 3 } }, "3 of 4 workers serve"],
  ["a restored cluster", { barred: true }, "the cluster was restored from a backup"],
  [
    "IDs collide",
    { counts: { ...counts, idConflicts: 1 } },
    "1 routing ID is claimed by several living sandboxes",
  ],
  [
    "IPs collide",
    { counts: { ...counts, ipConflicts: 2 } },
    "2 pod IPs are held by several running sandboxes",
  ],
  ["pods fail", { failures: 60 }, "6 % of the last minute's requests failed on the way to their pod"],
  ["a peer lies", { contradicted: 1 }, "the API server contradicted 1 push in the last minute"],
  ["tombstones are evicted", { evictedTombstones: 3 }, "3 deletions were forgotten early"],
  ["a bug", { bugs: 1 }, "something happened that never should"],
])("%s: it serves, and somebody should look", (_, change, text) => {
  const health = assess({ ...well, ...change });
  expect(health.level).toBe("degraded");
  expect(health.findings).toHaveLength(1);
  expect(health.findings[0]?.text).toContain(text);
  expect(health.headline).toContain(text);
  expect(health.findings[0]?.advice).toMatch(/\.$|connection refused$/);
});

test("a few failures are no news, nor is a watch that is opened anew", () => {
  expect(assess({ ...well, failures: 4, requests: 10 }).level).toBe("ok");
  expect(assess({ ...well, failures: 20, requests: 2_000 }).level).toBe("ok");
  const reopening = { ...scope, connected: false };
  expect(assess({ ...well, watch: { server: "", scopes: [reopening] } }).level).toBe("ok");
});
