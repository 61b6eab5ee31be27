/** What came of a proof that was given, or was missing where one is required. A closed list: these words are metric labels. */
export const PROOF_RESULTS = [
  "proven",
  "missing",
  "malformed",
  "out_of_time",
  "wrong",
  "replayed",
  "overloaded",
  "untrusted",
  "expired",
  "not_listed",
] as const;

/** One of {@link PROOF_RESULTS}. */
export type ProofResult = (typeof PROOF_RESULTS)[number];

/** How a peer proves who it is. A closed list too. */
export const PROOF_METHODS = ["hmac", "mtls"] as const;

/** One of {@link PROOF_METHODS}. */
export type ProofMethod = (typeof PROOF_METHODS)[number];
