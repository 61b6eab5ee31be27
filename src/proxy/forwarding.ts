import { parseAuthority } from "./authority.ts";
import { allValues } from "./request-head.ts";
import type { RequestHead } from "./request-head.ts";
import { parseRequestTarget } from "./request-target.ts";

/** What a lane knows of a request beside its head. */
export interface RequestForwarding {
  /** The peer's IP address as the socket tells it. An IPv4-mapped IPv6 address is written as IPv4. */
  readonly clientAddress: string;
  /** How the client speaks to Lychgate. */
  readonly scheme: "http" | "https";
  /** The port that the client connected to, told as `X-Forwarded-Port`; absent: not told. */
  readonly listenPort?: number | undefined;
  /** From `requestIdOf`; sent as `X-Request-Id`. */
  readonly requestId: string;
  /**
   * True when all clients are proxies that tell the truth: their `X-Forwarded-*` and `Forwarded` are kept, and
   * `X-Forwarded-For` is appended to. False: what a client sent of them is dropped, since a pod would believe it.
   */
  readonly trustForwarded: boolean;
}

/** A head that undici is sure to accept, or what is wrong with it (reason `bad_request`). */
export type ForwardedRequest =
  | {
      readonly kind: "forward";
      readonly method: string;
      readonly path: string;
      /** Flat `name, value, …` for undici's `dispatch`. */
      readonly headers: string[];
      /** How the body is framed. `none`: give undici `null`; else the stream. */
      readonly body: "none" | "length" | "chunked";
    }
  | { readonly kind: "bad_request"; readonly message: string };

/** A pod's response fields as the client may have them, or what is wrong with them (reason `upstream_protocol`). */
export type ForwardedResponse =
  | { readonly kind: "forward"; readonly headers: string[] }
  | { readonly kind: "invalid"; readonly message: string };

/**
 * Fields that belong to one connection (RFC 9110 7.6.1). The Proxy-* pair is between a client and a forward proxy: a
 * pod must neither ask for nor see such credentials.
 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  "proxy-authenticate",
  "proxy-authorization",
]);

type RequestRule =
  | "hop-by-hop"
  | "host"
  | "content-length"
  | "transfer-encoding"
  | "te"
  | "request-id"
  | "forwarded-for"
  | "forwarded"
  /** Can't be stripped by nominating it in `Connection`, or a client could hide from the pod who asks. */
  | "essential";

/** What is done with a request's field, by lower-case name; all others pass unless `Connection` nominates them. */
const REQUEST_RULES: ReadonlyMap<string, RequestRule> = new Map<string, RequestRule>([
  ...[...HOP_BY_HOP].map((name) => [name, "hop-by-hop"] as const),
  // The front has answered it, and undici refuses it.
  ["expect", "hop-by-hop"],
  ["host", "host"],
  ["content-length", "content-length"],
  ["transfer-encoding", "transfer-encoding"],
  ["te", "te"],
  ["x-request-id", "request-id"],
  ["x-forwarded-for", "forwarded-for"],
  ["x-forwarded-host", "forwarded"],
  ["x-forwarded-proto", "forwarded"],
  ["x-forwarded-port", "forwarded"],
  ["forwarded", "forwarded"],
  ["authorization", "essential"],
  ["cookie", "essential"],
  ["x-access-token", "essential"],
]);

/** Lower-case names of the request fields that {@link forwardRequestHead} may not pass on as they are. */
export const REQUEST_FIELDS: readonly string[] = [...REQUEST_RULES]
  .filter(([, rule]) => rule !== "essential")
  .map(([name]) => name);

/** Presence of this field tells that a reply is our own, so no pod may send it. */
const REASON_FIELD = "x-lychgate-reason";

/** Lower-case names of the response fields that {@link forwardResponseHeaders} may not pass on as they are. */
export const RESPONSE_FIELDS: readonly string[] = [...HOP_BY_HOP, REASON_FIELD];

/**
 * Not allowed in trailers: what frames, routes, authenticates or controls (RFC 9110 6.5.1), and whatever a request's
 * header has a rule for, since a server that merges trailers into the header would let a client undo the rule.
 */
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  ...REQUEST_RULES.keys(),
  "content-encoding",
  "content-type",
  "content-range",
  "trailer",
  "set-cookie",
  "cache-control",
  "max-forwards",
  "www-authenticate",
  REASON_FIELD,
]);

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What undici and node:http refuse in a value: controls but tab, DEL, and what latin1 can't spell. */
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const NOT_IN_PATH = /[^\x21-\x22\x24-\xff]/;

