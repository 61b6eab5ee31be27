import { allValues } from "../http1/request-head.ts";
import type { RequestHead } from "../http1/request-head.ts";
import { parseAuthority } from "../target/authority.ts";
import { parseRequestTarget } from "../target/request-target.ts";

const HTTPS_PORT = 443;

/**
 * The `https` URL of what a request asks for, at `port`. `undefined` when there is none to send a client to: without a Host that can
 * be read, for `*`, and for a request that came to a trusted front by `https` already (`X-Forwarded-Proto`), which would
 * come back for ever. Pure.
 */
export function httpsLocation(head: RequestHead, port: number, trustForwarded: boolean): string | undefined {
  const { method, target, rawHeaders } = head;
  if (trustForwarded) {
    const [scheme = ""] = (allValues(rawHeaders, "x-forwarded-proto")[0] ?? "").split(",");
    if (/^(https|wss)$/i.test(scheme.trim())) return undefined;
  }
  const asked = parseRequestTarget(method, target);
  if (asked.kind === "malformed" || !asked.path.startsWith("/")) return undefined;
  const authority = parseAuthority(asked.authority ?? allValues(rawHeaders, "host")[0] ?? "");
  if (authority === undefined) return undefined;
  const host = authority.host.includes(":") ? `[${authority.host}]` : authority.host;
  return `https://${host}${port === HTTPS_PORT ? "" : `:${port}`}${asked.path}`;
}
