import type { Incarnation, RouteInEffect } from "./lookup.ts";
import type { Observation } from "./observation.ts";
import type { ResourceVersion } from "./resource-version.ts";
import type { ObjectKey, Route, RouteState } from "./route.ts";
import type { Facts, IpHold } from "./rules.ts";
import type { Scope } from "./scope.ts";

/**
 * Everything the table knows of one object, and what follows from it. Only the table changes it; `proxy` sees it as
 * a {@link RouteInEffect}, so that a lookup hands out the entry itself and allocates nothing.
 */
export class Entry implements Facts {
  readonly kind = "found";
  readonly key: ObjectKey;
  readonly scope: Scope<Entry>;

  confirmed: Observation | undefined = undefined;
  claim: Route | undefined = undefined;
  claimArrivedAtMs = 0;
  tombstone: ResourceVersion | undefined = undefined;
  /** Since when the informer has seen the object with its present pod IP. */
  hold: IpHold | undefined = undefined;

  /** The route in effect, or `undefined` when there is none. Follows from the facts. */
  inEffect: Route | undefined = undefined;
  state: RouteState = "";
  incarnation: Incarnation | undefined = undefined;
  ipReassigned = false;
  /** The incarnation that ended when the sandbox was paused, while it is. */
  resting: Incarnation | undefined = undefined;

  constructor(key: ObjectKey, scope: Scope<Entry>) {
    this.key = key;
    this.scope = scope;
  }

  /** The route in effect. Only entries that have one are ever handed out. */
  get route(): Route {
    if (this.inEffect === undefined) throw new Error(`no route is in effect for ${this.key}`);
    return this.inEffect;
  }

  /** True while a fact is left to keep the entry for. */
  get hasFacts(): boolean {
    return this.confirmed !== undefined || this.claim !== undefined || this.tombstone !== undefined;
  }
}

/** An entry whose route is in effect, as the read side shows it. */
export function asRouteInEffect(entry: Entry): RouteInEffect {
  return entry;
}
