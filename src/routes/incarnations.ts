import { isIP } from "node:net";
import type { EndReason, Incarnation } from "./lookup.ts";
import type { ObjectKey, Route, RouteState } from "./route.ts";

/** What decides whether an incarnation goes on: the route in effect, and whether its pod IP is its own. */
export interface Life {
  readonly key: ObjectKey;
  readonly inEffect: Route | undefined;
  readonly state: RouteState;
  readonly ipReassigned: boolean;
}

/** An incarnation that learns the UID of its pod when a writer that knows it speaks. */
export interface LivingIncarnation extends Incarnation {
  podUid: string | undefined;
}

/** True when requests may be sent to the pod: running, with an IP that is an IP and is its own. */
export function isServable(life: Life): boolean {
  return life.state === "running" && !life.ipReassigned && isIP(life.inEffect?.ip ?? "") !== 0;
}

/** Why `current` does not go on in `life`, or `undefined` when it does (design.md 3.3). */
export function endOf(current: LivingIncarnation, life: Life): EndReason | undefined {
  const { inEffect: route, state } = life;
  if (route === undefined || state === "dead") return "dead";
  if (route.uid !== current.uid) return "replaced";
  if (state === "paused") return "paused";
  if (route.ip !== current.ip) return "ip-moved";
  // Paused and resumed unseen, behind the same address: another pod, so another life.
  if (current.podUid !== undefined && route.podUid !== undefined && current.podUid !== route.podUid)
    return "replaced";
  if (state !== "running") return "not-running";
  return life.ipReassigned ? "ip-reassigned" : undefined;
}
