import { constants, verify } from "node:crypto";

import type { Milliseconds } from "../system/clock.ts";
import type { VerificationKeys } from "./verification-keys.ts";

/** What a traffic token says, once its signature was verified. */
export interface TrafficClaims {
  readonly sandboxId: string;
  readonly sandboxUid: string;
  readonly notBeforeMs: Milliseconds;
  readonly expiresAtMs: Milliseconds;
}

/** What a token came to. `unknown_key`: it names a key that the issuer may have made since. */
export type ReadToken =
  | { readonly kind: "verified"; readonly claims: TrafficClaims }
  | { readonly kind: "invalid" }
  | { readonly kind: "unknown_key" };

/** Whose tokens count, and how far its clock may be from ours. */
export interface TokenRules {
  readonly issuer: string;
  readonly skewMs: Milliseconds;
}

/** As OpenKruise's gateway has it. */
export const MAX_TOKEN_CHARACTERS = 65_536;

const PART = /^[A-Za-z0-9_-]+$/;
const INVALID: ReadToken = { kind: "invalid" };

interface Algorithm {
  readonly digest: string | null;
  readonly options: {
    readonly padding?: number;
    readonly saltLength?: number;
    readonly dsaEncoding?: "ieee-p1363";
  };
}

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
const PKCS1 = { padding: constants.RSA_PKCS1_PADDING };
const P1363 = { dsaEncoding: "ieee-p1363" } as const;

/** RFC 7518 3.1 without `none` and secrets: whoever has a public key must not be able to sign with it. */
const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map([
  ["RS256", { digest: "sha256", options: PKCS1 }],
  ["RS384", { digest: "sha384", options: PKCS1 }],
  ["RS512", { digest: "sha512", options: PKCS1 }],
  ["PS256", { digest: "sha256", options: PSS }],
  ["PS384", { digest: "sha384", options: PSS }],
  ["PS512", { digest: "sha512", options: PSS }],
  ["ES256", { digest: "sha256", options: P1363 }],
  ["ES384", { digest: "sha384", options: P1363 }],
  ["ES512", { digest: "sha512", options: P1363 }],
  ["EdDSA", { digest: null, options: {} }],
  ["Ed25519", { digest: null, options: {} }],
]);

/**
 * Verifies a JWT in the compact form of JWS (RFC 7515 7.1, RFC 7519 7.2) as OpenKruise's gateway does (docs/access.md#traffic-tokens):
 * `kid` names the key and the key says which `alg` may be; no extension is understood, so a token with `crit` is refused (RFC 7515
 * 4.1.11). `iss`, `sub`, `exp`, `iat`, `nbf` and the claims of the sandbox must be there. Pure; never throws.
 *
 * Synchronous: a signature takes 0.05 ms (RSA) to 1.5 ms (ES512), once for each token, and no request has to wait. What needs no signature is looked at
 * first, so that a stale token costs little. Times are the caller's to compare again later: {@link isInTime}.
 */
export function readSignedToken(
  token: string,
  keys: VerificationKeys,
  { issuer, skewMs }: TokenRules,
  nowMs: Milliseconds,
): ReadToken {
  if (token.length > MAX_TOKEN_CHARACTERS) return INVALID;
  const [head = "", body = "", signature = "", ...more] = token.split(".", 4);
  if (more.length > 0 || !PART.test(head) || !PART.test(body) || !PART.test(signature)) return INVALID;
  const header = recordOf(head);
  if (header === undefined || header["crit"] !== undefined) return INVALID;
  const { alg, kid } = header;
  const algorithm = typeof alg === "string" ? ALGORITHMS.get(alg) : undefined;
  if (algorithm === undefined || typeof kid !== "string") return INVALID;
  const payload = recordOf(body);
  const claims = payload && claimsOf(payload, issuer);
  if (claims === undefined || !isInTime(claims, skewMs, nowMs)) return INVALID;
  const named = keys.get(kid);
  if (named === undefined) return { kind: "unknown_key" };
  const key = named.find(({ algorithms }) => algorithms.includes(String(alg)))?.key;
  if (key === undefined) return INVALID;
  const data = Buffer.from(`${head}.${body}`, "latin1");
  const bytes = Buffer.from(signature, "base64url");
  try {
    return verify(algorithm.digest, data, { key, ...algorithm.options }, bytes)
      ? { kind: "verified", claims }
      : INVALID;
  } catch {
    return INVALID;
  }
}

/** Whether a token counts at this moment. The skew is forgiven on both sides (RFC 7519 4.1.4 and 4.1.5). */
export function isInTime(
  { notBeforeMs, expiresAtMs }: TrafficClaims,
  skewMs: Milliseconds,
  nowMs: Milliseconds,
): boolean {
  return nowMs < expiresAtMs + skewMs && nowMs >= notBeforeMs - skewMs;
}

function claimsOf(payload: Readonly<Record<string, unknown>>, issuer: string): TrafficClaims | undefined {
  const { iss, sub, exp, nbf, iat, sandbox } = payload;
  if (iss !== issuer || typeof sub !== "string" || sub === "") return undefined;
  if (!isTime(exp) || !isTime(nbf) || !isTime(iat) || !isRecord(sandbox)) return undefined;
  const { sandboxId, sandboxUid } = sandbox;
  if (typeof sandboxId !== "string" || typeof sandboxUid !== "string") return undefined;
  if (sandboxId === "" || sandboxUid === "") return undefined;
  // A token from the future is no better than one that does not count yet.
  return { sandboxId, sandboxUid, notBeforeMs: Math.max(nbf, iat) * 1000, expiresAtMs: exp * 1000 };
}

/** NumericDate (RFC 7519 2). */
function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function recordOf(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
