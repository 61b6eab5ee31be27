import { isIP } from "node:net";
import { type Provider, tableNamespace } from "../routes/provider.ts";
import { type Route, type RouteState, routingId } from "../routes/route.ts";
import { arrayOrEmpty, type JsonObject, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import { isAgentSandboxAsleep, mayWakeAgentSandbox, planAgentSandboxWake } from "./agent-sandbox-wake.ts";
import { readAccess } from "./access-annotations.ts";
import { conditionOf, controllerOf, parseTime, readySince } from "./object-fields.ts";
import { readMetadata } from "./object-metadata.ts";
import { wakeStateOf } from "./wake-plan.ts";
import type { Projection, WatchedResource } from "./watched-resource.ts";

const GROUP = "agents.x-k8s.io";

/** What the table's namespaces of these objects begin with. */
export const AGENT_SANDBOX_PROVIDER: Provider = `${GROUP}:`;

/** API versions of that project's Sandbox that can be watched, the newest first. */
export const AGENT_SANDBOX_VERSIONS = ["v1beta1", "v1alpha1"] as const;

/** One of {@link AGENT_SANDBOX_VERSIONS}. */
export type AgentSandboxVersion = (typeof AGENT_SANDBOX_VERSIONS)[number];

/** `Sandbox` of kubernetes-sigs/agent-sandbox, `agents.x-k8s.io`. */
export function agentSandbox(version: AgentSandboxVersion): WatchedResource {
  return {
    group: GROUP,
    version,
    plural: "sandboxes",
    project: (object) => projectAgentSandbox(object, version),
    planWake: (object, uid, nowMs) => planAgentSandboxWake(object, `${GROUP}/${version}`, uid, nowMs),
  };
}

/**
 * What the table needs to know of one version of such a `Sandbox` (docs/agent-sandbox.md#objects and
 * docs/agent-sandbox.md#states). Pure: it reads no clock. Never throws; a field of the wrong type counts as absent. The object
 * is not kept. The observation has the namespace that Kubernetes knows; its route has the table's.
 *
 * A `deletionTimestamp` comes before everything. `spec.shutdownTime` becomes `shutdownAtMs`, as of an OpenKruise Sandbox.
 */
export function projectAgentSandbox(object: unknown, version: AgentSandboxVersion): Projection {
  const read = readMetadata(object, "Sandbox", `${GROUP}/${version}`);
  if (read.kind === "invalid") return read;
  const { namespace, name, uid, resourceVersion, isDeleting, fields } = read.metadata;
  if (isDeleting) {
    return { kind: "observation", observation: { namespace, name, uid, resourceVersion, route: undefined } };
  }
  const annotations = objectOrEmpty(fields["annotations"]);
  const spec = objectOrEmpty(read.object["spec"]);
  const status = objectOrEmpty(read.object["status"]);
  // A dual-stack pod has an address of each family; the first is its primary one, as in a pod's status.
  const ip =
    arrayOrEmpty(status["podIPs"])
      .map(stringOrEmpty)
      .find((text) => isIP(text) !== 0) ?? "";
  const state = stateOf(fields, spec, status, ip);
  const route: Route = {
    namespace: tableNamespace(AGENT_SANDBOX_PROVIDER, namespace),
    name,
    id: routingId(namespace, name, undefined),
    uid,
    owner: "",
    ip,
    state,
    resourceVersion,
    accessToken: "",
    requireTrafficAuth: false,
    shutdownAtMs: parseTime(spec["shutdownTime"]),
    // The object does not name its pod's UID.
    podUid: undefined,
    readyAtS: readySince(status),
    wake:
      state === "paused" || state === "creating"
        ? wakeStateOf(mayWakeAgentSandbox(annotations), isAgentSandboxAsleep(spec))
        : undefined,
    ...readAccess(annotations),
  };
  return { kind: "observation", observation: { namespace, name, uid, resourceVersion, route } };
}

/** The rules of docs/agent-sandbox.md#states, in order, after `deletionTimestamp` and `shutdownTime`. */
function stateOf(metadata: JsonObject, spec: JsonObject, status: JsonObject, ip: string): RouteState {
  const ready = conditionOf(status, "Ready");
  if (conditionOf(status, "Finished")["status"] === "True" || ready["reason"] === "SandboxExpired")
    return "dead";
  if (isAgentSandboxAsleep(spec)) return "paused";
  if (ip === "" || ready["status"] !== "True") return "creating";
  return isInWarmPool(metadata) ? "available" : "running";
}

/** It waits for somebody to claim it: a claim takes the place of the pool as the sandbox's controller. */
function isInWarmPool(metadata: JsonObject): boolean {
  const { kind, apiVersion } = controllerOf(metadata);
  return kind === "SandboxWarmPool" && stringOrEmpty(apiVersion).startsWith(`extensions.${GROUP}/`);
}
