import { parentPort, workerData } from "node:worker_threads";
import autocannon from "autocannon";
import { BatchCollector } from "./batch.ts";
import type { AutocannonTotals, GunOptions, GunOrder, GunReport } from "./gun-messages.ts";
import { monotonicMs } from "./monotonic.ts";
import { Shooter } from "./shooter.ts";
import { TargetPicker } from "./target-picker.ts";

// A thread of its own: the main thread is the cluster, and neither may wait for the other.

const BATCH_MS = 200;
const TIMEOUT_S = 10;
/** Until it is stopped. */
const FOR_EVER_S = 7 * 24 * 3600;

/** What autocannon gives in a worker thread: not the `Result` of its types, which it makes in the main thread only. */
interface RawResult {
  readonly totalRequests: number;
  readonly totalCompletedRequests: number;
  readonly totalBytes: number;
  readonly errors: number;
  readonly timeouts: number;
}

const port = parentPort;
if (!port) throw new Error("gun-worker.ts runs as a worker thread only");

const { url, connections, targets } = workerData as GunOptions;
const picker = new TargetPicker(Math.random);
for (const target of targets) picker.change(target);
const collector = new BatchCollector();
const report = (message: GunReport): void => port.postMessage(message);
const flush = (): void => report({ kind: "batch", batch: collector.take() });

let serial = 0;
const shooting = autocannon(
  {
    url,
    connections,
    duration: FOR_EVER_S,
    timeout: TIMEOUT_S,
    // How soon it notices that it should stop.
    sampleInt: 200,
    setupClient: (client) => {
      // The shooter lives as long as the client, whose listeners hold it.
      void new Shooter(client, {
        pick: () => picker.pick(),
        report: (answer) => collector.add(answer),
        nowMs: monotonicMs,
        nextSerial: () => ++serial,
        timeoutMs: TIMEOUT_S * 1000,
      });
    },
  },
  (error: unknown, result) => {
    clearInterval(timer);
    if (error) throw error;
    flush();
    report({ kind: "done", totals: totalsOf(result as unknown as RawResult) });
    port.close();
  },
);
const timer = setInterval(flush, BATCH_MS);

port.on("message", (order: GunOrder) => {
  if (order.kind === "flush") flush();
  else if (order.kind === "stop") shooting.stop();
  else for (const change of order.changes) picker.change(change);
});

function totalsOf(result: RawResult): AutocannonTotals {
  const { totalRequests, totalCompletedRequests, totalBytes, errors, timeouts } = result;
  return { sent: totalRequests, answered: totalCompletedRequests, errors, timeouts, bytes: totalBytes };
}
