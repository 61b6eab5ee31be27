import type { Outcome } from "../routes/outcome.ts";
import type { PushedDeletion, PushedRoute } from "../routes/push.ts";

/**
 * What peers may do to the route table (docs/route-table.md#rules, rules 1 to 3). Called synchronously, once per push.
 * Judges the push whole, never throws, and changes nothing when its outcome is not `applied`. `from` is the address of who
 * pushed, for people to read: behind a proxy it is the proxy's. `proven`: the sender proved who it is (docs/peers.md#proof); default false.
 */
export interface PushSink {
  /** Some state other than dead. */
  pushUpdate(route: PushedRoute, from: string, proven?: boolean): Outcome;
  /** `state == "dead"`. */
  pushDelete(push: PushedDeletion, from: string, proven?: boolean): Outcome;
}
