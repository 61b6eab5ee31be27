/** Who told the table something. `clock` is time passing: a TTL or a shutdownTime. */
export type Source = "informer" | "peer" | "clock";

/**
 * What a mutation did and why (docs/route-table.md#rule-11). These words are metric labels and stand in `explain`.
 *
 * | outcome | meaning |
 * |---|---|
 * | `applied` | the fact is kept |
 * | `unsettled` | a push is kept and waits for a read of the API server; what the read says is told as a further outcome |
 * | `ignored_stale` | at or below a version known for the key |
 * | `ignored_tombstone` | at or below a deletion that was pushed for the key |
 * | `ignored_watermark` | the informer has already seen that moment |
 * | `ignored_read` | a read of this object has already shown a later moment |
 * | `ignored_refuted` | a read of the API server says otherwise than the push |
 * | `ignored_unselected` | a read of the API server shows no object that the selector lets through |
 * | `ignored_implausible` | so far ahead of the watermark that nobody can have seen it yet |
 * | `ignored_distrusted` | the sender was refuted too often of late |
 * | `ignored_ended` | the informer says that this very UID is ending for good |
 * | `ignored_restored` | the cluster was restored from a backup; pushes wait for the watermark's old height |
 * | `ignored_out_of_scope` | the informer does not watch that namespace |
 * | `ignored_id_only` | the push names no object, only an ID (accepted on the wire, changes nothing) |
 * | `invalid_key` | namespace or name is missing, or is one that no Kubernetes object can have |
 * | `invalid_id` | the routing ID is missing, or is no value of a label |
 * | `invalid_uid` | the UID is missing, or holds what no UID does |
 * | `invalid_text` | the state or the owner holds what none does: control characters, bidi marks, `<` |
 * | `invalid_resource_version` | not a canonical positive decimal integer |
 * | `invalid_size` | longer than any real route: a hint's memory must have a bound |
 */
export const OUTCOMES = [
  "applied",
  "unsettled",
  "ignored_stale",
  "ignored_tombstone",
  "ignored_watermark",
  "ignored_read",
  "ignored_refuted",
  "ignored_unselected",
  "ignored_implausible",
  "ignored_distrusted",
  "ignored_ended",
  "ignored_restored",
  "ignored_out_of_scope",
  "ignored_id_only",
  "invalid_key",
  "invalid_id",
  "invalid_uid",
  "invalid_text",
  "invalid_resource_version",
  "invalid_size",
] as const;

/** One of {@link OUTCOMES}. */
export type Outcome = (typeof OUTCOMES)[number];

/** The rule that stopped a resurrection attempt: the second half of an `ignored_…` outcome. */
export const GUARDS = [
  "stale",
  "tombstone",
  "watermark",
  "read",
  "refuted",
  "implausible",
  "distrusted",
  "ended",
  "restored",
] as const;

/** One of {@link GUARDS}. */
export type Guard = (typeof GUARDS)[number];

/** Why the table gave up a fact without the informer confirming it. */
export const DROP_REASONS = ["contradicted", "refuted", "expired", "evicted", "restored"] as const;

/** One of {@link DROP_REASONS}. */
export type DropReason = (typeof DROP_REASONS)[number];

/** The kinds of fact that a peer brings and that the table gives up again. */
export const PUSHED_FACTS = ["hint", "tombstone"] as const;

/** One of {@link PUSHED_FACTS}. */
export type PushedFact = (typeof PUSHED_FACTS)[number];

/** What is kept of an object beyond the informer's word: pushed facts, and up to when a read has shown it. */
export const AHEAD_FACTS = [...PUSHED_FACTS, "read"] as const;

/** One of {@link AHEAD_FACTS}. */
export type AheadFact = (typeof AHEAD_FACTS)[number];
