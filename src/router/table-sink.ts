import type { PushSink } from "../peers/push-sink.ts";
import type { SettleTable } from "../peers/push-settler.ts";
import type { RouteTable } from "../routes/table.ts";
import type { Clock } from "../system/clock.ts";
import type { ObservationSink } from "../watch/observation-sink.ts";

/** The table as its writers see it, with the time of day, which the table does not know. */
export type TableSink = ObservationSink & PushSink & SettleTable;

/**
 * Makes a {@link TableSink}. What comes of what is written, the table tells its listeners. `trustProven`: whether peers that proved
 * who they are are believed.
 */
export function tableSink(
  table: RouteTable,
  clock: Clock,
  trustProven: "serve" | "verify" = "serve",
): TableSink {
  const isBelieved = (proven = false): boolean => proven && trustProven === "serve";
  return {
    relist: (scope, version, observations) => table.relist(scope, version, observations, clock.nowMs()),
    startOver: (scope, version, observations) => table.startOver(scope, version, observations, clock.nowMs()),
    observe: (scope, observation) => void table.observe(scope, observation, clock.nowMs()),
    remove: (scope, namespace, name, uid, version) =>
      void table.remove(scope, namespace, name, uid, version, clock.nowMs()),
    bookmark: (scope, version) => table.bookmark(scope, version, clock.nowMs()),
    setMissing: (scope) => table.setMissing(scope, clock.nowMs()),
    setLive: (scope, live) => table.setLive(scope, live, clock.nowMs()),
    pushUpdate: (route, from, proven) => table.pushUpdate(route, clock.nowMs(), from, isBelieved(proven)),
    pushDelete: (push, from, proven) => table.pushDelete(push, clock.nowMs(), from, isBelieved(proven)),
    get pushSerial() {
      return table.pushSerial;
    },
    isInDoubt: (namespace, name) => table.isInDoubt(namespace, name),
    objectsIn: (namespace) => table.objectsIn(namespace),
    settle: (read) => table.settle(read, clock.nowMs()),
  };
}
