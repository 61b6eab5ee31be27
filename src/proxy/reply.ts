import type { Reason } from "./reasons.ts";

/** What a reply of our own says and to whom. */
export interface ReplyContext {
  /** The request's method: a HEAD gets the headers alone. */
  readonly method: string;
  readonly requestId: string;
  /** {@link Target.label}, when known. */
  readonly sandbox?: string | undefined;
  readonly port?: number | undefined;
  /** Replaces the reason's own message. Never holds a secret. */
  readonly message?: string | undefined;
  /** The request's `Accept`, all its fields joined by `, `. */
  readonly accept?: string | undefined;
  /** The request's `Content-Type`: `application/grpc*` gets `grpc-status`. */
  readonly contentType?: string | undefined;
}

/** A reply of our own, complete but for what the connection adds (`Connection`, `Date`). */
export interface Reply {
  readonly status: number;
  /** Flat `name, value, …`. */
  readonly headers: string[];
  readonly body: Buffer;
}

export function replyFor(_reason: Exclude<Reason, "ok">, _context: ReplyContext): Reply {
  throw new Error("being written");
}
