import { FORWARDED_PREFIX, HOP_BY_HOP, NOT_IN_TRAILERS, REASON_FIELD, requestRule } from "./field-rules.ts";
import { HTTP_TOKEN } from "../../system/http-token.ts";
import { parseAuthority } from "../target/authority.ts";
import { requestFraming } from "../http1/request-framing.ts";
import { allValues } from "../http1/request-head.ts";
import type { RequestHead } from "../http1/request-head.ts";
import { parseRequestTarget } from "../target/request-target.ts";
/** What a lane knows of a request beside its head. */
export interface RequestForwarding {
  /** The client's IP address in its one spelling (`remoteAddressOf`). */
  readonly clientAddress: string;
  /** How the client speaks to Lychgate. */
  readonly scheme: "http" | "https";
  /** From `requestIdOf`; sent as `X-Request-Id`. */
  readonly requestId: string;
  /** Sent as `Via`, behind those that are there: the version that the request came in, and a pseudonym (RFC 9110 7.6.3). */
  readonly via: string;
  /** What was taken off the begin of the path, told as `X-Forwarded-Prefix`; absent: nothing. */
  readonly prefix?: string | undefined;
  /**
   * True when all clients are proxies that tell the truth: their {@link TOLD_BY_PROXIES} are kept, `X-Forwarded-For` is
   * appended to, and a prefix is put behind theirs. False: what a client sent of them is dropped, since a pod would
   * believe it.
   */
  readonly trustForwarded: boolean;
  /** The Host that the pod gets in place of the client's, which `X-Forwarded-Host` tells; absent: the client's. */
  readonly maskedHost?: string | undefined;
  /** Credentials that the router alone must see. */
  readonly withheld?: Withheld | undefined;
}

