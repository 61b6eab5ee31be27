import type { Milliseconds } from "../system/clock.ts";

/** Why a worker's process is gone: by itself, by a signal, killed since it answered no more, or it could not start. */
export type WorkerEnd = "exited" | "signalled" | "stuck" | "failed";

/** Who is told of what happens to workers. Called synchronously; must not throw. */
export interface WorkerObserver {
  /** A batch of routes was sent to a worker. */
  batchSent?(): void;
  /** A worker has changes in effect, `lagMs` after the oldest of them happened in the table. */
  applied?(lagMs: Milliseconds): void;
  /** A worker has fallen more than a second behind. */
  lagging?(worker: number): void;
  /** A worker ended and another takes its place. */
  replaced?(end: WorkerEnd): void;
  /** A worker did not answer for its metrics in time. */
  metricsMissed?(): void;
}
