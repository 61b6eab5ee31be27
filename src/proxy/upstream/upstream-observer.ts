import type { Milliseconds } from "../../system/clock.ts";
import type { EndReason } from "../../routes/lookup.ts";

/** Told of what happens to connections to pods, for metrics. Called synchronously on the request path; must not throw. */
export interface UpstreamObserver {
  /** A connection was opened. */
  connected(tookMs: Milliseconds): void;
  /** A connection could not be opened. `code` is one of a small, closed list (`UpstreamFailure`). */
  connectFailed(code: string): void;
  /** A request was sent on a connection that had carried one before. */
  reused(): void;
  /** A connection is gone, whoever closed it. Once for each `connected`. */
  closed(): void;
  /** A connection that carried a request or a tunnel was reset since its incarnation ended. */
  reset(reason: EndReason): void;
  /** A request that failed on a kept connection, before a byte of it was sent, goes to a new one. */
  retried(): void;
  /** A connection that never started its request was thrown away. Always a bug of a library or ours: alert on it. */
  wedged(): void;
}

/** Counts nothing. */
export const noUpstreamObserver: UpstreamObserver = {
  connected() {},
  connectFailed() {},
  reused() {},
  closed() {},
  reset() {},
  retried() {},
  wedged() {},
};
