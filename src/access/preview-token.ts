import { createHmac, timingSafeEqual } from "node:crypto";

/** What a preview link lets its holder do. */
export interface PreviewGrant {
  /** Of the Sandbox object: another one under the same name is another sandbox. */
  readonly uid: string;
  readonly port: number;
  /** Seconds since the epoch. From then on it is void. */
  readonly expiresAtS: number;
  /** Begins with `/` and does not end with one. Absent: every path. */
  readonly pathPrefix?: string | undefined;
  /** In capitals. Absent: every method. */
  readonly methods?: readonly string[] | undefined;
}

/** Longer ones are none: it travels in a URL and in a cookie, of which browsers keep 4,096 bytes. */
export const MAX_PREVIEW_TOKEN_CHARACTERS = 2_048;

const VERSION = "v1";
/** Whatever else is signed with the same key is no preview link. */
const CONTEXT = "lychgate preview link v1\n";
const TOKEN = /^v1\.([A-Za-z0-9_-]{1,2000})\.([A-Za-z0-9_-]{43})$/;
const METHOD = /^[A-Z]{1,32}$/;

/**
 * A preview token: `v1.<grant>.<HMAC-SHA256>`, both in base64url. The sandbox's epoch is signed too, and does not stand in the token:
 * a token of another epoch has a wrong signature.
 *
 * @throws RangeError when the grant is none, or too long to travel.
 */
export function signPreviewToken(grant: PreviewGrant, epoch: string, key: string): string {
  const { uid, port, expiresAtS, pathPrefix, methods } = grant;
  const fields = { u: uid, p: port, e: expiresAtS, x: pathPrefix, m: methods };
  const text = Buffer.from(JSON.stringify(fields)).toString("base64url");
  const token = `${VERSION}.${text}.${macOf(text, epoch, key).toString("base64url")}`;
  if (grantOf(text) === undefined || token.length > MAX_PREVIEW_TOKEN_CHARACTERS) {
    throw new RangeError("the grant can't be written as a preview token");
  }
  return token;
}

/**
 * What a token grants when one of `keys` has signed it for this epoch; else undefined. Whether that has run out, and whom it is for, is
 * the caller's to compare. Never throws.
 */
export function readPreviewToken(
  token: string,
  epoch: string,
  keys: readonly string[],
): PreviewGrant | undefined {
  if (token.length > MAX_PREVIEW_TOKEN_CHARACTERS) return undefined;
  const [, text = "", signature = ""] = TOKEN.exec(token) ?? [];
  if (text === "") return undefined;
  const given = Buffer.from(signature, "base64url");
  // 43 characters spell 32 bytes in four ways.
  if (given.toString("base64url") !== signature) return undefined;
  const isSigned = keys.some((key) => timingSafeEqual(macOf(text, epoch, key), given));
  return isSigned ? grantOf(text) : undefined;
}

function macOf(text: string, epoch: string, key: string): Buffer {
  return createHmac("sha256", key).update(`${CONTEXT}${text}\n${epoch}`).digest();
}

function grantOf(text: string): PreviewGrant | undefined {
  let fields: unknown;
  try {
    fields = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof fields !== "object" || fields === null) return undefined;
  const {
    u: uid,
    p: port,
    e: expiresAtS,
    x: pathPrefix,
    m: methods,
  } = fields as Readonly<Record<string, unknown>>;
  if (typeof uid !== "string" || uid === "" || !isPort(port) || !isTime(expiresAtS)) return undefined;
  if (pathPrefix !== undefined && !(typeof pathPrefix === "string" && isPathPrefix(pathPrefix)))
    return undefined;
  if (methods !== undefined && !(Array.isArray(methods) && methods.length > 0 && methods.every(isMethod)))
    return undefined;
  return {
    uid,
    port,
    expiresAtS,
    ...(pathPrefix !== undefined && { pathPrefix }),
    ...(methods !== undefined && { methods }),
  };
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** Whether this can be a method's name in a grant. */
export function isMethod(value: unknown): value is string {
  return typeof value === "string" && METHOD.test(value);
}

/** Whether this can be the path that a grant is limited to: no other spelling of it may mean another path. */
export function isPathPrefix(text: string): boolean {
  return /^(\/[\w.~!$&'()*+,=:@-]+)+$/.test(text) && isPlainPath(text);
}

/** Whether a path is sure to mean to a pod what its letters say: no `.` or `..`, nothing that decodes to them or to a separator. */
export function isPlainPath(path: string): boolean {
  return !/\/\.{0,2}(\/|$)|\\|;|%(2e|2f|5c|00|25)/i.test(path.replace(/\/$/, ""));
}

/** Whether a grant lets a request with this method and path (without its query) pass. */
export function covers({ pathPrefix, methods }: PreviewGrant, method: string, path: string): boolean {
  if (methods !== undefined && !methods.includes(method) && !(method === "HEAD" && methods.includes("GET"))) {
    return false;
  }
  if (pathPrefix === undefined) return true;
  const isWithin = path === pathPrefix || path.startsWith(`${pathPrefix}/`);
  return isWithin && isPlainPath(path);
}
