import type { Reason } from "../reply/reasons.ts";

/** What can go wrong on a request's way to a pod and back, once its verdict is to forward it. */
export type UpstreamFailure = Extract<
  Reason,
  | "upstream_refused"
  | "upstream_unreachable"
  | "upstream_reset"
  | "upstream_protocol"
  | "upstream_idle_timeout"
  | "incarnation_ended"
  | "connect_timeout"
  | "first_byte_timeout"
  | "request_timeout"
  | "client_too_slow"
  | "overloaded"
  | "internal_error"
>;

/** A failure on the way to a pod and back. `code` is stable and is the reason that the client is told. */
export class UpstreamError extends Error {
  readonly code: UpstreamFailure;

  constructor(code: UpstreamFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "UpstreamError";
    this.code = code;
  }
}

/** Whom an exchange waited for in vain. */
const TIMEOUTS = {
  slow_request: ["client_too_slow", "the client sends its request too slowly"],
  slow_reader: ["client_too_slow", "the client reads its answer too slowly"],
  silent_client: ["request_timeout", "the client stalled"],
  first_byte: ["first_byte_timeout", "the pod did not answer in time"],
  silent_pod: ["upstream_idle_timeout", "the pod fell silent"],
} as const;

/** The failure of an exchange that waited for too long. */
export function timedOut(what: keyof typeof TIMEOUTS): UpstreamError {
  const [code, message] = TIMEOUTS[what];
  return new UpstreamError(code, message);
}

const UNREACHABLE = new Set([
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "ENETDOWN",
  "EADDRNOTAVAIL",
  "EACCES",
]);
const OUT_OF_FILES = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** The failure that an error of `connect(2)` stands for. */
export function connectFailure(error: unknown): UpstreamFailure {
  const code = codeOf(error);
  if (code === "ECONNREFUSED") return "upstream_refused";
  if (code === "ETIMEDOUT") return "connect_timeout";
  if (OUT_OF_FILES.has(code)) return "overloaded";
  if (code === "ECONNRESET" || code === "EPIPE") return "upstream_reset";
  return "upstream_unreachable";
}

/**
 * The failure that an error of an established connection stands for. `undici` errors are told apart by their
 * codes (https://undici.nodejs.org/#/docs/api/Errors); `bad response` and `bad upgrade` share a code with a closed socket,
 * so the message decides.
 */
export function exchangeFailure(error: unknown): UpstreamFailure {
  if (error instanceof UpstreamError) return error.code;
  const code = codeOf(error);
  if (code === "UND_ERR_SOCKET" && error instanceof Error && error.message.startsWith("bad ")) {
    return "upstream_protocol";
  }
  if (code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE" || code === "ETIMEDOUT") {
    return "upstream_reset";
  }
  // By name: the code that undici means to give it is undefined. node:http's client has HPE_ codes.
  if ((error instanceof Error && error.name === "HTTPParserError") || code.startsWith("HPE_"))
    return "upstream_protocol";
  if (code.startsWith("UND_ERR_RES_") || code === "UND_ERR_HEADERS_OVERFLOW") {
    return "upstream_protocol";
  }
  if (UNREACHABLE.has(code)) return "upstream_unreachable";
  return "internal_error";
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : "";
}
