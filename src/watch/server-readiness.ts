import type { Clock, Milliseconds } from "../system/clock.ts";
import { waitFor } from "./version-check.ts";

/** Options of {@link becomesReady}. */
export interface ServerReadinessOptions {
  /** Asks the server's `/readyz`; true when it says yes. Must not reject. */
  readonly ask: () => Promise<boolean>;
  readonly clock: Clock;
  /** From an answer to the next question. */
  readonly everyMs: Milliseconds;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/**
 * Resolves with true when a server that is not ready becomes so, and with false when it is ready already, or `signal` ended
 * it: then what it refuses has another reason, and asking sooner would not help.
 *
 * kube-apiserver answers 503 with `Retry-After: 5` in the moments before its paths are installed, and is ready a second
 * later (1.35, measured); its health endpoints are there to be asked meanwhile, by anybody (Kubernetes API health endpoints).
 */
export async function becomesReady({
  ask,
  clock,
  everyMs,
  signal,
}: ServerReadinessOptions): Promise<boolean> {
  if (await ask()) return false;
  for (;;) {
    await waitFor(clock, everyMs, signal);
    if (signal.aborted) return false;
    if (await ask()) return !signal.aborted;
  }
}
