import type { Milliseconds } from "../system/clock.ts";
import { arrayOrEmpty, type JsonObject, objectOrEmpty } from "./json-fields.ts";

/** The condition of this type in `status.conditions`; an empty object when there is none (metav1.Condition). */
export function conditionOf(status: JsonObject, type: string): JsonObject {
  return objectOrEmpty(arrayOrEmpty(status["conditions"]).find((c) => objectOrEmpty(c)["type"] === type));
}

/** The ownerReference of the object's controller; an empty object when it has none. */
export function controllerOf(metadata: JsonObject): JsonObject {
  const references = arrayOrEmpty(metadata["ownerReferences"]);
  return objectOrEmpty(references.find((r) => objectOrEmpty(r)["controller"] === true));
}

/** RFC 3339 as Kubernetes writes it (metav1.Time); `Date.parse` alone would take much more. */
const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

/** A metav1.Time in milliseconds since the epoch; `undefined` when it is none. */
export function parseTime(value: unknown): Milliseconds | undefined {
  if (typeof value !== "string" || !RFC_3339.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}

/** When the condition `Ready` became true, in whole seconds since the epoch; `undefined` when it is not, or says no time. */
export function readySince(status: JsonObject): number | undefined {
  const ready = conditionOf(status, "Ready");
  const sinceMs = ready["status"] === "True" ? parseTime(ready["lastTransitionTime"]) : undefined;
  return sinceMs === undefined ? undefined : Math.floor(sinceMs / 1_000);
}
