import type { Milliseconds } from "../../system/clock.ts";
import type { Member } from "./verdicts.ts";

/**
 * How a probe ended. A closed list: these are metric labels. `acked`: the member answered in time. `late`: it answered
 * after others were asked too, itself or through one of them. `stream`: only over TCP. `failed`: not at all.
 */
export const PROBE_RESULTS = ["acked", "late", "stream", "failed"] as const;

/** One of {@link PROBE_RESULTS}. */
export type ProbeResult = (typeof PROBE_RESULTS)[number];

/**
 * | state | what goes on | left on |
 * |---|---|---|
 * | `direct` | a ping is under way | `ack`, `deadline` → over; `asked_others` → indirect |
 * | `indirect` | others ping too, and a stream is tried | `ack`, `deadline` → over |
 * | `over` | nothing | – |
 */
export type ProbeState =
  | { readonly kind: "direct"; readonly probe: Probe }
  | {
      readonly kind: "indirect";
      readonly probe: Probe;
      /** Nacks that were asked for. */
      readonly expectedNacks: number;
      readonly nacks: number;
      readonly reachedByStream: boolean;
    }
  | { readonly kind: "over"; readonly result: ProbeResult; readonly awarenessDelta: number };

/** What stays the same during a probe. */
export interface Probe {
  readonly member: Member;
  readonly seqNo: number;
  /** When it has failed: `probeIntervalMs`, scaled by the awareness, after it began. */
  readonly deadlineMs: Milliseconds;
}

/** What happens to a probe. */
export type ProbeEvent =
  | { readonly kind: "ack" }
  | { readonly kind: "nack" }
  /** No ack within `probeTimeoutMs`: `helpers` were asked, of whom `expectedNacks` would say that they failed too. */
  | { readonly kind: "asked_others"; readonly expectedNacks: number }
  | { readonly kind: "stream_acked" }
  | { readonly kind: "deadline" };

/** The next state. Pure. An event that a state does not know changes nothing. */
export function transition(state: ProbeState, event: ProbeEvent): ProbeState {
  switch (state.kind) {
    case "over":
      return state;
    case "direct":
      if (event.kind === "ack") return { kind: "over", result: "acked", awarenessDelta: -1 };
      // This side was so late that nobody was asked.
      if (event.kind === "deadline") return { kind: "over", result: "failed", awarenessDelta: 1 };
      if (event.kind !== "asked_others") return state;
      return {
        kind: "indirect",
        probe: state.probe,
        expectedNacks: event.expectedNacks,
        nacks: 0,
        reachedByStream: false,
      };
    case "indirect":
      switch (event.kind) {
        case "ack":
          return { kind: "over", result: "late", awarenessDelta: -1 };
        case "nack":
          return { ...state, nacks: Math.min(state.nacks + 1, state.expectedNacks) };
        case "stream_acked":
          // Not the end yet: acks that are still under way would show that packets arrive after all.
          return { ...state, reachedByStream: true };
        case "deadline":
          if (state.reachedByStream) return { kind: "over", result: "stream", awarenessDelta: -1 };
          return { kind: "over", result: "failed", awarenessDelta: blame(state.expectedNacks, state.nacks) };
        case "asked_others":
          return state;
      }
  }
}

/**
 * How much a failed probe says about this side: the nacks that should have come and did not; with nobody to send one, 1.
 */
function blame(expectedNacks: number, nacks: number): number {
  return expectedNacks > 0 ? expectedNacks - nacks : 1;
}
