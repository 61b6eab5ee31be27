import { createHistogram } from "./histogram.ts";
import type { Histogram } from "./histogram.ts";

/** Counts the answers of one measurement. */
export class LoadTally {
  readonly latencies: Histogram = createHistogram();
  errors = 0;
  firstError: string | undefined;

  answered(latencyMs: number): void {
    this.latencies.record(latencyMs * 1000);
  }

  failed(message: string): void {
    this.errors += 1;
    this.firstError ??= message;
  }

  /** The warm-up is over: forgets the latencies, keeps the errors. */
  startMeasuring(): void {
    this.latencies.reset();
  }
}
