import type { Outcome } from "../routes/outcome.ts";
import type { Route } from "../routes/route.ts";

/**
 * A route as a peer pushed it: decoded, not yet judged. `resourceVersion` is whatever the peer wrote, `id` has not been
 * through `routingId`, and any text may be empty. `ip` is an IP or `""`.
 */
export type PushedRoute = Omit<Route, "resourceVersion"> & { readonly resourceVersion: string };

/** A deletion as a peer pushed it: decoded, not yet judged. */
export interface PushedDelete {
  readonly namespace: string;
  readonly name: string;
  /** Whatever the peer wrote; never empty. */
  readonly resourceVersion: string;
}

/**
 * What peers may do to the route table (docs/route-table.md#rules, rules 1 to 3). Called synchronously, once per push.
 * Judges the push whole, never throws, and changes nothing when its outcome is not `applied`. `from` is the address of who
 * pushed, for people to read: behind a proxy it is the proxy's.
 */
export interface PushSink {
  /** Some state other than dead. */
  pushUpdate(route: PushedRoute, from: string): Outcome;
  /** `state == "dead"`. */
  pushDelete(push: PushedDelete, from: string): Outcome;
}
