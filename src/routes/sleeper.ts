import type { RouteInEffect } from "./lookup.ts";
import { type ObjectKey, objectKey } from "./route.ts";

/** A sandbox that does not run, and that traffic may wake (docs/wake.md). */
export interface Sleeper {
  readonly key: ObjectKey;
  /** Of the object that the request meant: no other is woken for it. */
  readonly uid: string;
  /**
   * It is not ready, which is most often a fault; only while it is just being woken it is on its way. A request for it may
   * join those that wait, and wakes nothing.
   */
  readonly joinsOnly: boolean;
}

/** The sleeper that a route in effect is, if it is one. One whose time is over is none. */
export function sleeperOf({ route, state }: RouteInEffect): Sleeper | undefined {
  if (route.wake === undefined || state !== route.state) return undefined;
  return { key: objectKey(route.namespace, route.name), uid: route.uid, joinsOnly: state === "dead" };
}
