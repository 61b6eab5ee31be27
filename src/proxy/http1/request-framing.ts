import { allValues } from "./request-head.ts";

/** How a request says that its body is framed (RFC 9112 6), or what is wrong with that. */
export type RequestFraming =
  | { readonly kind: "framed"; readonly body: "none" | "length" | "chunked" }
  | { readonly kind: "malformed"; readonly message: string };

const FRAMED = {
  none: { kind: "framed", body: "none" },
  length: { kind: "framed", body: "length" },
  chunked: { kind: "framed", body: "chunked" },
} as const;

/**
 * Reads it strictly: which of two fields frames a message is what request smuggling is about (RFC 9112 6.1, 6.3), so one
 * Content-Length, or one `Transfer-Encoding: chunked`, or none. `isOld`: the request is of HTTP/1.0, which knows no chunks.
 */
export function requestFraming(rawHeaders: readonly string[], isOld = false): RequestFraming {
  const codings = allValues(rawHeaders, "transfer-encoding");
  const lengths = allValues(rawHeaders, "content-length");
  if (codings.length > 0) {
    if (isOld) return malformed("transfer-encoding is not for HTTP/1.0");
    if (codings.length > 1 || codings[0]?.trim().toLowerCase() !== "chunked") {
      return malformed("the only transfer-encoding that is understood is chunked");
    }
    if (lengths.length > 0) return malformed("content-length and transfer-encoding exclude each other");
    return FRAMED.chunked;
  }
  const [length, ...more] = lengths;
  if (length === undefined) return FRAMED.none;
  if (more.length > 0) return malformed("the header content-length must not be repeated");
  // 15 digits are below 2^53, above which undici would write another number than it was given.
  if (!/^[0-9]{1,15}$/.test(length)) return malformed("the content-length is not a length");
  return FRAMED.length;
}

function malformed(message: string): RequestFraming {
  return { kind: "malformed", message };
}
