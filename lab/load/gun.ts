import { Worker } from "node:worker_threads";
import type { Batch } from "./batch.ts";
import type { AutocannonTotals, GunOptions, GunOrder, GunReport } from "./gun-messages.ts";
import type { TargetChange } from "./target-picker.ts";

/** autocannon, shooting in a thread of its own from {@link startGun} to {@link Gun.stop}. */
export interface Gun {
  /** New targets, and targets to be asked otherwise. */
  change(changes: readonly TargetChange[]): void;
  /** Has what came so far reported now. */
  flush(): void;
  /** Ends the shooting; resolves when the last batch has been reported. */
  stop(): Promise<AutocannonTotals>;
  /** Rejects when the thread fails. */
  readonly failed: Promise<never>;
}

/** Starts to shoot. `onBatch` is told of what came, a few times a second. */
export function startGun(options: GunOptions, onBatch: (batch: Batch) => void): Gun {
  const worker = new Worker(new URL("gun-worker.ts", import.meta.url), { workerData: options });
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const order = (message: GunOrder): void => worker.postMessage(message);
  const done = Promise.withResolvers<AutocannonTotals>();
  const failed = Promise.withResolvers<never>();
  // Whoever waits hears of it; nobody may be waiting yet.
  failed.promise.catch(() => {});
  worker.on("message", (report: GunReport) => {
    if (report.kind === "batch") onBatch(report.batch);
    else done.resolve(report.totals);
  });
  worker.on("error", (error) => failed.reject(new Error("the load generator failed", { cause: error })));
  worker.on("exit", () => failed.reject(new Error("the load generator ended by itself")));
  return {
    change: (changes) => order({ kind: "targets", changes }),
    flush: () => order({ kind: "flush" }),
    async stop() {
      order({ kind: "stop" });
      const totals = await Promise.race([done.promise, failed.promise]);
      await worker.terminate();
      return totals;
    },
    failed: failed.promise,
  };
}
