import type { Milliseconds } from "../../system/clock.ts";
import type { ProtocolSettings } from "./settings.ts";
import { suspicionTimeoutMs } from "./timing.ts";

/** A member that is suspected, and how soon it is dead. Immutable; {@link confirm} makes the next. */
export interface Suspicion {
  readonly startedMs: Milliseconds;
  /** The time that it has when enough others suspect it too. */
  readonly minMs: Milliseconds;
  /** The time that it has when nobody else does. */
  readonly maxMs: Milliseconds;
  /** Confirmations that are enough. 0: the cluster is too small to wait for any. */
  readonly wanted: number;
  /** Who suspects it, the first one included. */
  readonly by: ReadonlySet<string>;
}

/**
 * A new suspicion by `from`. Wants `suspicionMult - 2` confirmations, or none when fewer members than that are left
 * beside this one and the suspected one.
 */
export function suspect(
  from: string,
  settings: ProtocolSettings,
  members: number,
  nowMs: Milliseconds,
): Suspicion {
  const wanted = settings.suspicionMult - 2;
  const minMs = suspicionTimeoutMs(settings, members);
  return {
    startedMs: nowMs,
    minMs,
    maxMs: minMs * settings.suspicionMaxTimeoutMult,
    wanted: members - 2 < wanted ? 0 : wanted,
    by: new Set([from]),
  };
}

/** The suspicion with `from` as one more who suspects; undefined when that is nothing new, or enough do already. */
export function confirm(suspicion: Suspicion, from: string): Suspicion | undefined {
  if (confirmations(suspicion) >= suspicion.wanted || suspicion.by.has(from)) return undefined;
  return { ...suspicion, by: new Set([...suspicion.by, from]) };
}

/** How many have confirmed it: the first one does not count. */
export function confirmations({ by }: Suspicion): number {
  return by.size - 1;
}

/**
 * When the member is dead unless it refutes: `max - (max - min) × log(confirmations + 1) / log(wanted + 1)` after the
 * start, at least `min`. The first confirmation shortens it most.
 */
export function deadlineMs(suspicion: Suspicion): Milliseconds {
  const { startedMs, minMs, maxMs, wanted } = suspicion;
  if (wanted < 1) return startedMs + minMs;
  const share = Math.log(confirmations(suspicion) + 1) / Math.log(wanted + 1);
  return startedMs + Math.max(minMs, Math.floor(maxMs - share * (maxMs - minMs)));
}
