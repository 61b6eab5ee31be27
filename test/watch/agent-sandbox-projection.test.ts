import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RouteState } from "../../src/routes/route.ts";
import {
  AGENT_SANDBOX_VERSIONS,
  type AgentSandboxVersion,
  agentSandbox,
  projectAgentSandbox,
} from "../../src/watch/agent-sandbox-projection.ts";

// docs/agent-sandbox.md#objects and #states.

interface Parts {
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly spec?: unknown;
  readonly status?: Readonly<Record<string, unknown>>;
  readonly conditions?: readonly unknown[];
}

const READY = { type: "Ready", status: "True", reason: "DependenciesReady" };
const NOT_READY = { type: "Ready", status: "False", reason: "DependenciesNotReady" };

/** A running sandbox as its controller writes it, but for what `parts` says. */
function sandbox(parts: Parts = {}, version: AgentSandboxVersion = "v1beta1"): object {
  return {
    apiVersion: `agents.x-k8s.io/${version}`,
    kind: "Sandbox",
    metadata: { namespace: "ns", name: "box", uid: "uid-1", resourceVersion: "42", ...parts.metadata },
    spec: parts.spec ?? { operatingMode: "Running", shutdownPolicy: "Retain" },
    status: {
      serviceFQDN: "box.ns.svc.cluster.local",
      service: "box",
      selector: "agents.x-k8s.io/sandbox-name-hash=1a2b3c4d",
      podIPs: ["10.0.0.1", "fd00::1"],
      nodeName: "node-1",
      conditions: parts.conditions ?? [READY],
      ...parts.status,
    },
  };
}

function observe(parts?: Parts, version: AgentSandboxVersion = "v1beta1") {
  const projection = projectAgentSandbox(sandbox(parts, version), version);
  if (projection.kind === "invalid") throw new Error(projection.message);
  return projection.observation;
}

test("a whole sandbox of each version", () => {
  for (const version of AGENT_SANDBOX_VERSIONS) {
    const spec = { shutdownTime: "2026-11-20T12:00:00Z" };
    expect(observe({ spec }, version)).toEqual({
      namespace: "ns",
      name: "box",
      uid: "uid-1",
      resourceVersion: "42",
      route: {
        namespace: "agents.x-k8s.io:ns",
        name: "box",
        id: "ns--box",
        uid: "uid-1",
        owner: "",
        ip: "10.0.0.1",
        state: "running",
        resourceVersion: "42",
        accessToken: "",
        requireTrafficAuth: false,
        shutdownAtMs: Date.parse("2026-11-20T12:00:00Z"),
        podUid: undefined,
      },
    });
    expect(agentSandbox(version)).toMatchObject({ group: "agents.x-k8s.io", version, plural: "sandboxes" });
  }
});

const WARM = {
  ownerReferences: [
    { apiVersion: "extensions.agents.x-k8s.io/v1beta1", kind: "SandboxWarmPool", controller: true },
  ],
};
const CLAIMED = {
  ownerReferences: [
    { apiVersion: "extensions.agents.x-k8s.io/v1beta1", kind: "SandboxClaim", controller: true },
  ],
};
const SUSPENDED = { operatingMode: "Suspended" };

