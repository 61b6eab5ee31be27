import { constants } from "node:http2";
import type { UpstreamFailure } from "../upstream/upstream-error.ts";

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR } = constants;

/**
 * Where a stream is, and where it goes on to; `over` is reached from everywhere.
 *
 * | phase | meaning | deadline |
 * |---|---|---|
 * | `seeking` | on the way to its verdict, or held | its own |
 * | `collecting` | a small body is read whole | `idleTimeoutMs` and the least rate, then 408 |
 * | `leasing` | waits for a connection | the pool's |
 * | `sending` | the body is being sent | `idleTimeoutMs` and, while the pod waits for the client, the least rate |
 * | `awaiting` | all is sent | `firstByteTimeoutMs`, then 504 |
 * | `answering` | the response is on its way to the client | `idleTimeoutMs`, and the least rate of reading |
 * | `flushing` | all of the answer is written, and the client has yet to take it | the same |
 * | `cut` | it was reset, and the client has yet to take that | a second, then its connection is destroyed |
 * | `over` | nothing more happens | none |
 */
export const STREAM_TRANSITIONS = {
  seeking: ["collecting", "leasing", "flushing", "cut", "over"],
  collecting: ["leasing", "flushing", "cut", "over"],
  leasing: ["sending", "awaiting", "answering", "flushing", "cut", "over"],
  sending: ["awaiting", "answering", "flushing", "cut", "over"],
  awaiting: ["answering", "flushing", "cut", "over"],
  answering: ["flushing", "cut", "over"],
  flushing: ["cut", "over"],
  cut: ["over"],
  over: [],
} as const;

/** See {@link STREAM_TRANSITIONS}. */
export type StreamPhase = keyof typeof STREAM_TRANSITIONS;

const RESET_CODES: Partial<Record<UpstreamFailure, number>> = {
  incarnation_ended: NGHTTP2_CANCEL,
  upstream_idle_timeout: NGHTTP2_CANCEL,
  request_timeout: NGHTTP2_CANCEL,
  client_too_slow: NGHTTP2_ENHANCE_YOUR_CALM,
};

/** The code with which a stream is reset (RFC 9113 7) whose answer can't be finished; `INTERNAL_ERROR` for what the pod did. */
export function resetCodeOf(reason: UpstreamFailure): number {
  return RESET_CODES[reason] ?? NGHTTP2_INTERNAL_ERROR;
}
