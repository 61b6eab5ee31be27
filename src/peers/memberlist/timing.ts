import type { Milliseconds } from "../../system/clock.ts";
import type { ProtocolSettings } from "./settings.ts";

/*
 * How times and counts grow with the cluster. `members` counts all that are remembered, this one and the dead included,
 * as memberlist does.
 */

/**
 * How long a suspected member has at least: `suspicionMult × max(1, log10(members)) × probeIntervalMs`.
 */
export function suspicionTimeoutMs(
  { suspicionMult, probeIntervalMs }: Pick<ProtocolSettings, "suspicionMult" | "probeIntervalMs">,
  members: number,
): Milliseconds {
  const scale = Math.max(1, Math.log10(Math.max(1, members)));
  // Three decimals, as in Go, where times are integers.
  return (suspicionMult * Math.floor(scale * 1000) * probeIntervalMs) / 1000;
}

/** How often a message is sent: `retransmitMult × ceil(log10(members + 1))`. */
export function retransmitLimit(retransmitMult: number, members: number): number {
  return retransmitMult * Math.ceil(Math.log10(members + 1));
}

/** Members from which on full exchanges become rarer. */
const PUSH_PULL_SCALE_FROM = 32;

/** Time to the next full exchange: `interval` up to 32 members, and one `interval` more with each doubling beyond. */
export function pushPullDelayMs(intervalMs: Milliseconds, members: number): Milliseconds {
  if (members <= PUSH_PULL_SCALE_FROM) return intervalMs;
  return intervalMs * (Math.ceil(Math.log2(members) - Math.log2(PUSH_PULL_SCALE_FROM)) + 1);
}
