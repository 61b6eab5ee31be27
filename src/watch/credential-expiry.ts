import type { Milliseconds } from "../system/clock.ts";
import { objectOrEmpty } from "./json-fields.ts";

/**
 * What a refused request's credentials say of their own end, to be put behind the message of a fault: `""`, or
 * `; the token expired on <date>`. Reads the clear parts of a JWT (RFC 7519 4.1.4) and of a certificate, and shows only the date.
 */
export function expiredNote(
  authorization: unknown,
  certExpiresAtMs: Milliseconds | undefined,
  nowMs: Milliseconds,
): string {
  const tokenExpiresAtMs = jwtExpiryMs(authorization);
  let note = "";
  if (tokenExpiresAtMs !== undefined && tokenExpiresAtMs <= nowMs)
    note += `; the token expired on ${dateOf(tokenExpiresAtMs)}`;
  if (certExpiresAtMs !== undefined && certExpiresAtMs <= nowMs)
    note += `; the client certificate expired on ${dateOf(certExpiresAtMs)}`;
  return note;
}

function jwtExpiryMs(authorization: unknown): Milliseconds | undefined {
  if (typeof authorization !== "string") return undefined;
  const payload = /^Bearer [\w-]+\.([\w-]+)\.[\w-]+$/.exec(authorization)?.[1];
  if (payload === undefined) return undefined;
  try {
    const { exp } = objectOrEmpty(JSON.parse(Buffer.from(payload, "base64url").toString()));
    const expiresAtMs = typeof exp === "number" ? exp * 1_000 : Number.NaN;
    return Math.abs(expiresAtMs) <= MAX_DATE_MS ? expiresAtMs : undefined;
  } catch {
    return undefined;
  }
}

/** Beyond it a Date is invalid (ECMA-262, time range). */
const MAX_DATE_MS: Milliseconds = 8.64e15;

function dateOf(ms: Milliseconds): string {
  return new Date(ms).toISOString();
}
