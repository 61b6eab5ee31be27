import { MALFORMED_REQUEST, NotAdmitted } from "./admission.ts";

/** Enough for all that is looked for. */
const LOOKED_AT = 256;
const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 0x03;
const UNEXPECTED_PROXY_HEADER =
  "the PROXY protocol is not taken from this address: turn it off in the proxy before it, or name the proxy in client.proxyProtocol";
const REQUEST_LINE_VERSION = /^[^ \r\n]+ [^ \r\n]+ HTTP\/[2-9]\.[0-9]\r\n/;

/** What a client of HTTP/2 sends first (RFC 9113 3.4). */
const HTTP2_PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Whether `bytes` begin as a connection of HTTP/2 does, as far as they go. */
export function isHttp2Preface(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, HTTP2_PREFACE.length);
  return bytes.subarray(0, length).equals(HTTP2_PREFACE.subarray(0, length));
}

/**
 * Names what a client sent in place of a request that can be read, so that whoever set it up sees why it fails: a
 * ClientHello (RFC 8446 5.1), the preface of HTTP/2 (RFC 9113 3.4), the PROXY protocol (its specification, 2.1 and 2.2),
 * a version of HTTP that is not understood (RFC 9110 15.6.6), or something else. `bytes` are from where the request was to
 * begin. Of the signature of the PROXY protocol's version 2 its leading empty lines may have been passed over.
 */
export function nameUnread(bytes: Buffer): NotAdmitted {
  const [first, second = TLS_MAJOR] = bytes;
  if (first === TLS_HANDSHAKE && second === TLS_MAJOR) return new NotAdmitted("tls_on_plain_port");
  const text = bytes.toString("latin1", 0, LOOKED_AT);
  if (text.startsWith("PRI * HTTP/2.0\r\n")) return new NotAdmitted("http2_on_plain_port");
  if (/^(PROXY (TCP[46] |UNKNOWN)|(\r\n)*\0\r\nQUIT\n)/.test(text))
    return new NotAdmitted("proxy_protocol", UNEXPECTED_PROXY_HEADER);
  if (REQUEST_LINE_VERSION.test(text)) return new NotAdmitted("version_not_supported");
  return new NotAdmitted("bad_request", MALFORMED_REQUEST);
}
