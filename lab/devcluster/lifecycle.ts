import type { Milliseconds } from "../../src/system/clock.ts";
import {
  conditionOf,
  type Condition,
  type DeepReadonly,
  isReady,
  type Sandbox,
  shutdownAtMs,
  type StoredSandbox,
} from "./sandbox.ts";
import { kubernetesTime } from "./sandbox.ts";

/**
 * What the controller does next for a sandbox, as the OpenKruise controller does:
 *
 * | the sandbox | step |
 * |---|---|
 * | has a deletionTimestamp | `announce-end`: phase Terminating; then `end`: the pod dies, the finalizer goes |
 * | its shutdownTime has passed | `expire`: it is deleted |
 * | has no phase | `admit`: phase Pending |
 * | phase Pending or Resuming | `start`: a pod, then Running and Ready |
 * | phase Running, spec.paused | `announce-pause`: phase Paused, not Ready, the pod still lives |
 * | phase Paused, the pod lives | `pause`: the pod dies, condition Paused is True |
 * | phase Paused, not spec.paused | `announce-resume`: phase Resuming |
 * | anything else | `rest`, until its shutdownTime if it has one |
 *
 * A paused sandbox keeps the old pod's address in its status, although the address may belong to another by then.
 */
export type Step =
  | { readonly kind: "announce-end" | "end" | "expire" | "admit" | "start" }
  | { readonly kind: "announce-pause" | "pause" | "announce-resume" }
  | { readonly kind: "rest"; readonly untilMs?: Milliseconds };

/** Decides the next step. Pure. */
export function nextStep(sandbox: StoredSandbox, hasPod: boolean, nowMs: Milliseconds): Step {
  const phase = sandbox.status?.phase ?? "";
  if (sandbox.metadata.deletionTimestamp !== undefined) {
    return { kind: phase === "Terminating" ? "end" : "announce-end" };
  }
  const untilMs = shutdownAtMs(sandbox);
  if (untilMs !== undefined && untilMs < nowMs) return { kind: "expire" };
  const wantsPause = sandbox.spec.paused === true;
  const isPaused = conditionOf(sandbox, "Paused")?.status === "True";
  switch (phase) {
    case "":
      return { kind: "admit" };
    case "Pending":
    case "Resuming":
      return { kind: "start" };
    case "Running":
      if (wantsPause) return { kind: "announce-pause" };
      // Its pod is gone with a process that ran before: it gets another.
      if (!hasPod || !isReady(sandbox)) return { kind: "start" };
      break;
    case "Paused":
      if (!isPaused) return { kind: "pause" };
      if (!wantsPause) return { kind: "announce-resume" };
      break;
  }
  return untilMs === undefined ? { kind: "rest" } : { kind: "rest", untilMs };
}

/** Sets a condition in `status`; lastTransitionTime moves only when the status does. */
export function setCondition(
  draft: Sandbox,
  condition: { readonly type: string; readonly status: "True" | "False"; readonly reason: string },
  nowMs: Milliseconds,
): void {
  const conditions: readonly DeepReadonly<Condition>[] = draft.status?.conditions ?? [];
  const before = conditions.find(({ type }) => type === condition.type);
  const lastTransitionTime =
    before?.status === condition.status ? before.lastTransitionTime : kubernetesTime(nowMs);
  const after = {
    ...condition,
    message: "",
    ...(lastTransitionTime !== undefined && { lastTransitionTime }),
  };
  const others = (draft.status?.conditions ?? []).filter(({ type }) => type !== condition.type);
  draft.status = { ...draft.status, conditions: [...others, after] };
}
