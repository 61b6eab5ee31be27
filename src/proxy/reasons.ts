import type { Log } from "../log.ts";

/** What Lychgate says and does for one reason. */
export interface ReasonSpec {
  /** The HTTP status of the reply; for `ok` the pod's own status stands. */
  readonly status: number;
  /** The body, with `<sandbox>` and `<port>` filled in; `<message>` is what the caller says is wrong. */
  readonly message: string;
  /** Sent as `Retry-After` where waiting helps. */
  readonly retryAfterS?: number;
  /** How loudly the operational log should tell it; absent: only the access log does. */
  readonly logLevel?: keyof Log;
}

const REASON_TABLE = {
  ok: { status: 200, message: "" },
  not_ready: { status: 503, message: "sandbox gateway is not ready", retryAfterS: 1 },
  no_sandbox: { status: 404, message: "no sandbox in request" },
  bad_target: { status: 400, message: "<message>" },
  bad_request: { status: 400, message: "<message>" },
  headers_too_large: { status: 431, message: "request header fields too large" },
  request_timeout: { status: 408, message: "request timed out" },
  sandbox_not_found: { status: 502, message: "sandbox not found: <sandbox>" },
  sandbox_id_conflict: { status: 502, message: "healthy sandbox not found: <sandbox>" },
  pod_ip_reassigned: { status: 502, message: "healthy sandbox not found: <sandbox>", retryAfterS: 1 },
  sandbox_paused: { status: 502, message: "healthy sandbox not found: <sandbox>" },
  sandbox_creating: { status: 502, message: "healthy sandbox not found: <sandbox>", retryAfterS: 1 },
  sandbox_dead: { status: 502, message: "healthy sandbox not found: <sandbox>" },
  sandbox_not_running: { status: 502, message: "healthy sandbox not found: <sandbox>" },
  unauthorized: { status: 401, message: "unauthorized: invalid or missing access token" },
  jwt_verifier_not_ready: {
    status: 503,
    message: "service unavailable: traffic access token verifier is not ready",
  },
  upstream_refused: { status: 502, message: "sandbox <sandbox> refused the connection on port <port>" },
  upstream_unreachable: { status: 502, message: "sandbox <sandbox> is unreachable on port <port>" },
  upstream_reset: {
    status: 502,
    message: "sandbox <sandbox> closed the connection on port <port> before it answered",
  },
  upstream_protocol: { status: 502, message: "sandbox <sandbox> sent an invalid response on port <port>" },
  incarnation_ended: { status: 502, message: "sandbox <sandbox> ended while the request was on its way" },
  connect_timeout: { status: 504, message: "connecting to sandbox <sandbox> on port <port> timed out" },
  first_byte_timeout: { status: 504, message: "sandbox <sandbox> did not answer in time on port <port>" },
  upstream_idle_timeout: { status: 504, message: "sandbox <sandbox> fell silent on port <port>" },
  client_closed: { status: 499, message: "client closed the request" },
  draining: { status: 503, message: "sandbox gateway is draining", retryAfterS: 1 },
  overloaded: { status: 503, message: "sandbox gateway is overloaded", retryAfterS: 1 },
  internal_error: { status: 500, message: "internal error" },
} as const satisfies Record<string, ReasonSpec>;

/** The closed list of reasons: the value of `x-lychgate-reason`, the metric label and the access-log field. */
export type Reason = keyof typeof REASON_TABLE;

export const REASONS: Readonly<Record<Reason, ReasonSpec>> = REASON_TABLE;
