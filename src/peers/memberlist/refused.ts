/**
 * Why something that arrived was not taken. A closed list: these are metric labels.
 *
 * | reason | what arrived |
 * |---|---|
 * | `malformed` | bytes that are no message: truncated, wrong types, impossible values |
 * | `too_large` | a packet, stream, name or unpacked payload beyond its bound |
 * | `nesting` | a wrapper inside a wrapper where the protocol has none |
 * | `unknown_type` | a message type that this side does not take |
 * | `checksum` | a packet whose CRC does not fit |
 * | `label` | another label than ours, or none |
 * | `encryption` | no key of ours opens it, or it is plain where we have keys, or encrypted where we have none |
 * | `forbidden` | from an address, or about a member at one, that may not take part |
 * | `wrong_node` | a ping for another name than ours |
 * | `unknown_target` | an indirect ping to an address that no member has |
 * | `bad_address` | a member at an address that cannot be sent to |
 * | `conflict` | a name that a living member has at another address |
 * | `incompatible` | a member that does not speak our protocol version |
 * | `full` | one more member than the table may hold |
 * | `flood` | more packets or streams a second than are read |
 * | `incomplete` | a stream that ended, or ran out of time, before its message was whole |
 * | `overloaded` | one more stream than may be open, or no memory left for it |
 */
export const REFUSAL_REASONS = [
  "malformed",
  "too_large",
  "nesting",
  "unknown_type",
  "checksum",
  "label",
  "encryption",
  "forbidden",
  "wrong_node",
  "unknown_target",
  "bad_address",
  "conflict",
  "incompatible",
  "full",
  "flood",
  "incomplete",
  "overloaded",
] as const;

/** One of {@link REFUSAL_REASONS}. */
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** Thrown by the codecs for everything that they do not take. */
export class Refused extends Error {
  override readonly name: string = "Refused";
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The bytes end in the middle of a value: malformed in a packet, a reason to wait in a stream. */
export class Truncated extends Refused {
  override readonly name = "Truncated";

  constructor() {
    super("malformed", "the message is truncated");
  }
}

/** The reason in `error`. Anything that is not a {@link Refused} is a fault of ours and is thrown again. */
export function refusalReasonOf(error: unknown): RefusalReason {
  if (error instanceof Refused) return error.reason;
  throw error;
}