/**
 * The head to send to the pod for `path` (of a `Target`). Hop-by-hop fields and what `Connection` nominates are
 * removed; all others keep name, order, case and duplicates byte for byte. `TE: trailers` survives, since trailers are
 * passed on. An absolute-form request-target's authority replaces `Host` (RFC 9112 3.2.2). Then `X-Forwarded-For`,
 * `-Host`, `-Proto`, `-Port` and `X-Request-Id` are added.
 *
 * Whatever undici's `dispatch` would refuse is a `bad_request` here. That matters beyond the request itself: a refusal
 * inside undici leaves a bounded pool waiting for a `drain` that never comes, and the sandbox is unreachable for good.
 * Of `*` (OPTIONS) and CONNECT undici can send neither.
 */
export function forwardRequestHead(
  head: RequestHead,
  path: string,
  options: RequestForwarding,
): ForwardedRequest {
  const { method, rawHeaders } = head;
  if (!TOKEN.test(method)) return badRequest("the method is not a token");
  if (method === "CONNECT") return badRequest("CONNECT is not supported");
  if (path === "*") return badRequest("the request-target * can't be forwarded; name a path");
  if (!path.startsWith("/") || NOT_IN_PATH.test(path)) return badRequest("the path can't be forwarded");

  const requestTarget = head.target.startsWith("/") ? undefined : parseRequestTarget(method, head.target);
  if (requestTarget?.kind === "malformed") return badRequest(requestTarget.message);
  const authority = requestTarget?.authority;
  const nominated = nominatedBy(rawHeaders);

  const headers: string[] = [];
  const keptForwarded = new Set<string>();
  let host: string | undefined;
  let contentLength: string | undefined;
  let chunked = false;
  let trailersWanted = false;
  let requestIdKept = false;
  let forwardedFor = "";

  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    if (!TOKEN.test(name)) return badRequest("a header name is not a token");
    const lower = name.toLowerCase();
    if (NOT_IN_VALUE.test(value)) return badRequest(`the header ${lower} holds control characters`);
    switch (REQUEST_RULES.get(lower)) {
      case undefined:
        if (nominated.has(lower)) continue;
        break;
      case "essential":
        break;
      case "hop-by-hop":
        continue;
      case "host":
        if (host !== undefined) return badRequest("the header host must not be repeated");
        // undici asserts that a bracketed Host is closed; RFC 9112 3.2 refuses all that are invalid.
        if (value !== "" && parseAuthority(value) === undefined) return badRequest("the Host is invalid");
        host = value;
        headers.push(name, authority ?? value);
        continue;
      case "content-length":
        if (contentLength !== undefined) return badRequest("the header content-length must not be repeated");
        // Above 2^53 undici would write another number than it was given.
        if (!/^[0-9]{1,16}$/.test(value) || Number(value) > Number.MAX_SAFE_INTEGER) {
          return badRequest("the content-length is not a length");
        }
        contentLength = value;
        break;
      case "transfer-encoding":
        if (chunked || value.trim().toLowerCase() !== "chunked") {
          return badRequest("the only transfer-encoding that is understood is chunked");
        }
        chunked = true;
        continue;
      case "te":
        trailersWanted ||= listItems(value).some((item) => item.split(";")[0]?.trim() === "trailers");
        continue;
      case "request-id":
        if (requestIdKept || value !== options.requestId) continue;
        requestIdKept = true;
        break;
      case "forwarded-for":
        if (options.trustForwarded && value !== "") forwardedFor += `${value}, `;
        continue;
      case "forwarded":
        if (!options.trustForwarded) continue;
        keptForwarded.add(lower);
        break;
    }
    headers.push(name, value);
  }
  if (contentLength !== undefined && chunked) {
    return badRequest("content-length and transfer-encoding exclude each other");
  }
  if (authority !== undefined) {
    if (parseAuthority(authority) === undefined) return badRequest("the Host is invalid");
    if (host === undefined) headers.unshift("Host", authority);
  }

  const add = (name: string, lower: string, value: string | undefined): void => {
    if (value && !keptForwarded.has(lower)) headers.push(name, value);
  };
  headers.push("X-Forwarded-For", forwardedFor + plainAddress(options.clientAddress));
  add("X-Forwarded-Host", "x-forwarded-host", authority ?? host);
  add("X-Forwarded-Proto", "x-forwarded-proto", options.scheme);
  add("X-Forwarded-Port", "x-forwarded-port", options.listenPort?.toString());
  if (!requestIdKept) headers.push("X-Request-Id", options.requestId);
  if (trailersWanted) headers.push("TE", "trailers");
  const body = chunked ? "chunked" : contentLength === undefined ? "none" : "length";
  return { kind: "forward", method, path, headers, body };
}

