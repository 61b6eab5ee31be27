import fc from "fast-check";
import { expect, test } from "vitest";
import type { Route } from "../../src/routes/route.ts";
import { projectSandbox } from "../../src/watch/sandbox-projection.ts";

interface Parts {
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly annotations?: unknown;
  readonly labels?: unknown;
  readonly spec?: unknown;
  readonly status?: Readonly<Record<string, unknown>>;
  readonly ready?: string | undefined;
}

const POOLED = { apiVersion: "agents.kruise.io/v1alpha1", kind: "SandboxSet", controller: true };

/** A claimed, running sandbox, but for what `parts` says. */
function sandbox(parts: Parts = {}): object {
  return {
    apiVersion: "agents.kruise.io/v1alpha1",
    kind: "Sandbox",
    metadata: {
      namespace: "ns",
      name: "sandbox",
      uid: "uid-1",
      resourceVersion: "42",
      labels: parts.labels ?? {},
      annotations: parts.annotations ?? {},
      ...parts.metadata,
    },
    spec: parts.spec ?? {},
    status: {
      phase: "Running",
      conditions:
        "ready" in parts && parts.ready === undefined
          ? []
          : [{ type: "Ready", status: parts.ready ?? "True" }],
      podInfo: { podIP: "10.0.0.1", podUID: "pod-1" },
      ...parts.status,
    },
  };
}

function observe(parts?: Parts) {
  const projection = projectSandbox(sandbox(parts));
  if (projection.kind === "invalid") throw new Error(projection.message);
  return projection.observation;
}

function routeOf(parts?: Parts): Route {
  const { route } = observe(parts);
  if (route === undefined) throw new Error("the observation has no route");
  return route;
}

test("a whole sandbox", () => {
  const parts: Parts = {
    labels: { "agents.kruise.io/sandbox-id": "0abcdefghijk2" },
    annotations: { "agents.kruise.io/owner": "user-42", "agents.kruise.io/runtime-access-token": "secret" },
    spec: { shutdownTime: "2026-11-20T12:00:00Z" },
  };
  expect(observe(parts)).toEqual({
    namespace: "ns",
    name: "sandbox",
    uid: "uid-1",
    resourceVersion: "42",
    route: {
      namespace: "ns",
      name: "sandbox",
      id: "0abcdefghijk2",
      uid: "uid-1",
      owner: "user-42",
      ip: "10.0.0.1",
      state: "running",
      resourceVersion: "42",
      accessToken: "secret",
      requireTrafficAuth: false,
      shutdownAtMs: Date.UTC(2026, 10, 20, 12),
      podUid: "pod-1",
    },
  });
});

test.each<readonly [string, Parts, Partial<Route>]>([
  ["no label: the legacy ID", {}, { id: "ns--sandbox" }],
  ["a label: that ID", { labels: { "agents.kruise.io/sandbox-id": "short-id" } }, { id: "short-id" }],
  // Ours: a label may not take another object's legacy ID (docs/route-table.md#rule-9).
  [
    "a label with --: the legacy ID",
    { labels: { "agents.kruise.io/sandbox-id": "other--victim" } },
    { id: "ns--sandbox" },
  ],
  [
    "both tokens: the runtime's",
    {
      annotations: {
        "agents.kruise.io/runtime-access-token": "runtime",
        "e2b.agents.kruise.io/envd-access-token": "envd",
      },
    },
    { accessToken: "runtime" },
  ],
  [
    "only envd's token: that",
    { annotations: { "e2b.agents.kruise.io/envd-access-token": "envd" } },
    { accessToken: "envd" },
  ],
  ["no token", {}, { accessToken: "" }],
  [
    "jwt annotation true",
    { annotations: { "security.agents.kruise.io/enable-jwt-auth": "true" } },
    { requireTrafficAuth: true },
  ],
  [
    "jwt annotation True",
    { annotations: { "security.agents.kruise.io/enable-jwt-auth": "True" } },
    { requireTrafficAuth: false },
  ],
  ["owner", { annotations: { "agents.kruise.io/owner": "me" } }, { owner: "me" }],
  ["empty pod IP", { status: { podInfo: { podIP: "" } } }, { state: "creating", ip: "" }],
  ["spec.paused keeps the IP", { spec: { paused: true } }, { state: "paused", ip: "10.0.0.1" }],
  ["phase Failed keeps the IP", { status: { phase: "Failed" } }, { state: "dead", ip: "10.0.0.1" }],
  [
    "IPv6",
    { status: { podInfo: { podIP: "2001:db8::1" } } },
    { ip: "2001:db8::1", state: "running", podUid: undefined },
  ],
  // Ours: what is no IP address is never dialled.
  [
    "a pod IP that is a name",
    { status: { podInfo: { podIP: "metadata.internal" } } },
    { ip: "", state: "creating" },
  ],
  ["a pod IP with a port", { status: { podInfo: { podIP: "10.0.0.1:80" } } }, { ip: "", state: "creating" }],
])("fields: %s", (_, parts, expected) => {
  expect(routeOf(parts)).toMatchObject(expected);
});

