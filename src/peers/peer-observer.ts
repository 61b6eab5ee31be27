import type { Milliseconds } from "../system/clock.ts";
import type { Outcome } from "../routes/outcome.ts";

/**
 * What became of a push, for counting.
 *
 * | result | the table |
 * |---|---|
 * | `applied` | kept it |
 * | `unsettled` | kept it until a read of the API server settles it |
 * | `ignored` | knew better |
 * | `invalid` | refused it, or it is dead without a resourceVersion |
 * | `id_only` | was not asked: the push names no object |
 * | `malformed` | was not asked: no JSON object, or a wrong type |
 * | `too_large` | was not asked: the body is over the limit |
 * | `incomplete` | was not asked: the body did not arrive, or not in time |
 * | `overloaded` | was not asked: too many bodies at once, or more pushes than all senders together may send |
 * | `forbidden` | was not asked: the sender is none of those that may push |
 * | `unproven` | was not asked: the sender did not prove who it is |
 * | `not_listed` | was not asked: the sender proved who it is, and is none of those that may push |
 * | `rate_limited` | was not asked: the sender pushes more than one may |
 */
export const PUSH_RESULTS = [
  "applied",
  "unsettled",
  "ignored",
  "invalid",
  "id_only",
  "malformed",
  "too_large",
  "incomplete",
  "overloaded",
  "forbidden",
  "unproven",
  "not_listed",
  "rate_limited",
] as const;

/** One of {@link PUSH_RESULTS}. */
export type PushResult = (typeof PUSH_RESULTS)[number];

/** A push that the table judged. No token. */
export interface JudgedPush {
  readonly kind: "update" | "delete";
  readonly namespace: string;
  readonly name: string;
  /** As the peer wrote it: valid when the outcome is not `invalid_…`. */
  readonly resourceVersion: string;
  readonly outcome: Outcome;
  /** When the push's body was complete, on the monotonic clock. */
  readonly arrivedMs: Milliseconds;
}

/** Told of every `POST /refresh`, once, after the table was. Must not throw. */
export interface PeerObserver {
  /** `push` is present exactly when the table judged it. */
  pushed(result: PushResult, push?: JudgedPush): void;
}