/**
 * The response fields that the client may have: hop-by-hop fields, what `Connection` nominates and
 * `x-lychgate-reason` are removed, all others keep name, order, case and duplicates byte for byte (`Trailer` too). A
 * `Content-Length` beside a `Transfer-Encoding` is dropped (RFC 9112 6.3), and so is that of a 1xx or 204, which has no
 * body (RFC 9110 8.6): who believes it takes the next response for one. A transfer coding other than `chunked` is
 * invalid: nobody asked for it, and without its name the client could not undo it. Takes undici's
 * `controller.rawHeaders`, gives what `ServerResponse.writeHead` takes.
 */
export function forwardResponseHeaders(
  rawHeaders: readonly (Buffer | string)[],
  status: number,
): ForwardedResponse {
  const fields = rawHeaders.map(latin1);
  const nominated = nominatedBy(fields);
  const codings = allValues(fields, "transfer-encoding");
  const chunked = codings.length > 0;
  if (chunked && (codings.length > 1 || codings[0]?.trim().toLowerCase() !== "chunked")) {
    return { kind: "invalid", message: "the only transfer-encoding that is understood is chunked" };
  }
  const isBodiless = status < 200 || status === 204;
  const headers: string[] = [];
  let contentLength: string | undefined;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (!TOKEN.test(name)) return { kind: "invalid", message: "a header name is not a token" };
    const lower = name.toLowerCase();
    if (NOT_IN_VALUE.test(value)) {
      return { kind: "invalid", message: `the header ${lower} holds control characters` };
    }
    if (lower === "content-length") {
      // A pod may not strip it by nominating it either: it frames the message.
      if (chunked || isBodiless) continue;
      if (!/^[0-9]+$/.test(value) || (contentLength !== undefined && contentLength !== value)) {
        return { kind: "invalid", message: "the content-length is not a length" };
      }
      if (contentLength !== undefined) continue;
      contentLength = value;
    } else if (HOP_BY_HOP.has(lower) || nominated.has(lower) || lower === REASON_FIELD) {
      continue;
    }
    headers.push(name, value);
  }
  return { kind: "forward", headers };
}

/**
 * The trailers that may be passed on, as pairs for `ServerResponse.addTrailers`: without fields that frame, route or
 * authenticate (RFC 9110 6.5.1) and without what can't be written.
 */
export function forwardTrailers(rawTrailers: readonly (Buffer | string)[]): [string, string][] {
  const trailers: [string, string][] = [];
  for (let i = 0; i + 1 < rawTrailers.length; i += 2) {
    const name = latin1(rawTrailers[i] ?? "");
    const value = latin1(rawTrailers[i + 1] ?? "");
    if (!TOKEN.test(name) || NOT_IN_VALUE.test(value) || NOT_IN_TRAILERS.has(name.toLowerCase())) continue;
    trailers.push([name, value]);
  }
  return trailers;
}

const NOTHING: ReadonlySet<string> = new Set();

/** The lower-case field names that a message's Connection fields nominate. */
function nominatedBy(rawHeaders: readonly string[]): ReadonlySet<string> {
  const fields = allValues(rawHeaders, "connection");
  // By far the most requests: nothing but how to end the connection.
  if (fields.length === 0 || (fields.length === 1 && /^(keep-alive|close)$/i.test(fields[0] ?? "")))
    return NOTHING;
  return new Set(fields.flatMap(listItems));
}

function listItems(value: string): string[] {
  return value.split(",").map((item) => item.trim().toLowerCase());
}

function latin1(bytes: Buffer | string): string {
  return typeof bytes === "string" ? bytes : bytes.toString("latin1");
}

function plainAddress(address: string): string {
  return address.toLowerCase().startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

function badRequest(message: string): ForwardedRequest {
  return { kind: "bad_request", message };
}
