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
 * Fields that belong to one connection (RFC 9110 7.6.1), and `Expect`, which the front has answered. The Proxy-*
 * pair is between a client and a forward proxy; a pod must neither ask for nor see such credentials.
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
  "expect",
]);

/** What a client may claim of the hops before us. */
const FORWARDED: ReadonlySet<string> = new Set([
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-port",
]);

/**
 * Not strippable by nominating them in `Connection`: what frames and routes the message, and what a pod relies on.
 * (A client that could strip these could hide from the pod who asks; compare the abuse of `Connection: close,
 * X-Forwarded-For`.) Fields that we add are safe as they are added after the stripping.
 */
const NEVER_NOMINATED: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "authorization",
  "cookie",
  "x-access-token",
  "x-request-id",
  ...FORWARDED,
]);

/** Presence of this field tells that a reply is our own, so no pod may send it. */
const REASON_FIELD = "x-lychgate-reason";

/** Not allowed in trailers: framing, routing, authentication, and controls (RFC 9110 6.5.1). */
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "host",
  "content-length",
  "content-encoding",
  "content-type",
  "content-range",
  "trailer",
  "authorization",
  "cookie",
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
  const nominated = nominatedBy(allValues(rawHeaders, "connection"));

  const headers: string[] = [];
  const forwardedFor: string[] = [];
  const told = new Set<string>();
  let host: string | undefined;
  let contentLength: string | undefined;
  let transferEncoding: string | undefined;
  let trailersWanted = false;

  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    if (!TOKEN.test(name)) return badRequest("a header name is not a token");
    const lower = name.toLowerCase();
    if (NOT_IN_VALUE.test(value)) return badRequest(`the header ${lower} holds control characters`);
    switch (lower) {
      case "host":
        if (host !== undefined) return badRequest("the header host must not be repeated");
        // undici asserts a bracketed Host to be closed; everything else invalid is for RFC 9112 3.2 to refuse.
        if (value !== "" && parseAuthority(value) === undefined) return badRequest("the Host is invalid");
        host = value;
        headers.push(name, authority ?? value);
        continue;
      case "content-length":
        if (contentLength !== undefined) return badRequest("the header content-length must not be repeated");
        // Above 2^53 undici would write the number in another form than it was read.
        if (!/^[0-9]{1,16}$/.test(value) || Number(value) > Number.MAX_SAFE_INTEGER) {
          return badRequest("the content-length is not a length");
        }
        contentLength = value;
        headers.push(name, value);
        continue;
      case "transfer-encoding":
        if (transferEncoding !== undefined || value.trim().toLowerCase() !== "chunked") {
          return badRequest("the only transfer-encoding that is understood is chunked");
        }
        transferEncoding = value;
        continue;
      case "te":
        trailersWanted ||= listItems(value).some((item) => item.split(";")[0]?.trim() === "trailers");
        continue;
      case "trailer":
        // undici sends no request trailers.
        continue;
      case "x-request-id":
        if (value !== options.requestId || told.has(lower)) continue;
        break;
      case "x-forwarded-for":
        if (options.trustForwarded) forwardedFor.push(value);
        continue;
      default:
        if (HOP_BY_HOP.has(lower) || nominated.has(lower)) continue;
        if (FORWARDED.has(lower) && !options.trustForwarded) continue;
    }
    told.add(lower);
    headers.push(name, value);
  }
  if (contentLength !== undefined && transferEncoding !== undefined) {
    return badRequest("content-length and transfer-encoding exclude each other");
  }
  if (authority !== undefined) {
    if (parseAuthority(authority) === undefined) return badRequest("the Host is invalid");
    if (host === undefined) headers.unshift("Host", authority);
  }

  if (trailersWanted) headers.push("TE", "trailers");
  const added: [string, string | undefined][] = [
    ["X-Forwarded-Host", authority ?? host],
    ["X-Forwarded-Proto", options.scheme],
    ["X-Forwarded-Port", options.listenPort?.toString()],
    ["X-Request-Id", options.requestId],
  ];
  headers.push("X-Forwarded-For", [...forwardedFor, plainAddress(options.clientAddress)].join(", "));
  for (const [name, value] of added) {
    if (value && !told.has(name.toLowerCase())) headers.push(name, value);
  }
  const body = transferEncoding !== undefined ? "chunked" : contentLength !== undefined ? "length" : "none";
  return { kind: "forward", method, path, headers, body };
}

/**
 * The response fields that the client may have: hop-by-hop fields, what `Connection` nominates and
 * `x-lychgate-reason` are removed, all others keep name, order, case and duplicates byte for byte (`Trailer` too). A
 * `Content-Length` beside a `Transfer-Encoding` is dropped (RFC 9112 6.3). Takes undici's `controller.rawHeaders`, gives
 * what `ServerResponse.writeHead` takes.
 */
export function forwardResponseHeaders(rawHeaders: readonly (Buffer | string)[]): ForwardedResponse {
  const fields = rawHeaders.map(latin1);
  const nominated = nominatedBy(allValues(fields, "connection"));
  const chunked = allValues(fields, "transfer-encoding").length > 0;
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
      if (chunked) continue;
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

/** The lower-case field names that a message's Connection fields nominate, but for what must not be stripped. */
function nominatedBy(connection: readonly string[]): ReadonlySet<string> {
  const nominated = new Set(connection.flatMap(listItems));
  for (const name of NEVER_NOMINATED) nominated.delete(name);
  return nominated;
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
