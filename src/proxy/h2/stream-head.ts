import { MALFORMED_REQUEST, NotAdmitted } from "../passage/admission.ts";
import type { RequestHead } from "../http1/request-head.ts";

/** What the HEADERS of a stream say. */
export interface StreamHead {
  /** The request as every lane knows it: a `Host` first, and no pseudo-header fields. Of an extended CONNECT a GET. */
  readonly head: RequestHead;
  /** Why it goes nowhere; absent: nothing is wrong so far. */
  readonly fault: NotAdmitted | undefined;
  /** It asks for a WebSocket (RFC 8441). */
  readonly isWebSocket: boolean;
  /** The client waits for a 100 before it sends its body. */
  readonly expectsContinue: boolean;
  /** Of `Content-Length`; -1 without one. */
  readonly contentLength: number;
}

/** Of HTTP/1.1, and about one connection: malformed here (RFC 9113 8.2.2). */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);
/** What RFC 8441 has in place of these two. */
const WEBSOCKET_KEYS: ReadonlySet<string> = new Set(["sec-websocket-key", "sec-websocket-accept"]);

/**
 * Reads the fields of a stream (RFC 9113 8.3) into the head that every lane works with. `rawFields` are flat, as nghttp2
 * passed them: pseudo-header fields first, each at most once, names in lower case. What can be read in two ways is a fault:
 *
 * - `:authority` and `Host` must say the same, but for case. The first alone, or the second alone, is the Host.
 * - `:path` is a path, or `*`: an absolute URL would bring an authority of its own.
 * - Fields about the connection, and `TE` but for `trailers`, are faults (8.2.2).
 * - Cookies that were sent in pieces are one again (8.2.3).
 */
export function readStreamHead(rawFields: readonly string[]): StreamHead {
  let method = "";
  let path = "";
  let scheme = "";
  let authority: string | undefined;
  let protocol: string | undefined;
  let host: string | undefined;
  let cookieAt = -1;
  let contentLength = -1;
  let expectsContinue = false;
  let wrong: string | undefined;
  const fields: string[] = ["Host", ""];
  for (let i = 0; i + 1 < rawFields.length; i += 2) {
    const name = rawFields[i] ?? "";
    const value = rawFields[i + 1] ?? "";
    switch (name) {
      case ":method":
        method = value;
        continue;
      case ":path":
        path = value;
        continue;
      case ":scheme":
        scheme = value;
        continue;
      case ":authority":
        authority = value;
        continue;
      case ":protocol":
        protocol = value;
        continue;
      case "host":
        if (host !== undefined) wrong ??= "the header host must not be repeated";
        host = value;
        continue;
      case "cookie":
        if (cookieAt >= 0) {
          fields[cookieAt] += `; ${value}`;
          continue;
        }
        cookieAt = fields.length + 1;
        break;
      case "te":
        if (value.toLowerCase() !== "trailers") wrong ??= "the header te may say trailers, and nothing else";
        break;
      case "expect":
        expectsContinue ||= value.toLowerCase() === "100-continue";
        break;
      case "content-length":
        contentLength = /^[0-9]{1,15}$/.test(value) ? Number(value) : -1;
        break;
      default:
        if (name.startsWith(":")) wrong ??= MALFORMED_REQUEST;
        else if (CONNECTION_SPECIFIC.has(name)) wrong ??= `the header ${name} is not for HTTP/2`;
    }
    if (protocol === undefined || !WEBSOCKET_KEYS.has(name)) fields.push(name, value);
  }
  const named = authority ?? host;
  if (named === undefined) fields.splice(0, 2);
  else fields[1] = named;
  if (authority !== undefined && host !== undefined && authority.toLowerCase() !== host.toLowerCase()) {
    wrong ??= "the header host and :authority must not differ";
  }
  const isWebSocket = method === "CONNECT" && protocol?.toLowerCase() === "websocket";
  const isConnect = method === "CONNECT" && !isWebSocket;
  if (protocol !== undefined && method !== "CONNECT") wrong ??= "the field :protocol is for CONNECT";
  if (!isConnect) {
    if (!path.startsWith("/") && !(path === "*" && method === "OPTIONS")) {
      wrong ??= "the field :path must begin with /";
    }
    if (!/^https?$/i.test(scheme)) wrong ??= "the field :scheme must be http or https";
  }
  const fault =
    wrong !== undefined
      ? new NotAdmitted("bad_request", wrong)
      : isConnect
        ? new NotAdmitted("method_not_allowed")
        : undefined;
  return {
    head: { method: isWebSocket ? "GET" : method, target: path, rawHeaders: fields, isStream: true },
    fault,
    isWebSocket,
    expectsContinue,
    contentLength,
  };
}
