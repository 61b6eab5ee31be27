import { isIP } from "node:net";
import type { EndReason, Incarnation } from "./lookup.ts";
import { DOUBTED, objectKey, type ObjectKey, type Route, type RouteState } from "./route.ts";

/**
 * What stands of a sandbox's life: `lives` is an incarnation that nobody has asked for yet, so that all there is to say
 * of it stands in the route in effect. `ip_reassigned` is running without one, as its pod IP is not surely its own.
 */
export type Life = "lives" | LivingIncarnation | "ip_reassigned" | Resting | undefined;

/** An incarnation that learns the UID of its pod when a writer that knows it speaks. */
export class LivingIncarnation implements Incarnation {
  readonly number: number;
  readonly #namespace: string;
  readonly #name: string;
  readonly uid: string;
  readonly ip: string;
  podUid: string | undefined;
  readonly readyAtS: number | undefined;

  constructor(
    number: number,
    namespace: string,
    name: string,
    { uid, ip, podUid, readyAtS }: PodIdentity & Pick<Route, "readyAtS">,
  ) {
    this.number = number;
    this.#namespace = namespace;
    this.#name = name;
    this.uid = uid;
    this.ip = ip;
    this.podUid = podUid;
    this.readyAtS = readyAtS;
  }

  get key(): ObjectKey {
    return objectKey(this.#namespace, this.#name);
  }
}

/** The incarnation that ended when its sandbox was paused, while it is. */
export class Resting {
  readonly incarnation: LivingIncarnation;

  constructor(incarnation: LivingIncarnation) {
    this.incarnation = incarnation;
  }
}

/** Numbers incarnations: no number comes twice. */
export class IncarnationNumbers {
  #last = 0;

  next(): number {
    return ++this.#last;
  }
}

/** What tells one life behind an address from another. */
export type PodIdentity = Pick<Route, "uid" | "ip" | "podUid">;

/** True when requests may be sent to the pod if the IP is its own: running, with an IP that is an IP. */
export function isServable(route: Route | undefined, state: RouteState): boolean {
  return state === "running" && isIP(route?.ip ?? "") !== 0;
}

/**
 * Why the incarnation `current` does not go on now that `route` is in effect in that state, or `undefined` when it does
 * (docs/route-table.md#incarnations).
 */
export function endOf(
  current: PodIdentity,
  route: Route | undefined,
  state: RouteState,
  ipReassigned: boolean,
): EndReason | undefined {
  if (route === undefined || state === "dead" || state === DOUBTED) return "dead";
  if (route.uid !== current.uid) return "replaced";
  if (state === "paused") return "paused";
  if (route.ip !== current.ip) return "ip_moved";
  // Paused and resumed unseen, behind the same address: another pod, so another life.
  if (current.podUid !== undefined && route.podUid !== undefined && current.podUid !== route.podUid)
    return "replaced";
  if (state !== "running") return "not_running";
  return ipReassigned ? "ip_reassigned" : undefined;
}
