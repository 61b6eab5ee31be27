import type { Clock } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import type { Metrics } from "../metrics/registry.ts";
import type { Distrust } from "../peers/distrust.ts";
import { PushSettler } from "../peers/push-settler.ts";
import { namespaceAndName } from "../routes/route.ts";
import type { RouteTable } from "../routes/table.ts";
import type { Informer } from "../watch/informer.ts";
import type { TableSink } from "./table-sink.ts";

/** What settles the pushes of a router that verifies them. */
export interface SettlingOptions {
  readonly table: RouteTable;
  readonly sink: TableSink;
  /** Reads the objects that peers push of. */
  readonly reader: Informer["reader"];
  readonly distrust: Distrust;
  readonly maxReads: number;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Has each push that comes settled by a read of the API server (docs/route-table.md#rule-12), and remembers whose were
 * refuted. Returns what stops it.
 */
export function startSettling(options: SettlingOptions): { stop(): void } {
  const { table, sink, reader, distrust, maxReads, metrics, clock, log } = options;
  const settler = new PushSettler({
    reads: reader,
    table: sink,
    observer: { read: (of, result, tookMs) => metrics.peers.read(of, result, tookMs) },
    maxReads,
    clock,
    log,
  });
  const removeListener = table.addListener({
    doubted(key) {
      settler.doubted(...namespaceAndName(key));
    },
    factDropped(_fact, reason, key, from) {
      if (reason === "refuted") distrust.refuted(from, key);
    },
  });
  return {
    stop() {
      removeListener();
      settler.stop();
    },
  };
}