test.each<readonly [string, Parts, string]>([
  ["no IP wins over phase Failed", { status: { phase: "Failed", podInfo: {} } }, "creating"],
  ["3: Pending", { status: { phase: "Pending" } }, "creating"],
  [
    "3 before 7: Pending in a pool",
    { status: { phase: "Pending" }, metadata: { ownerReferences: [POOLED] } },
    "creating",
  ],
  ["4: Succeeded", { status: { phase: "Succeeded" } }, "dead"],
  ["5: Failed", { status: { phase: "Failed" } }, "dead"],
  ["6: Terminating", { status: { phase: "Terminating" } }, "dead"],
  [
    "6 before 7: Terminating in a pool",
    { status: { phase: "Terminating" }, metadata: { ownerReferences: [POOLED] } },
    "dead",
  ],
  ["7: of a pool and ready", { metadata: { ownerReferences: [POOLED] } }, "available"],
  ["7: of a pool and not ready", { metadata: { ownerReferences: [POOLED] }, ready: "False" }, "creating"],
  [
    "7 before 8: of a pool and paused",
    { metadata: { ownerReferences: [POOLED] }, spec: { paused: true } },
    "available",
  ],
  [
    "7 before 9: of a pool, phase Paused",
    { metadata: { ownerReferences: [POOLED] }, status: { phase: "Paused" } },
    "available",
  ],
  [
    "not 7: an owner that is no controller",
    { metadata: { ownerReferences: [{ ...POOLED, controller: false }] } },
    "running",
  ],
  [
    "not 7: another controller",
    { metadata: { ownerReferences: [{ ...POOLED, kind: "SandboxClaim" }] } },
    "running",
  ],
  [
    "not 7: another version",
    { metadata: { ownerReferences: [{ ...POOLED, apiVersion: "agents.kruise.io/v1" }] } },
    "running",
  ],
  ["8: Running and paused", { spec: { paused: true } }, "paused"],
  ["8: paused before not ready", { spec: { paused: true }, ready: "False" }, "paused"],
  ["8: Running and ready", {}, "running"],
  ["8: Running and not ready", { ready: "False" }, "dead"],
  ["8: Running, readiness Unknown", { ready: "Unknown" }, "dead"],
  ["8: Running without a Ready condition", { ready: undefined }, "dead"],
  ["8: paused must be a boolean", { spec: { paused: "true" } }, "running"],
  ["9: Paused", { status: { phase: "Paused" } }, "paused"],
  ["9: Resuming", { status: { phase: "Resuming" } }, "paused"],
  ["9: Upgrading", { status: { phase: "Upgrading" } }, "paused"],
  ["9: Recycling", { status: { phase: "Recycling" } }, "paused"],
  ["9: no phase", { status: { phase: "" } }, "paused"],
  ["9: a phase of the future", { status: { phase: "Hibernating" } }, "paused"],
])("state, rule of docs/openkruise.md#states: %s", (_, parts, state) => {
  expect(routeOf(parts).state).toBe(state);
});

test("1: a deletionTimestamp ends the sandbox, whatever else it says, even without an IP", () => {
  const metadata = { deletionTimestamp: "2026-11-20T12:00:00Z" };
  expect(observe({ metadata }).route).toBeUndefined();
  expect(observe({ metadata, status: { podInfo: {} } }).route).toBeUndefined();
  expect(observe({ metadata: { deletionTimestamp: null } }).route).toBeDefined();
});

// Ours: OpenKruise projects `dead` once and only at an event (rule 2), and not at all without an IP. Here the table
// ends the sandbox at that time, by its own clock (docs/route-table.md#rule-8).
test.each<readonly [string, Parts, number | undefined]>([
  ["in the future", { spec: { shutdownTime: "2199-01-01T00:00:00Z" } }, Date.UTC(2199, 0, 1)],
  [
    "in the past: still told, not judged",
    { spec: { shutdownTime: "2001-01-01T00:00:00Z" } },
    Date.UTC(2001, 0, 1),
  ],
  [
    "with an offset and a fraction",
    { spec: { shutdownTime: "2026-01-01T02:00:00.5+02:00" } },
    Date.UTC(2026, 0, 1) + 500,
  ],
  [
    "without an IP",
    { spec: { shutdownTime: "2001-01-01T00:00:00Z" }, status: { podInfo: {} } },
    Date.UTC(2001, 0, 1),
  ],
  ["absent", {}, undefined],
  ["null", { spec: { shutdownTime: null } }, undefined],
  ["not RFC 3339", { spec: { shutdownTime: "2026-01-01" } }, undefined],
  ["no such date", { spec: { shutdownTime: "2026-13-01T00:00:00Z" } }, undefined],
  ["a number", { spec: { shutdownTime: 1_700_000_000 } }, undefined],
])("2: shutdownTime %s", (_, parts, expected) => {
  const route = routeOf(parts);
  expect(route.shutdownAtMs).toBe(expected);
  expect(["running", "creating"]).toContain(route.state);
});

