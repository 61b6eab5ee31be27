import type { StoppedResurrections } from "./result.ts";

const SERIES = /^lychgate_resurrection_attempts_total\{([^}]*)\} ([0-9.e+]+)/gm;

/** Reads the resurrections that a router has stopped from the text of its `/metrics`; guards without any are left out. */
export function readStopped(metrics: string): StoppedResurrections[] {
  const stopped: StoppedResurrections[] = [];
  for (const [, labels = "", value] of metrics.matchAll(SERIES)) {
    const label = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? "";
    const count = Number(value);
    if (count > 0) stopped.push({ source: label("source"), guard: label("guard"), count });
  }
  return stopped;
}

/** What came on top of `before`. */
export function stoppedSince(
  before: readonly StoppedResurrections[],
  now: readonly StoppedResurrections[],
): StoppedResurrections[] {
  return now
    .map(({ source, guard, count }) => {
      const then = before.find((one) => one.source === source && one.guard === guard)?.count ?? 0;
      return { source, guard, count: count - then };
    })
    .filter(({ count }) => count > 0);
}

/**
 * Asks a router how many resurrections it has stopped; `undefined` when it does not answer within a second.
 * `adminUrl` is the base URL of its admin port.
 */
export async function askStopped(adminUrl: string): Promise<StoppedResurrections[] | undefined> {
  try {
    const response = await fetch(`${adminUrl}/metrics`, { signal: AbortSignal.timeout(1_000) });
    return response.ok ? readStopped(await response.text()) : undefined;
  } catch {
    return undefined;
  }
}
