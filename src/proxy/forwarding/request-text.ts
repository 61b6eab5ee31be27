import type { HeadScan } from "../http1/head-scan.ts";
import { forwardedPort, withoutSlashes } from "./forwarding.ts";
import type { ForwardedRequest } from "./forwarding.ts";
import { NOTE } from "./request-fields.ts";

/** What is added to the plain requests of one connection to one Host. */
export interface AddedFields {
  /** The client's IP address. */
  readonly clientAddress: string;
  /** How the client speaks to Lychgate. */
  readonly scheme: "http" | "https";
  /** `""`: the request has none. */
  readonly host: string;
  /** See `RequestForwarding.via`. */
  readonly via: string;
  /** The fields for a client that said nothing of the kind itself, but `X-Request-Id`. */
  readonly fields: string;
}

/** `ofHost`: {@link hostFields} for this Host, if they are known. */
export function addedFields(
  clientAddress: string,
  scheme: AddedFields["scheme"],
  host: string,
  via: string,
  ofHost: string = hostFields(host, via, scheme),
): AddedFields {
  return { clientAddress, scheme, host, via, fields: `X-Forwarded-For: ${clientAddress}\r\n${ofHost}` };
}

/** The fields that `forwardRequestHead` adds to any request with this Host whose client said nothing of the kind itself. */
export function hostFields(host: string, via: string, scheme: AddedFields["scheme"]): string {
  return (
    (host === "" ? "" : `X-Forwarded-Host: ${host}\r\n`) +
    `X-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Port: ${forwardedPort(host, scheme)}\r\nVia: ${via}\r\n`
  );
}

/**
 * A plain request's head as the pod gets it: byte for byte but for lines that are cut, and with what is added at its end.
 * `text` is the head, which began at `start` for `scan`; the fields were scanned by the rules of `requestFields`.
 */
export function plainRequestHead(
  text: string,
  start: number,
  scan: HeadScan,
  added: AddedFields,
  requestId: string,
): string {
  const { cuts, cutCount } = scan;
  let kept = "";
  let from = 0;
  for (let i = 0; i < cutCount; i += 2) {
    const to = (cuts[i] ?? 0) - start;
    if (to > from) kept += text.slice(from, to);
    from = (cuts[i + 1] ?? 0) - start;
  }
  const forwarded =
    (scan.seen & FORWARDED_NOTES) === 0 ? added.fields : trustedFields(text, start, scan, added);
  // The last CRLF is the empty line.
  const rest = kept === "" ? text.slice(from, -2) : kept + text.slice(from, -2);
  const end = scan.has(NOTE.te) ? "TE: trailers\r\n\r\n" : "\r\n";
  return scan.has(NOTE.requestId)
    ? rest + forwarded + end
    : `${rest}${forwarded}X-Request-Id: ${requestId}\r\n${end}`;
}

/** Fields that proxies in front of us have sent, which are trusted: else they would not be noted. */
const FORWARDED_NOTES =
  (1 << NOTE.forwardedFor) |
  (1 << NOTE.forwardedHost) |
  (1 << NOTE.forwardedProto) |
  (1 << NOTE.forwardedPort) |
  (1 << NOTE.forwardedPrefix);

/** What is added to what trusted proxies have said. */
function trustedFields(
  text: string,
  start: number,
  scan: HeadScan,
  { clientAddress, scheme, host, via }: AddedFields,
): string {
  const before = scan.valueOf(NOTE.forwardedFor, text, start) ?? "";
  const forwardedHost = scan.valueOf(NOTE.forwardedHost, text, start);
  const proto = scan.valueOf(NOTE.forwardedProto, text, start);
  let fields = `X-Forwarded-For: ${before}${before === "" ? "" : ", "}${clientAddress}\r\n`;
  if (forwardedHost === undefined && host !== "") fields += `X-Forwarded-Host: ${host}\r\n`;
  if (proto === undefined) fields += `X-Forwarded-Proto: ${scheme}\r\n`;
  if (!scan.has(NOTE.forwardedPort)) {
    fields += `X-Forwarded-Port: ${forwardedPort(forwardedHost ?? host, proto ?? scheme)}\r\n`;
  }
  const prefix = withoutSlashes(scan.valueOf(NOTE.forwardedPrefix, text, start) ?? "");
  if (prefix !== "") fields += `X-Forwarded-Prefix: ${prefix}\r\n`;
  return `${fields}Via: ${via}\r\n`;
}

/** Any request's head as the pod gets it. `authority` is the pod's, for a request that has no Host. */
export function orderedRequestHead(
  { method, path, headers, body }: Extract<ForwardedRequest, { kind: "forward" }>,
  authority: string,
): string {
  let text = `${method} ${path} HTTP/1.1\r\n`;
  let hasHost = false;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    hasHost ||= name.length === 4 && name.toLowerCase() === "host";
    text += `${name}: ${headers[i + 1]}\r\n`;
  }
  if (!hasHost) text += `Host: ${authority}\r\n`;
  if (body === "chunked") text += "Transfer-Encoding: chunked\r\n";
  return `${text}\r\n`;
}
