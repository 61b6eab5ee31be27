/** The query parameter of a preview link. */
export const PREVIEW_PARAMETER = "lychgate_token";
/** The request header for programs. */
export const PREVIEW_HEADER = "x-lychgate-token";
/** `__Host-`: browsers take it from this very host alone, over TLS, for all paths (draft-ietf-httpbis-rfc6265bis, 4.1.3.2). */
export const PREVIEW_COOKIE = "__Host-lychgate-preview";

/** More cookies of one name than a browser sends: one of its own jar, and one for the page that embeds it. */
const MAX_COOKIES = 4;

const PARAMETER = `${PREVIEW_PARAMETER}=`;

/** Whether a request-target may have {@link PREVIEW_PARAMETER} in its query. Quick: asked of each request. */
export function mayHavePreviewParameter(target: string): boolean {
  return target.includes(PARAMETER);
}

/**
 * The value of {@link PREVIEW_PARAMETER} and the origin-form target without it, every other byte as it was; undefined without one. Of
 * several the first counts, and all are taken out.
 */
export function takePreviewParameter(
  target: string,
): { readonly token: string; readonly rest: string } | undefined {
  const mark = target.indexOf("?");
  if (mark < 0) return undefined;
  const pairs = target.slice(mark + 1).split("&");
  const own = pairs.find((pair) => pair.startsWith(PARAMETER));
  if (own === undefined) return undefined;
  const others = pairs.filter((pair) => !pair.startsWith(PARAMETER));
  const query = others.length > 0 ? `?${others.join("&")}` : "";
  return { token: own.slice(PARAMETER.length), rest: target.slice(0, mark) + query };
}

/** A target as a `Location` on this very host: `//evil.example` would be another host (RFC 3986 4.2), and so would `/\` to browsers. */
export function locationOf(target: string): string {
  return /^\/[/\\]/.test(target) ? `/.${target}` : target;
}

/** The tokens in `Cookie` fields. */
export function previewCookies(values: readonly string[]): readonly string[] {
  const prefix = `${PREVIEW_COOKIE}=`;
  return values
    .flatMap((value) => value.split(";"))
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(prefix))
    .slice(0, MAX_COOKIES)
    .map((pair) => pair.slice(prefix.length));
}

/**
 * `Set-Cookie` for a token. `SameSite=None` and `Partitioned` so that a page on another site may embed the sandbox (CHIPS): each
 * such site has a cookie of its own. What a foreign page could do with it is refused by `isOwnPage`.
 */
export function setPreviewCookie(token: string, maxAgeS: number): string {
  return `${PREVIEW_COOKIE}=${token}; Path=/; Max-Age=${maxAgeS}; Secure; HttpOnly; SameSite=None; Partitioned`;
}
