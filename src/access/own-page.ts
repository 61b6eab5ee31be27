/** What a browser says of the page that a request comes from. */
export interface PageFields {
  /** `Sec-Fetch-Site`. No script can set it. */
  readonly fetchSite: string | undefined;
  readonly origin: string | undefined;
  readonly host: string | undefined;
}

const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Whether a request that a cookie lets in needs {@link isOwnPage}: browsers send the cookie for pages of other sites too, and such a
 * request may change something. A WebSocket is a GET, and its page may read the answers.
 */
export function needsOwnPage(method: string, isUpgrade: boolean): boolean {
  return isUpgrade || !SAFE_METHODS.has(method);
}

/**
 * Whether a request comes from a page of its own sandbox (the same host, or another port of it in `<port>-<id>.<domain>`), from nobody's
 * page (typed by a person), or from one of `origins`. `same-site` is not enough: every sandbox of a domain is that.
 */
export function isOwnPage({ fetchSite, origin, host = "" }: PageFields, origins: readonly string[]): boolean {
  if (origin !== undefined) {
    if (origins.includes(origin)) return true;
    const from = URL.canParse(origin) ? new URL(origin).host : "";
    return from !== "" && isSameSandbox(withoutDefaultPort(from), withoutDefaultPort(host.toLowerCase()));
  }
  return fetchSite === "same-origin" || fetchSite === "none";
}

/** Only `<port>-<id>.<domain>` says for certain that two hosts are one sandbox: a template's `3000-box` is no port of its `box`. */
function isSameSandbox(one: string, other: string): boolean {
  if (one === other) return true;
  const [a, b] = [one, other].map((host) => /^\d{1,5}-(.+)$/.exec(host)?.[1]);
  return a !== undefined && a === b;
}

function withoutDefaultPort(host: string): string {
  return host.replace(/:(80|443)$/, "");
}
