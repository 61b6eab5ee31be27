import type { Clock, Milliseconds } from "../system/clock.ts";
import { compareResourceVersions, type ResourceVersion } from "../routes/resource-version.ts";
import { ApiFault, faultFrom } from "./fault.ts";

/** What came of asking the API server for its present version. A closed list: these are metric labels. */
export const VERSION_CHECKS = ["passed", "behind", "failed"] as const;

/** One of {@link VERSION_CHECKS}. */
export type VersionCheckResult = (typeof VERSION_CHECKS)[number];

/** Options of {@link checkVersions}. */
export interface VersionCheckOptions {
  /** Asks the server for its present version. `reloadCredentials` after a 401. */
  readonly ask: (reloadCredentials: boolean) => Promise<ResourceVersion>;
  /** Everything up to here was delivered. */
  readonly watermark: () => ResourceVersion;
  readonly clock: Clock;
  /** Wait before the first question: 0 after a reconnect. */
  readonly firstAfterMs: Milliseconds;
  /** From an answer to the next question. */
  readonly intervalMs: Milliseconds;
  /** From a question that failed to the next, unless the server asks for a longer wait (`Retry-After`). */
  readonly retryMs: Milliseconds;
  /** Told of each question that was answered, or failed, and then why. */
  readonly checked: (result: VersionCheckResult, fault?: ApiFault) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * Asks the API server for its present version again and again, until `signal` ends it. Resolves with a fault `behind` when the
 * server is at a version below what it had shown before the question was sent, and with `undefined` when ended. Never rejects.
 *
 * A cluster that was restored from a backup can be noticed in no other way: a watch from its future is answered with 200
 * and silence, until the cluster has reached that version again (kube-apiserver 1.35, measured). A list without a
 * resourceVersion is "most recent" (Kubernetes API concepts), so one that was sent when the watermark was `W` can't be
 * below `W`. What the watch delivers meanwhile must not count: the answer may be older than that.
 */
export async function checkVersions(options: VersionCheckOptions): Promise<ApiFault | undefined> {
  const { ask, watermark, clock, intervalMs, retryMs, checked, signal } = options;
  let waitMs = options.firstAfterMs;
  let unauthorized = false;
  for (;;) {
    if (waitMs > 0) await waitFor(clock, waitMs, signal);
    if (signal.aborted) return undefined;
    const shown = watermark();
    try {
      const present = await ask(unauthorized);
      unauthorized = false;
      if (compareResourceVersions(present, shown) < 0) {
        checked("behind");
        return new ApiFault(
          "behind",
          `the API server is at version ${present}, below the watermark ${shown}: it was restored from a backup, or is another cluster's`,
        );
      }
      checked("passed");
      waitMs = intervalMs;
    } catch (error) {
      if (signal.aborted) return undefined;
      const fault = faultFrom(error);
      unauthorized = fault.code === "unauthorized";
      checked("failed", fault);
      waitMs = Math.max(retryMs, fault.retryAfterMs ?? 0);
    }
  }
}

/** Resolves after `delayMs`, or when `signal` aborts. */
export function waitFor(clock: Clock, delayMs: Milliseconds, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onAbort = (): void => resolve();
  const timer = clock.setTimeout(resolve, delayMs);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return promise.finally(() => {
    timer.clear();
    signal.removeEventListener("abort", onAbort);
  });
}
