import { isIP } from "node:net";
import { type Route, type RouteState, routingId } from "../routes/route.ts";
import { type JsonObject, objectOrEmpty, stringOrEmpty } from "./json-fields.ts";
import { readAccess } from "./access-annotations.ts";
import { conditionOf, controllerOf, parseTime, readySince } from "./object-fields.ts";
import { readMetadata } from "./object-metadata.ts";
import { mayWakeSandbox, planSandboxWake } from "./sandbox-wake.ts";
import { wakeStateOf } from "./wake-plan.ts";
import type { Projection, WatchedResource } from "./watched-resource.ts";

const GROUP = "agents.kruise.io";
const API_VERSION = `${GROUP}/v1alpha1`;

const ID_LABEL = "agents.kruise.io/sandbox-id";
const OWNER = "agents.kruise.io/owner";
const RUNTIME_TOKEN = "agents.kruise.io/runtime-access-token";
const ENVD_TOKEN = "e2b.agents.kruise.io/envd-access-token";
const JWT_AUTH = "security.agents.kruise.io/enable-jwt-auth";

/** `Sandbox` of OpenKruise Agents, `agents.kruise.io/v1alpha1`. */
export const openKruiseSandbox: WatchedResource = {
  group: GROUP,
  version: "v1alpha1",
  plural: "sandboxes",
  project: projectSandbox,
  planWake: planSandboxWake,
};

/**
 * What the table needs to know of one version of an OpenKruise `Sandbox` (docs/openkruise.md#objects and
 * docs/openkruise.md#states). Pure: it reads no clock. Never throws; a field of the wrong type counts as absent. The object
 * is not kept.
 *
 * - A `deletionTimestamp` comes before everything: the observation has no route (docs/route-table.md#rule-8).
 * - No pod IP (absent, or not an IP address) is `creating`, whatever the phase says.
 * - `spec.shutdownTime` becomes `shutdownAtMs` whether or not it has passed and with or without an IP; the
 *   table compares it with its own clock, so that the sandbox is dead *at* that time and not at its next event.
 *   One that is no RFC 3339 time is ignored: the CRD's schema refuses such a value, and ending a sandbox that
 *   its owner still uses would be the worse guess.
 * - `invalid` is what has no key, no UID or no comparable version, or is another kind of object.
 */
export function projectSandbox(object: unknown): Projection {
  const read = readMetadata(object, "Sandbox", API_VERSION);
  if (read.kind === "invalid") return read;
  const { namespace, name, uid, resourceVersion, isDeleting, fields: metadata } = read.metadata;
  if (isDeleting) {
    return { kind: "observation", observation: { namespace, name, uid, resourceVersion, route: undefined } };
  }

  const labels = objectOrEmpty(metadata["labels"]);
  const annotations = objectOrEmpty(metadata["annotations"]);
  const spec = objectOrEmpty(read.object["spec"]);
  const status = objectOrEmpty(read.object["status"]);
  const podInfo = objectOrEmpty(status["podInfo"]);
  const podIp = stringOrEmpty(podInfo["podIP"]);
  const ip = isIP(podIp) === 0 ? "" : podIp;
  const state = ip === "" ? "creating" : stateOf(metadata, spec, status);
  const route: Route = {
    namespace,
    name,
    id: routingId(namespace, name, stringOrEmpty(labels[ID_LABEL])),
    uid,
    owner: stringOrEmpty(annotations[OWNER]),
    ip,
    state,
    resourceVersion,
    accessToken: stringOrEmpty(annotations[RUNTIME_TOKEN]) || stringOrEmpty(annotations[ENVD_TOKEN]),
    requireTrafficAuth: annotations[JWT_AUTH] === "true",
    shutdownAtMs: parseTime(spec["shutdownTime"]),
    podUid: stringOrEmpty(podInfo["podUID"]) || undefined,
    readyAtS: readySince(status),
    wake:
      state === "running" || state === "available" || hasEnded(status["phase"])
        ? undefined
        : wakeStateOf(mayWakeSandbox(annotations, spec), spec["paused"] === true),
    ...readAccess(annotations),
  };
  return { kind: "observation", observation: { namespace, name, uid, resourceVersion, route } };
}

/** Rules 3 to 9 of docs/openkruise.md#states, in order. Rules 1 and 2 are in {@link projectSandbox} and in the table. */
function stateOf(metadata: JsonObject, spec: JsonObject, status: JsonObject): RouteState {
  const phase = status["phase"];
  if (phase === "Pending") return "creating";
  if (hasEnded(phase)) return "dead";
  const ready = conditionOf(status, "Ready")["status"] === "True";
  // A sandbox of a warm pool that nobody has claimed yet.
  if (isControlledBySandboxSet(metadata)) return ready ? "available" : "creating";
  if (phase !== "Running") return "paused";
  if (spec["paused"] === true) return "paused";
  return ready ? "running" : "dead";
}

function hasEnded(phase: unknown): boolean {
  return phase === "Succeeded" || phase === "Failed" || phase === "Terminating";
}

function isControlledBySandboxSet(metadata: JsonObject): boolean {
  const controller = controllerOf(metadata);
  return controller["kind"] === "SandboxSet" && controller["apiVersion"] === API_VERSION;
}
