import type { Incarnation, RouteInEffect } from "../routes/lookup.ts";
import type { ObjectKey, Route } from "../routes/route.ts";

/** A route in effect, handed out as it is: a lookup allocates nothing. */
export class MirroredRoute implements RouteInEffect {
  readonly kind = "found";
  readonly key: ObjectKey;
  route: Route;
  state = "";
  incarnation: Incarnation | undefined = undefined;
  ipReassigned = false;
  /** The incarnation that ended as paused and that the sandbox has not been heard of since. */
  resting: Incarnation | undefined = undefined;

  constructor(key: ObjectKey, route: Route) {
    this.key = key;
    this.route = route;
  }
}
