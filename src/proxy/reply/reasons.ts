import type { Log } from "../../system/log.ts";

/** What Lychgate says and does for one reason. */
export interface ReasonSpec {
  /** The HTTP status of the reply. Of `ok` the pod's own status stands instead. */
  readonly status: number;
  /**
   * The body of the reply, with `<sandbox>` and `<port>` filled in. `<message>`: the caller says what is wrong. Where
   * the gateway we replace has such a reply, its words are kept (docs/openkruise.md#replies).
   */
  readonly message: string;
  /** The message is a URL, and is sent as `Location` too. */
  readonly locates?: boolean;
  /** Sent as `Retry-After` (seconds) where waiting helps. */
  readonly retryAfterS?: number;
  /** How the operational log should tell it, at a bounded rate. Absent: the access log says enough. */
  readonly logLevel?: keyof Log;
  /** The client's connection ends with the reply: what follows on it may have been read wrongly, or is not HTTP. */
  readonly closes?: boolean;
  /** Sent as `Allow` (RFC 9110 10.2.1). Other methods that are not registered are passed on too. */
  readonly allow?: string;
}

const ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

const TABLE = {
  /** An answer of the pod. */
  ok: { status: 200, message: "" },
  /** The table is not synced. */
  not_ready: { status: 503, message: "sandbox gateway is not ready", retryAfterS: 1 },
  /** Path, headers and Host name no sandbox. */
  no_sandbox: { status: 404, message: "no sandbox in request" },
  /** They name one in a way that can't be meant: port out of range, bad ID, conflicting headers. */
  bad_target: { status: 400, message: "<message>", closes: true },
  /** Malformed HTTP, or a head that can't be passed on. */
  bad_request: { status: 400, message: "<message>", closes: true },
  /** TLS where it is not spoken: a client that was given `https`, or a front that encrypts. */
  tls_on_plain_port: {
    status: 400,
    message: "this port speaks plain HTTP, and what came is TLS",
    logLevel: "info",
    closes: true,
  },
  /** Plain HTTP where TLS is spoken: nearly always an `http://` that should be `https://`. */
  plain_on_tls_port: {
    status: 400,
    message: "this port speaks TLS, and what came is not: use https",
    logLevel: "info",
    closes: true,
  },
  /** Without TLS, where `tls.redirect` sends such requests to `https`. */
  https_redirect: { status: 308, message: "<message>", locates: true },
  /** `tls.clientAuth`: the client has shown no certificate, or one that is not good. */
  client_certificate: { status: 403, message: "<message>", logLevel: "info", closes: true },
  /** HTTP/2 by prior knowledge where it is turned off (`http2.enabled`), or in the middle of a connection of HTTP/1.1. */
  http2_on_plain_port: {
    status: 505,
    message: "this port speaks HTTP/1.1, and what came is HTTP/2",
    logLevel: "info",
    closes: true,
  },
  /** A front sends the PROXY protocol and may not, or does not and must (`client.proxyProtocol`). */
  proxy_protocol: {
    status: 400,
    message: "<message>",
    logLevel: "info",
    closes: true,
  },
  /** HTTP/2 and above. HTTP/1.2 to 1.9 are taken as 1.1. */
  version_not_supported: {
    status: 505,
    message: "the only versions of HTTP that are understood are 1.0 and 1.1",
    closes: true,
  },
  /** HTTP/2 over TLS: the Host is none of the certificate's names (RFC 9110 15.5.20). */
  misdirected_request: {
    status: 421,
    message: "this connection's certificate is not for the host that was asked for",
  },
  /** CONNECT and TRACE. */
  method_not_allowed: {
    status: 405,
    message: "CONNECT and TRACE are not passed on",
    closes: true,
    allow: ALLOW,
  },
  /** OPTIONS with `Max-Forwards: 0`: answered here, as it asks. */
  max_forwards: {
    status: 200,
    message: "answered by the sandbox gateway, since Max-Forwards is 0",
    allow: ALLOW,
  },
  /** Its `Via` says that the request was here before: a pod, or what is taken for one, sends requests back. */
  loop_detected: {
    status: 508,
    message: "the request has passed through this sandbox gateway before",
    logLevel: "warn",
  },
  headers_too_large: { status: 431, message: "request header fields too large" },
  /** The client took too long to send its head. */
  request_timeout: { status: 408, message: "request timeout" },
  /** The client sent its body, or took its answer, more slowly than the least rate (`client.minUploadBytesPerSecond`). */
  client_too_slow: { status: 408, message: "the client is too slow" },
  sandbox_not_found: { status: 502, message: "sandbox not found: <sandbox>" },
  /** Two living objects claim the ID (docs/route-table.md#rule-9). */
  sandbox_id_conflict: { status: 502, message: "healthy sandbox not found: <sandbox>", logLevel: "warn" },
  /** Another sandbox holds the pod's IP, or may (docs/route-table.md#rule-10). */
  pod_ip_reassigned: {
    status: 502,
    message: "healthy sandbox not found: <sandbox>",
    retryAfterS: 1,
    logLevel: "warn",
  },
  /** The sandbox's pod IP is one that no pod can have: special, the router's own, or outside `routes.podCidrs`. */
  pod_ip_not_allowed: { status: 502, message: "healthy sandbox not found: <sandbox>", logLevel: "warn" },
  sandbox_paused: { status: 502, message: "healthy sandbox not found: <sandbox>" },
  /** Nobody could wake it, or it did not run in time (docs/wake.md). */
  wake_failed: { status: 503, message: "sandbox wake failed", retryAfterS: 5 },
  /** It sleeps, and the API server does not answer whoever would wake it. */
  wake_unavailable: {
    status: 503,
    message: "sandbox wake failed: the API server does not answer",
    retryAfterS: 2,
  },
  /** It is just being woken: a browser that opens a page need not wait for that without a word. */
  sandbox_waking: { status: 503, message: "sandbox <sandbox> is waking up", retryAfterS: 2 },
  sandbox_creating: { status: 502, message: "healthy sandbox not found: <sandbox>", retryAfterS: 1 },
  /** A peer pushed that it has ended or moved, or that another has its pod IP, and the API server does not answer. */
  sandbox_in_doubt: { status: 502, message: "healthy sandbox not found: <sandbox>", retryAfterS: 1 },
  sandbox_dead: { status: 502, message: "healthy sandbox not found: <sandbox>" },
  /** `available`, and states that a newer peer may bring. */
  sandbox_not_running: { status: 502, message: "healthy sandbox not found: <sandbox>" },
  /** The client's address is not in `access.allowFrom`. */
  address_not_allowed: { status: 403, message: "requests from this address are not allowed" },
  /** Above `access.maxRequestsPerSecondPerClient` or `…PerSandbox`. */
  rate_limited: { status: 429, message: "too many requests", retryAfterS: 1 },
  /** The port is private (docs/access.md#private-or-open), and nothing in the request opens it. */
  sandbox_private: { status: 401, message: "private: needs a token for port <port>" },
  /** A preview link, its cookie or its header: run out, revoked, or for another sandbox, port, path or method. */
  preview_token_invalid: {
    status: 401,
    message: "the preview link is not valid here: it has expired, was revoked, or is for something else",
  },
  /** A page of another site did more than look, with a cookie that its visitor has for this one. */
  cross_site: { status: 403, message: "this request comes from a page of another site" },
  /** Not refused: the link's token went into a cookie, and the browser goes on to the URL without it. */
  preview_entered: { status: 302, message: "go on to the page" },
  /** The sandbox requires a JWT, and this is none that counts. */
  traffic_token_invalid: { status: 403, message: "forbidden: invalid or missing traffic access token" },
  /** A JWT that counts, for another sandbox. */
  traffic_token_mismatch: {
    status: 403,
    message: "forbidden: traffic access token does not match sandbox",
  },
  unauthorized: { status: 401, message: "unauthorized: invalid or missing access token" },
  /** The sandbox requires a JWT and nothing can verify one: no issuer is set, or its keys were not read yet. */
  jwt_verifier_not_ready: {
    status: 503,
    message: "service unavailable: traffic access token verifier is not ready",
  },
  upstream_refused: { status: 502, message: "sandbox <sandbox> refused the connection on port <port>" },
  /** No route, host unreachable, address not available. */
  upstream_unreachable: {
    status: 502,
    message: "sandbox <sandbox> is unreachable on port <port>",
    retryAfterS: 1,
    logLevel: "warn",
  },
  /** The pod closed the connection before a response began. */
  upstream_reset: {
    status: 502,
    message: "sandbox <sandbox> closed the connection on port <port> before it responded",
  },
  /** What the pod sent is not HTTP, or can't be passed on. */
  upstream_protocol: { status: 502, message: "sandbox <sandbox> sent an invalid response on port <port>" },
  /** The sandbox died, paused or moved while the request was on its way to it. */
  incarnation_ended: {
    status: 502,
    message: "sandbox <sandbox> ended while the request was on its way",
    retryAfterS: 1,
  },
  connect_timeout: {
    status: 504,
    message: "timed out connecting to sandbox <sandbox> on port <port>",
    logLevel: "warn",
  },
  first_byte_timeout: {
    status: 504,
    message: "timed out waiting for sandbox <sandbox> to respond on port <port>",
  },
  /** Nothing moved either way for too long; after the response began it is cut instead. */
  upstream_idle_timeout: {
    status: 504,
    message: "sandbox <sandbox> sent nothing for too long on port <port>",
  },
  /** The client left first. For logs and metrics: nobody is there to read the reply. */
  client_closed: { status: 499, message: "client closed the request" },
  draining: { status: 503, message: "sandbox gateway is shutting down", retryAfterS: 1 },
  /** A limit on connections or requests is reached. */
  overloaded: { status: 503, message: "sandbox gateway is overloaded", retryAfterS: 1, logLevel: "warn" },
  /** A fault of our own. */
  internal_error: { status: 500, message: "internal error", logLevel: "error" },
} as const satisfies Record<string, ReasonSpec>;

/** One of {@link REASONS}. */
export type Reason = keyof typeof TABLE;

/** A reason for a reply of our own. */
export type RefusalReason = Exclude<Reason, "ok">;

/**
 * The closed list of what a request can come to: the value of `x-lychgate-reason` (on replies of our own), the metric
 * label and the access-log field. Codes are stable: clients and dashboards may lean on them.
 */
export const REASONS: Readonly<Record<Reason, ReasonSpec>> = TABLE;
