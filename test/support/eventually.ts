import { setTimeout as sleep } from "node:timers/promises";

/**
 * How long tests wait for what should come. A machine may be ten times as busy as yours, and only a test that fails waits for
 * so long: 60,000, or `LYCHGATE_TEST_PATIENCE_MS`.
 */
export const PATIENCE_MS = Number(process.env["LYCHGATE_TEST_PATIENCE_MS"] ?? 60_000);

/**
 * Waits until `probe` returns without throwing and without `false`, and returns what it returned. Fails with the
 * last error after `timeoutMs` (default {@link PATIENCE_MS}). Tests use it instead of sleeping for a guess.
 */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  options: { readonly timeoutMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const { timeoutMs = PATIENCE_MS, everyMs = 10 } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const value = await probe();
      if (value !== false) return value;
      failure = new Error("the condition stayed false");
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`gave up after ${timeoutMs} ms`, { cause: failure });
    }
    await sleep(everyMs);
  }
}
