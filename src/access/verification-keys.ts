import { createPublicKey, type KeyObject } from "node:crypto";

/** A key that verifies signatures, and the `alg` values of JWS that it is for (RFC 7518 3.1, RFC 8037 3.1, RFC 9864). */
export interface VerificationKey {
  readonly key: KeyObject;
  readonly algorithms: readonly string[];
}

/** The keys of an issuer by `kid`; several may share one. */
export type VerificationKeys = ReadonlyMap<string, readonly VerificationKey[]>;

/** More keys than any issuer rotates through. */
const MAX_KEYS = 100;
/** RFC 7518 3.3 and 3.5. */
const MIN_RSA_BITS = 2048;

const RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const BY_CURVE: Readonly<Record<string, readonly string[]>> = {
  "P-256": ["ES256"],
  "P-384": ["ES384"],
  "P-521": ["ES512"],
  Ed25519: ["EdDSA", "Ed25519"],
};

/**
 * The keys of a JWK Set (RFC 7517 5) that may verify a signature here. Others are left out, as RFC 7517 asks: secrets (`oct`), keys
 * without a `kid`, of another `use`, of a kind that is not known or too weak. Pure; never throws. A value that is no JWK Set has no keys.
 */
export function readKeySet(value: unknown): VerificationKeys {
  const keys = new Map<string, VerificationKey[]>();
  const list: unknown = isRecord(value) ? value["keys"] : undefined;
  if (!Array.isArray(list)) return keys;
  for (const jwk of list.slice(0, MAX_KEYS) as unknown[]) {
    if (!isRecord(jwk)) continue;
    const { kid } = jwk;
    const read = typeof kid === "string" && kid !== "" ? readKey(jwk) : undefined;
    if (read === undefined) continue;
    keys.set(kid as string, [...(keys.get(kid as string) ?? []), read]);
  }
  return keys;
}

function readKey(jwk: Readonly<Record<string, unknown>>): VerificationKey | undefined {
  const { kty, crv, alg, use, key_ops: operations } = jwk;
  if (use !== undefined && use !== "sig") return undefined;
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify")))
    return undefined;
  // A private key that lies open signs for everybody.
  if (jwk["d"] !== undefined) return undefined;
  const fitting = kty === "RSA" ? RSA : kty === "EC" || kty === "OKP" ? (BY_CURVE[String(crv)] ?? []) : [];
  const algorithms = alg === undefined ? fitting : fitting.filter((name) => name === alg);
  if (algorithms.length === 0) return undefined;
  try {
    const key = createPublicKey({ format: "jwk", key: jwk });
    const bits = key.asymmetricKeyDetails?.modulusLength;
    return bits !== undefined && bits < MIN_RSA_BITS ? undefined : { key, algorithms };
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
