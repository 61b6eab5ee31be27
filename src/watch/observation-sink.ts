import type { Observation } from "../routes/observation.ts";
import type { ResourceVersion } from "../routes/resource-version.ts";
import type { WatchedObject } from "./watched-object.ts";

/**
 * Where a reflector puts what it learned: for Sandboxes, the informer's side of the route table.
 *
 * Rules of use, which a {@link Reflector} keeps and a sink may rely on:
 *
 * - Every method is called synchronously and in the order of the server's events; a sink must not call back into
 *   the reflector and should not throw. An exception is a bug of the sink: it is logged and counted, the event
 *   counts as delivered, and the loop goes on (a throwing `relist` or `startOver` is listed again).
 * - For one scope the first call is `relist`. `observe`, `remove` and `bookmark` come only after a `relist` that
 *   was `"applied"` or a `startOver`, and say what happened after it, without a gap.
 * - Versions of one scope rise from call to call as long as the API server keeps its own contract
 *   (KEP-5504); a sink must still judge each by itself, since a server may repeat or misorder events.
 * - After the reflector's `stop()` has resolved nothing is called any more.
 *
 * `scope` is the watched namespace, or `""` for all namespaces. Several scopes are independent of each other.
 */
export interface ObservationSink<T extends WatchedObject = Observation> {
  /**
   * A consistent snapshot of the scope at `version`: what it lacks is gone (docs/route-table.md#rule-5). Returns
   * `"behind"`, having changed nothing, when `version` is below the scope's watermark; the reflector then lists
   * again a few times and calls {@link startOver} when the server stays behind.
   */
  relist(scope: string, version: ResourceVersion, observations: readonly T[]): "applied" | "behind";
  /** The same, unconditionally: the cluster was restored from a backup (docs/route-table.md#rule-5). */
  startOver(scope: string, version: ResourceVersion, observations: readonly T[]): void;
  /** The object was added or modified; everything up to its version has been delivered. */
  observe(scope: string, observation: T): void;
  /** The object was deleted at `version`, or left the selector. `uid` is `""` when the server did not say. */
  remove(scope: string, namespace: string, name: string, uid: string, version: ResourceVersion): void;
  /** Everything up to `version` has been delivered. May repeat the last version: then nothing happened since. */
  bookmark(scope: string, version: ResourceVersion): void;
  /**
   * False from the moment the reflector knows that it is not being told of changes (stalled, or disconnected
   * for longer than a grace); true again when the server was heard. While false nothing may expire for want
   * of the informer's word (docs/route-table.md#rule-6). Called only when the value changes; false at first.
   */
  setLive(scope: string, live: boolean): void;
  /**
   * The server does not know what is to be watched (404): the CRD, or this version of it, is not installed. Told after each try
   * that ends so; the next `relist` that is taken ends it.
   */
  setMissing?(scope: string): void;
}