describe("states", () => {
  const cases: readonly (readonly [what: string, parts: Parts, state: RouteState])[] = [
    ["ready, with a pod", {}, "running"],
    ["claimed out of a pool", { metadata: CLAIMED }, "running"],
    ["in a pool, ready", { metadata: WARM }, "available"],
    ["in a pool, not ready", { metadata: WARM, conditions: [NOT_READY] }, "creating"],
    ["no status yet", { status: { podIPs: undefined }, conditions: [] }, "creating"],
    ["a pod that is not ready keeps its IP", { conditions: [NOT_READY] }, "creating"],
    ["ready without an IP", { status: { podIPs: [] } }, "creating"],
    [
      "several pods, so nobody knows which is its own",
      {
        conditions: [{ type: "Ready", status: "False", reason: "MultiplePods" }],
      },
      "creating",
    ],
    ["suspended, its pod about to end", { spec: SUSPENDED }, "paused"],
    [
      "suspended, its pod gone",
      { spec: SUSPENDED, status: { podIPs: null }, conditions: [NOT_READY] },
      "paused",
    ],
    ["replicas 0, as v1alpha1 says it", { spec: { replicas: 0 } }, "paused"],
    ["replicas 1", { spec: { replicas: 1 } }, "running"],
    [
      "its pod has succeeded or failed",
      {
        conditions: [NOT_READY, { type: "Finished", status: "True", reason: "PodFailed" }],
      },
      "dead",
    ],
    [
      "expired, and kept by its policy",
      {
        conditions: [{ type: "Ready", status: "False", reason: "SandboxExpired" }],
      },
      "dead",
    ],
    [
      "expired while suspended",
      {
        spec: SUSPENDED,
        conditions: [{ type: "Ready", status: "False", reason: "SandboxExpired" }],
      },
      "dead",
    ],
  ];
  test.each(cases)("%s", (_what, parts, state) => {
    expect(observe(parts).route?.state).toBe(state);
  });

  test("an object that is being deleted has no route, whatever else it says", () => {
    const { route, uid } = observe({ metadata: { deletionTimestamp: "2026-11-20T12:00:00Z" } });
    expect({ route, uid }).toEqual({ route: undefined, uid: "uid-1" });
  });
});

describe("addresses", () => {
  test.each([
    [["10.0.0.1", "fd00::1"], "10.0.0.1"],
    [["fd00::1", "10.0.0.1"], "fd00::1"],
    [["box.ns.svc", "10.0.0.1"], "10.0.0.1"],
    [[7, null, "10.0.0.2"], "10.0.0.2"],
    [["10.0.0.1:80"], ""],
    ["10.0.0.1", ""],
    [undefined, ""],
  ])("podIPs %j", (podIPs, ip) => {
    expect(observe({ status: { podIPs } }).route?.ip).toBe(ip);
  });
});

test("a label of OpenKruise does not give it an ID: only that project's controllers write it there", () => {
  const labels = { "agents.kruise.io/sandbox-id": "stolen" };
  expect(observe({ metadata: { labels } }).route?.id).toBe("ns--box");
});

test("an object of the other version, or of OpenKruise, is another kind", () => {
  const wrong = { kind: "invalid", reason: "wrong_kind" };
  expect(projectAgentSandbox(sandbox({}, "v1alpha1"), "v1beta1")).toMatchObject(wrong);
  const kruise = { ...sandbox(), apiVersion: "agents.kruise.io/v1alpha1" };
  expect(projectAgentSandbox(kruise, "v1beta1")).toMatchObject(wrong);
});

test("a namespace with a colon can't pass for another provider's", () => {
  const object = sandbox({ metadata: { namespace: "agents.x-k8s.io:ns" } });
  expect(projectAgentSandbox(object, "v1beta1")).toMatchObject({ kind: "invalid", reason: "no_key" });
});

test("whatever JSON comes, it does not throw, and what it reads has a key, a UID and a known state", () => {
  const json = fc.jsonValue();
  const object = fc.record({
    metadata: fc.record({
      namespace: fc.constant("ns"),
      name: fc.constant("box"),
      uid: fc.constant("u"),
      resourceVersion: fc.constant("1"),
      ownerReferences: json,
      labels: json,
    }),
    spec: json,
    status: fc.oneof(json, fc.record({ podIPs: json, conditions: json })),
  });
  fc.assert(
    fc.property(fc.oneof(json, object), (value) => {
      const projection = projectAgentSandbox(value, "v1beta1");
      if (projection.kind === "invalid") return;
      const { route } = projection.observation;
      expect(["running", "paused", "creating", "available", "dead"]).toContain(route?.state);
    }),
  );
});
