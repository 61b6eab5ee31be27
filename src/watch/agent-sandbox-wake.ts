import type { Milliseconds } from "../system/clock.ts";
import { type JsonObject, objectOrEmpty } from "./json-fields.ts";
import { parseTime } from "./object-fields.ts";
import { readMetadata } from "./object-metadata.ts";
import { preconditioned, type WakePlan } from "./wake-plan.ts";

/** That CRD has no word for it. */
const WAKE = "lychgate.dev/wake-on-traffic";

/** Whether traffic may wake a Sandbox of kubernetes-sigs: its owner says so by annotation. */
export function mayWakeAgentSandbox(annotations: JsonObject): boolean {
  return annotations[WAKE] === "true";
}

/** Whether its spec tells it to sleep. v1alpha1 says it by `replicas: 0`. */
export function isAgentSandboxAsleep(spec: JsonObject): boolean {
  return spec["operatingMode"] === "Suspended" || spec["replicas"] === 0;
}

/** How such a Sandbox is woken (docs/wake.md#agent-sandbox): `operatingMode` becomes `Running`, `replicas` 1, whichever told it to sleep. */
export function planAgentSandboxWake(
  object: unknown,
  apiVersion: string,
  uid: string,
  nowMs: Milliseconds,
): WakePlan {
  const read = readMetadata(object, "Sandbox", apiVersion);
  if (read.kind === "invalid") return { kind: "replaced" };
  const { metadata } = read;
  if (metadata.uid !== uid || metadata.isDeleting) return { kind: "replaced" };
  const spec = objectOrEmpty(read.object["spec"]);
  const isOver = (parseTime(spec["shutdownTime"]) ?? Infinity) <= nowMs;
  if (isOver || !mayWakeAgentSandbox(objectOrEmpty(metadata.fields["annotations"])))
    return { kind: "not_allowed" };
  if (!isAgentSandboxAsleep(spec)) return { kind: "awake" };
  const changes = {
    ...(spec["operatingMode"] === "Suspended" && { operatingMode: "Running" }),
    ...(spec["replicas"] === 0 && { replicas: 1 }),
  };
  return { kind: "patch", body: preconditioned(uid, metadata.resourceVersion, changes) };
}
