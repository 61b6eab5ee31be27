import type { ByteBudget } from "../system/byte-budget.ts";
import { GrowingBytes } from "../system/growing-bytes.ts";
import type { IncomingMessage } from "node:http";

/** How a body ended, and how many of its bytes were read. */
export type BoundedBody = { readonly bytes: number } & BodyEnd;

type BodyEnd =
  | { readonly kind: "complete"; readonly body: Buffer }
  /** Longer than the limit. It was read to its end or for {@link BodyLimits.drainBytes}, and thrown away. */
  | { readonly kind: "too_large" }
  /** The budget that all bodies share is spent. Thrown away likewise. */
  | { readonly kind: "overloaded" }
  /** The client left, or was too slow and was cut. */
  | { readonly kind: "incomplete" };

/** Limits of {@link readBoundedBody}. */
export interface BodyLimits {
  /** Longest body that is kept, in bytes. */
  readonly maxBytes: number;
  /**
   * How much of a body that won't be kept is still read, in bytes. A client that is answered while it writes may see
   * a reset instead of the reply.
   */
  readonly drainBytes: number;
  /** Shared by all bodies that are being read. */
  readonly budget: ByteBudget;
}

const FIRST_BUFFER_BYTES = 4_096;

/**
 * Reads a body whole. Never rejects. The budget is given back when the promise is resolved: the caller must be done with
 * the body by the next turn of the event loop.
 */
export function readBoundedBody(request: IncomingMessage, limits: BodyLimits): Promise<BoundedBody> {
  const { maxBytes, drainBytes, budget } = limits;
  return new Promise((resolve) => {
    const held = new GrowingBytes({ firstBytes: FIRST_BUFFER_BYTES, maxBytes, budget });
    let length = 0;
    let refused: "too_large" | "overloaded" | undefined;
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) refused = "too_large";

    const settle = (result: BodyEnd) => {
      held.release();
      request.off("data", onData).off("end", onEnd).off("close", onClose);
      resolve({ ...result, bytes: length });
    };
    const refuse = (kind: "too_large" | "overloaded") => {
      refused = kind;
      held.release();
    };
    const onData = (chunk: Buffer) => {
      const end = length + chunk.length;
      if (refused === undefined && end > maxBytes) refuse("too_large");
      if (refused === undefined && !held.append(chunk)) refuse("overloaded");
      length = end;
      if (refused !== undefined && end > maxBytes + drainBytes) settle({ kind: refused });
    };
    const onEnd = () =>
      settle(refused === undefined ? { kind: "complete", body: held.bytes } : { kind: refused });
    const onClose = () => settle({ kind: "incomplete" });
    request.on("data", onData).on("end", onEnd).on("close", onClose);
    // The reason is of no use: `close` follows every error.
    request.on("error", () => {});
  });
}