// OpenKruise's messages are "sandbox is nil" and "route namespace and name must not be empty"; ours name the field.
test.each<readonly [string, unknown, string, RegExp]>([
  ["null", null, "not_an_object", /not a JSON object/],
  ["an array", [], "not_an_object", /not a JSON object/],
  [
    "empty metadata",
    sandbox({ metadata: { namespace: "", name: "" } }),
    "no_key",
    /metadata.namespace and metadata.name/,
  ],
  ["no metadata", {}, "no_key", /metadata.namespace and metadata.name/],
  ["a name with a slash", sandbox({ metadata: { name: "a/b" } }), "no_key", /slash/],
  ["no UID", sandbox({ metadata: { uid: undefined } }), "no_uid", /metadata.uid of ns\/sandbox/],
  ["version 0", sandbox({ metadata: { resourceVersion: "0" } }), "bad_version", /metadata.resourceVersion/],
  ["version 01", sandbox({ metadata: { resourceVersion: "01" } }), "bad_version", /metadata.resourceVersion/],
  ["version rv", sandbox({ metadata: { resourceVersion: "rv" } }), "bad_version", /metadata.resourceVersion/],
  [
    "a numeric version",
    sandbox({ metadata: { resourceVersion: 42 } }),
    "bad_version",
    /metadata.resourceVersion/,
  ],
  [
    "terminating with a bad version",
    sandbox({ metadata: { deletionTimestamp: "2026-11-20T12:00:00Z", resourceVersion: "not-a-number" } }),
    "bad_version",
    /metadata.resourceVersion/,
  ],
  ["a Pod", { ...sandbox(), kind: "Pod" }, "wrong_kind", /kind and apiVersion/],
  [
    "another version of Sandbox",
    { ...sandbox(), apiVersion: "agents.x-k8s.io/v1alpha1" },
    "wrong_kind",
    /kind and apiVersion/,
  ],
])("invalid: %s", (_, object, reason, message) => {
  expect(projectSandbox(object)).toMatchObject({
    kind: "invalid",
    reason,
    message: expect.stringMatching(message),
  });
});

test("a version of any length is kept digit by digit, and items of a list need no kind", () => {
  const {
    kind: _,
    apiVersion: __,
    ...item
  } = sandbox({ metadata: { resourceVersion: "18446744073709551616" } }) as {
    kind: string;
    apiVersion: string;
  };
  expect(projectSandbox(item)).toMatchObject({ observation: { resourceVersion: "18446744073709551616" } });
});

test("whatever JSON it is given, it answers and never throws; a message never shows a token", () => {
  const token = "s3cr3t-token";
  const anything = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom("ns", "", "10.0.0.1", "Running"));
  const field = (value: fc.Arbitrary<unknown>) => fc.option(value, { freq: 4 });
  const object = fc.record(
    {
      apiVersion: field(fc.constant("agents.kruise.io/v1alpha1")),
      kind: field(fc.constant("Sandbox")),
      metadata: fc.oneof(
        anything,
        fc.record(
          {
            namespace: anything,
            name: anything,
            uid: anything,
            resourceVersion: fc.oneof(anything, fc.constant("7")),
            deletionTimestamp: anything,
            labels: fc.oneof(anything, fc.dictionary(fc.constant("agents.kruise.io/sandbox-id"), anything)),
            annotations: fc.dictionary(
              fc.constant("agents.kruise.io/runtime-access-token"),
              fc.constant(token),
            ),
            ownerReferences: fc.oneof(anything, fc.array(fc.oneof(anything, fc.constant(POOLED)))),
          },
          { requiredKeys: [] },
        ),
      ),
      spec: fc.oneof(anything, fc.record({ paused: anything, shutdownTime: anything })),
      status: fc.oneof(
        anything,
        fc.record({
          phase: anything,
          podInfo: fc.oneof(anything, fc.record({ podIP: anything, podUID: anything })),
          conditions: anything,
        }),
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(object, fc.jsonValue()), (value) => {
      const projection = projectSandbox(value);
      if (projection.kind === "invalid") expect(projection.message).not.toContain(token);
      if (projection.kind === "observation" && projection.observation.route !== undefined) {
        const { route } = projection.observation;
        expect(["running", "paused", "creating", "available", "dead"]).toContain(route.state);
        expect(route.ip !== "" || route.state === "creating").toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});
