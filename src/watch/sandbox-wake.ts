import type { Milliseconds } from "../system/clock.ts";
import { isJsonObject, type JsonObject, objectOrEmpty } from "./json-fields.ts";
import { parseTime } from "./object-fields.ts";
import { readMetadata } from "./object-metadata.ts";
import { parseDuration, preconditioned, timeText, type WakePlan } from "./wake-plan.ts";

const WAKE = "agents.kruise.io/wake-on-traffic";
const WAKE_TIMEOUT_SECONDS = "agents.kruise.io/wake-timeout-seconds";

/** A sandbox that is woken runs for so long at least before it is paused again: as long as waking may take. */
const MIN_PAUSE_TIMEOUT_MS: Milliseconds = 300_000;
/** "Never", for a shutdownTime: a hundred years. */
const FOREVER_MS: Milliseconds = 100 * 365 * 24 * 3_600_000;

/** What an OpenKruise Sandbox says of being woken by traffic. */
interface WakeRule {
  /** When it is to be paused again after it was woken; 0: it is not. */
  readonly pauseTimeoutMs: Milliseconds;
}

/** `spec.autoPausePolicy.resume.onIngressTraffic`, or the annotations that came before it; `undefined`: traffic does not wake it. */
function wakeRuleOf(annotations: JsonObject, spec: JsonObject): WakeRule | undefined {
  const rule = objectOrEmpty(objectOrEmpty(spec["autoPausePolicy"])["resume"])["onIngressTraffic"];
  if (isJsonObject(rule)) return { pauseTimeoutMs: Math.max(parseDuration(rule["pauseTimeout"]) ?? 0, 0) };
  if (annotations[WAKE] !== "true") return undefined;
  const seconds = annotations[WAKE_TIMEOUT_SECONDS];
  const isNumber = typeof seconds === "string" && /^\d{1,9}$/.test(seconds);
  return { pauseTimeoutMs: isNumber ? Number(seconds) * 1_000 : 0 };
}

/** Whether traffic may wake an OpenKruise Sandbox. */
export function mayWakeSandbox(annotations: JsonObject, spec: JsonObject): boolean {
  return wakeRuleOf(annotations, spec) !== undefined;
}

/**
 * How an OpenKruise Sandbox is woken (docs/wake.md#openkruise): `spec.paused` becomes false. One that has a `pauseTime` would be paused
 * again at once: it gets another, or none, and its `shutdownTime` moves so far away that it does not end meanwhile. Those of
 * others are not touched.
 */
export function planSandboxWake(object: unknown, uid: string, nowMs: Milliseconds): WakePlan {
  const read = readMetadata(object, "Sandbox", "agents.kruise.io/v1alpha1");
  if (read.kind === "invalid") return { kind: "replaced" };
  const { metadata } = read;
  if (metadata.uid !== uid || metadata.isDeleting) return { kind: "replaced" };
  const spec = objectOrEmpty(read.object["spec"]);
  const rule = wakeRuleOf(objectOrEmpty(metadata.fields["annotations"]), spec);
  if (rule === undefined || (parseTime(spec["shutdownTime"]) ?? Infinity) <= nowMs)
    return { kind: "not_allowed" };
  if (spec["paused"] !== true) return { kind: "awake" };
  const { pauseTimeoutMs } = rule;
  const times =
    parseTime(spec["pauseTime"]) === undefined
      ? {}
      : {
          shutdownTime: timeText(nowMs + FOREVER_MS),
          pauseTime:
            pauseTimeoutMs > 0 ? timeText(nowMs + Math.max(pauseTimeoutMs, MIN_PAUSE_TIMEOUT_MS)) : null,
        };
  return { kind: "patch", body: preconditioned(uid, metadata.resourceVersion, { paused: false, ...times }) };
}
