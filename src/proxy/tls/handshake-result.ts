/** How a TLS handshake can end: the words of a metric. */
export const HANDSHAKE_RESULTS = [
  /** With a signature of the certificate's key. */
  "full",
  /** By a session ticket, which costs a tenth. */
  "resumed",
  /** The client was too slow (`tls.handshakeTimeoutMs`). */
  "timeout",
  /** It left first. */
  "closed",
  /** Too many were under way (`tls.maxHandshakes`). */
  "evicted",
  /** It spoke no TLS. */
  "plain_text",
  "unsupported_version",
  "no_shared_cipher",
  /** It wants another protocol than those that are offered (ALPN). */
  "no_shared_protocol",
  /** It does not take the router's certificate. */
  "refused_by_client",
  /** With `tls.clientAuth: required`: it has shown none. */
  "client_certificate_missing",
  /** It has shown one that is not good: expired, or not signed by `tls.clientCaFile`. */
  "client_certificate_invalid",
  "other",
] as const;

/** One of {@link HANDSHAKE_RESULTS}. */
export type HandshakeResult = (typeof HANDSHAKE_RESULTS)[number];

/** By the begin of OpenSSL's reason, as Node writes it in an error's code. */
const BY_CODE: readonly (readonly [RegExp, HandshakeResult])[] = [
  [/^ERR_SSL_(UNSUPPORTED_PROTOCOL|WRONG_VERSION_NUMBER|VERSION_TOO_LOW)/, "unsupported_version"],
  [/^ERR_SSL_(NO_SHARED_CIPHER|NO_SUITABLE_)/, "no_shared_cipher"],
  [/^ERR_SSL_NO_APPLICATION_PROTOCOL/, "no_shared_protocol"],
  // What a client says of our certificate (RFC 8446 6.2).
  [/^ERR_SSL_\w*ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|(UNSUPPORTED_)?CERTIFICATE_?\w*)$/, "refused_by_client"],
  [/^ECONNRESET$|^EPIPE$/, "closed"],
];

/** What an error of a handshake comes to, by its `code`. */
export function handshakeResultOf(error: Error): HandshakeResult {
  const code = "code" in error ? String(error.code) : "";
  return BY_CODE.find(([pattern]) => pattern.test(code))?.[1] ?? "other";
}