/** Fields that must not reach a pod. */
export interface Withheld {
  /** Lower case. */
  readonly fields: ReadonlySet<string>;
  /** The name of a cookie; `""`: none. */
  readonly cookie: string;
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

const NOTHING: ReadonlySet<string> = new Set();
/** What undici and node:http refuse in a value: controls but tab, DEL, and what latin1 can't spell. */
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const NOT_IN_PATH = /[^\x21-\x22\x24-\xff]/;

/**
 * The head to send to the pod for `path` (of a `Target`). Hop-by-hop fields and what `Connection` nominates are
 * removed; all others keep name, order, case and duplicates byte for byte. `TE: trailers` survives, since trailers are
 * passed on. An absolute-form request-target's authority replaces `Host` (RFC 9112 3.2.2). `Max-Forwards` of OPTIONS is
 * counted down (RFC 9110 7.6.2). Then `X-Forwarded-For`, `-Host`, `-Proto`, `-Port`, `-Prefix`, `Via` and `X-Request-Id`
 * are added. The port is that of the Host, else the scheme's, as a front's scheme has it where fronts are trusted.
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
  if (!HTTP_TOKEN.test(method)) return badRequest("the method is not a token");
  if (method === "CONNECT") return badRequest("CONNECT is not supported");
  if (path === "*") return badRequest("the request-target * can't be forwarded; name a path");
  if (!path.startsWith("/") || NOT_IN_PATH.test(path)) return badRequest("the path can't be forwarded");

  const requestTarget = head.target.startsWith("/") ? undefined : parseRequestTarget(method, head.target);
  if (requestTarget?.kind === "malformed") return badRequest(requestTarget.message);
  const authority = requestTarget?.authority;
  const nominated = nominatedBy(rawHeaders);
  const framing = requestFraming(rawHeaders);
  if (framing.kind === "malformed") return badRequest(framing.message);

  const { withheld } = options;
  const headers: string[] = [];
  const kept = new Map<string, string>();
  let host: string | undefined;
  let trailersWanted = false;
  let requestIdKept = false;
  let forwardedFor = "";
  let prefix = "";

  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    if (!HTTP_TOKEN.test(name)) return badRequest("a header name is not a token");
    const lower = name.toLowerCase();
    if (NOT_IN_VALUE.test(value)) return badRequest(`the header ${lower} holds control characters`);
    if (withheld !== undefined) {
      if (withheld.fields.has(lower)) continue;
      if (lower === "cookie" && withheld.cookie !== "" && value.includes(withheld.cookie)) {
        const others = withoutCookie(value, withheld.cookie);
        if (others !== "") headers.push(name, others);
        continue;
      }
    }
    switch (requestRule(lower)) {
      case undefined:
        if (nominated.has(lower)) continue;
        break;
      case "essential":
        break;
      case "hop_by_hop":
      case "lookalike":
        continue;
      case "host":
        if (host !== undefined) return badRequest("the header host must not be repeated");
        // undici asserts that a bracketed Host is closed; RFC 9112 3.2 refuses all that are invalid.
        if (value !== "" && parseAuthority(value) === undefined) return badRequest("the Host is invalid");
        host = value;
        headers.push(name, options.maskedHost ?? authority ?? value);
        continue;
      case "te":
        trailersWanted ||= listItems(value).some((item) => item.split(";")[0]?.trim() === "trailers");
        continue;
      case "request_id":
        if (requestIdKept || value !== options.requestId) continue;
        requestIdKept = true;
        break;
      case "forwarded_for":
        if (options.trustForwarded && value !== "") forwardedFor += `${value}, `;
        continue;
      case "forwarded_prefix":
        if (options.trustForwarded) prefix += withoutSlashes(value);
        continue;
      case "forwarded":
        if (!options.trustForwarded) continue;
        if (!kept.has(lower)) kept.set(lower, value);
        break;
      case "max_forwards":
        if (method !== "OPTIONS" || !/^[0-9]{1,9}$/.test(value)) break;
        headers.push(name, String(Math.max(0, Number(value) - 1)));
        continue;
    }
    headers.push(name, value);
  }
  if (authority !== undefined) {
    if (parseAuthority(authority) === undefined) return badRequest("the Host is invalid");
    if (host === undefined) headers.unshift("Host", options.maskedHost ?? authority);
  }

  const add = (name: string, lower: string, value: string): void => {
    if (value !== "" && !kept.has(lower)) headers.push(name, value);
  };
  const ownHost = authority ?? host ?? "";
  headers.push("X-Forwarded-For", forwardedFor + options.clientAddress);
  add("X-Forwarded-Host", "x-forwarded-host", ownHost);
  add("X-Forwarded-Proto", "x-forwarded-proto", options.scheme);
  const asked = kept.get("x-forwarded-host") ?? ownHost;
  add(
    "X-Forwarded-Port",
    "x-forwarded-port",
    forwardedPort(asked, kept.get("x-forwarded-proto") ?? options.scheme),
  );
  add("X-Forwarded-Prefix", "x-forwarded-prefix", prefix + (options.prefix ?? ""));
  headers.push("Via", options.via);
  if (!requestIdKept) headers.push("X-Request-Id", options.requestId);
  if (trailersWanted) headers.push("TE", "trailers");
  return { kind: "forward", method, path, headers, body: framing.body };
}

/** A prefix without the slashes at its end. */
export function withoutSlashes(prefix: string): string {
  let end = prefix.length;
  while (end > 0 && prefix[end - 1] === "/") end--;
  return prefix.slice(0, end);
}

/** A `Cookie` without the cookies of this name; the others byte for byte. */
function withoutCookie(value: string, name: string): string {
  const isOther = (pair: string): boolean => pair.slice(0, Math.max(0, pair.indexOf("="))).trim() !== name;
  return value.split(";").filter(isOther).join(";").trim();
}

/** The port of the URL that was asked for: that of its Host, else the scheme's. Of lists (several fronts) the first counts. */
export function forwardedPort(host: string, scheme: string): string {
  const port = parseAuthority(firstItem(host))?.port;
  if (port !== undefined) return String(port);
  return /^(https|wss)$/i.test(firstItem(scheme)) ? "443" : "80";
}

function firstItem(list: string): string {
  const comma = list.indexOf(",");
  return (comma === -1 ? list : list.slice(0, comma)).trim();
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
    if (!HTTP_TOKEN.test(name)) return { kind: "invalid", message: "a header name is not a token" };
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
 * authenticate (RFC 9110 6.5.1) and without what can't be written. `routing`: lower-case names of the fields that name
 * sandboxes, for a request's trailers.
 */
export function forwardTrailers(
  rawTrailers: readonly (Buffer | string)[],
  routing: ReadonlySet<string> = NOTHING,
): [string, string][] {
  const trailers: [string, string][] = [];
  for (let i = 0; i + 1 < rawTrailers.length; i += 2) {
    const name = latin1(rawTrailers[i] ?? "");
    const value = latin1(rawTrailers[i + 1] ?? "");
    if (!HTTP_TOKEN.test(name) || NOT_IN_VALUE.test(value)) continue;
    const lower = name.toLowerCase();
    // Who merges trailers may make no difference between `_` and `-` either.
    const meant = lower.replaceAll("_", "-");
    if (routing.has(lower) || routing.has(meant) || mayNotTrail(meant)) continue;
    trailers.push([name, value]);
  }
  return trailers;
}

function mayNotTrail(name: string): boolean {
  return NOT_IN_TRAILERS.has(name) || name.startsWith(FORWARDED_PREFIX);
}

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

function badRequest(message: string): ForwardedRequest {
  return { kind: "bad_request", message };
}
