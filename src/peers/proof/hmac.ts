import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Milliseconds } from "../../system/clock.ts";

/*
 * How a push is signed (docs/peers.md#hmac): which header fields there are, and which bytes the HMAC is over.
 */

/** When the push was signed, in whole seconds since the epoch. */
export const TIME_HEADER = "x-lychgate-time";
/** Any text of 16 to 64 letters, digits, `-` and `_` that this signer has not used within the window. */
export const NONCE_HEADER = "x-lychgate-nonce";
/** HMAC-SHA256 in lower-case hexadecimal. */
export const SIGNATURE_HEADER = "x-lychgate-signature";

/** First line of what is signed: a signature made for something else is never one of a push. */
const PURPOSE = "lychgate-push-v1";
const TIME = /^[1-9]\d{0,11}$/;
const NONCE = /^[\w-]{16,64}$/;
const SIGNATURE = /^[0-9a-f]{64}$/;

/** The request that is signed, but for its body. */
export interface SignedHead {
  readonly method: string;
  /** The request target as it stands in the request line: `/refresh`. */
  readonly target: string;
  /** Seconds since the epoch, as the header has it. */
  readonly time: string;
  readonly nonce: string;
}

/** What a request's header fields say of its signature. */
export type Claim =
  | { readonly kind: "absent" }
  /** A field is missing, is there twice, or has another form. */
  | { readonly kind: "malformed" }
  | {
      readonly kind: "claim";
      readonly time: string;
      readonly nonce: string;
      readonly signature: Buffer;
      readonly signedAtMs: Milliseconds;
    };

/** Header fields by name in lower case, as node:http has them. A field that is there twice has a comma in it. */
export type SignedFields = Readonly<Record<string, string | readonly string[] | undefined>>;

/** The HMAC of a request under `key`. */
export function signatureOf(key: string, head: SignedHead, body: Uint8Array): Buffer {
  const { method, target, time, nonce } = head;
  return createHmac("sha256", key)
    .update(`${PURPOSE}\n${method}\n${target}\n${time}\n${nonce}\n`)
    .update(body)
    .digest();
}

/** Compares in a time that does not depend on the bytes. */
export function isSignature(expected: Buffer, given: Buffer): boolean {
  return expected.length === given.length && timingSafeEqual(expected, given);
}

/**
 * Header fields that sign one request under `key`. Each try of a push needs its own: a nonce is taken once.
 */
export function signedHeaders(
  key: string,
  request: { readonly method: string; readonly target: string; readonly body: Uint8Array },
  nowMs: Milliseconds,
): Record<string, string> {
  const time = String(Math.floor(nowMs / 1_000));
  const nonce = randomBytes(16).toString("hex");
  const signature = signatureOf(key, { ...request, time, nonce }, request.body);
  return { [TIME_HEADER]: time, [NONCE_HEADER]: nonce, [SIGNATURE_HEADER]: signature.toString("hex") };
}

/** Reads the header fields of a request. Checks their form only. */
export function claimOf(headers: SignedFields): Claim {
  const time = headers[TIME_HEADER];
  const nonce = headers[NONCE_HEADER];
  const signature = headers[SIGNATURE_HEADER];
  if (time === undefined && nonce === undefined && signature === undefined) return { kind: "absent" };
  // A field that is there twice comes with a comma in it.
  const isWellFormed =
    typeof time === "string" &&
    typeof nonce === "string" &&
    typeof signature === "string" &&
    TIME.test(time) &&
    NONCE.test(nonce) &&
    SIGNATURE.test(signature);
  if (!isWellFormed) return { kind: "malformed" };
  const signedAtMs = Number(time) * 1_000;
  return { kind: "claim", time, nonce, signature: Buffer.from(signature, "hex"), signedAtMs };
}
