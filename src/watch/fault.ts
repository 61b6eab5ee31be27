import { messageOf } from "../system/error-text.ts";
import type { Milliseconds } from "../system/clock.ts";
import { isJsonObject, stringOrEmpty } from "./json-fields.ts";

/**
 * Everything that can go wrong between a reflector and the API server, and what is done about it. A closed list:
 * these words are metric labels. "Wait" alone doubles with each failure; "wait a second" does not.
 *
 * | kind | what happened | what follows |
 * |---|---|---|
 * | `closed` | the server ended the watch in good order | the watch is opened again at once |
 * | `expired` | 410: the version, or the continue token, is too old | a new list, the first at once |
 * | `throttled` | 429 | wait a second, at least `Retry-After` |
 * | `unavailable` | 503 | wait a second, at least `Retry-After`, or until the server's `/readyz` turns to yes |
 * | `server_error` | another 5xx, an unexpected status, or an ERROR event | wait; a new list after a few |
 * | `unauthorized` | 401 | credentials are read again, once at once, then with waits |
 * | `forbidden` | 403 | wait |
 * | `not_found` | 404: the CRD is not installed | wait; a new list after a few |
 * | `conflict` | 409: a patch was for another version | it is read again |
 * | `bad_request` | 400, 422: the selector | wait; a new list after a few |
 * | `unreachable` | no connection, or lost before an answer (DNS, refused, TLS) | wait a second |
 * | `reset` | the answer was cut | wait; a new list after a few without progress |
 * | `stalled` | no bytes for too long | a watch is opened again at once, a list after a wait |
 * | `protocol` | the answer is not what Kubernetes sends | wait; a new list after a few |
 * | `oversized` | an event or a page above the limit | wait; a new list, with smaller pages |
 * | `behind` | the server is at a version below the watermark | a new list, the first at once; after a few, start over |
 * | `credentials` | the credentials could not be read | wait |
 * | `internal` | the sink threw on a list, or a bug of the reflector | wait |
 */
export const FAULT_KINDS = [
  "closed",
  "expired",
  "throttled",
  "unavailable",
  "server_error",
  "unauthorized",
  "forbidden",
  "not_found",
  "conflict",
  "bad_request",
  "unreachable",
  "reset",
  "stalled",
  "protocol",
  "oversized",
  "behind",
  "credentials",
  "internal",
] as const;

/** One of {@link FAULT_KINDS}. */
export type FaultKind = (typeof FAULT_KINDS)[number];

/** The one error of this folder's network side. Its message holds no token. */
export class ApiFault extends Error {
  override readonly name = "ApiFault";
  readonly code: FaultKind;
  /** How long the server asked to be left alone (`Retry-After`), if it did. */
  readonly retryAfterMs: Milliseconds | undefined;

  constructor(
    code: FaultKind,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: Milliseconds | undefined } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** The fault that an error is: itself, or `internal`. */
export function faultFrom(error: unknown): ApiFault {
  if (error instanceof ApiFault) return error;
  return new ApiFault("internal", messageOf(error), { cause: error });
}

/**
 * The fault that a Kubernetes `Status` stands for, whether it came as an HTTP answer or as an ERROR event.
 * `code` is the HTTP status code; of `status` (any JSON value) only `reason` and a clipped `message` are used.
 */
export function statusFault(code: number, status: unknown, retryAfterMs?: Milliseconds): ApiFault {
  const body = isJsonObject(status) ? status : {};
  const text = printable(stringOrEmpty(body["message"]));
  const message = `the API server answered ${code}${text === "" ? "" : `: ${text}`}`;
  const expired = code === 410 || body["reason"] === "Expired" || body["reason"] === "Gone";
  return new ApiFault(expired ? "expired" : kindOfStatus(code), message, { retryAfterMs });
}

function kindOfStatus(code: number): FaultKind {
  switch (code) {
    case 400:
    case 422:
      return "bad_request";
    case 401:
      return "unauthorized";
    case 403:
      return "forbidden";
    case 404:
      return "not_found";
    case 409:
      return "conflict";
    case 429:
      return "throttled";
    case 503:
      return "unavailable";
    default:
      return "server_error";
  }
}

const MAX_MESSAGE_CHARACTERS = 300;

/** What a server or a file says, fit for one line of a log: at most 300 characters, none of them a control character. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is taken out
  return text.slice(0, MAX_MESSAGE_CHARACTERS).replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, " ");
}

/** Longest `Retry-After` that is believed: a server cannot silence the router for longer. */
export const MAX_RETRY_AFTER_MS: Milliseconds = 120_000;

/** The one form of a date that a server may send (RFC 9110 5.6.7); `Date.parse` alone takes almost anything. */
const IMF_FIXDATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** `Retry-After` (RFC 9110 10.2.3: seconds or a date) as a wait from `nowMs`; `undefined` when it is neither. */
export function parseRetryAfter(value: string | undefined, nowMs: Milliseconds): Milliseconds | undefined {
  if (value === undefined) return undefined;
  let ms = Number.NaN;
  if (/^\d+$/.test(value)) ms = Number(value) * 1_000;
  else if (IMF_FIXDATE.test(value)) ms = Date.parse(value) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS);
}
