import { isPreflight, preflightAnswer, readableElsewhere } from "./cross-origin.ts";
import type { OriginFields } from "./cross-origin.ts";
import { PAGE_WORDS } from "./page-words.ts";
import { REASONS } from "./reasons.ts";
import type { ReasonSpec, RefusalReason } from "./reasons.ts";
import { replyForm } from "./reply-form.ts";
import type { ReplyWishes } from "./reply-form.ts";
import { builtInPage } from "./reply-page.ts";
import type { ReplyPage } from "./reply-page.ts";

/** What a reply of our own says and to whom. */
export interface ReplyContext extends ReplyWishes, OriginFields {
  /** The request's method: a HEAD gets the headers alone. */
  readonly method: string;
  /** From `requestIdOf`. */
  readonly requestId: string;
  /** `Target.label`, when known. */
  readonly sandbox?: string | undefined;
  readonly port?: number | undefined;
  /** What is wrong, for a reason whose message is `<message>`; ignored for others. Never holds a secret. */
  readonly message?: string | undefined;
  /** Absent: the built-in page. */
  readonly page?: ReplyPage | undefined;
  /** Flat `name, value, …`: what the verdict adds to the reply. */
  readonly fields?: readonly string[] | undefined;
}

/** A reply of our own, complete but for what the connection adds (`Connection`, `Date`). */
export interface Reply {
  readonly status: number;
  /** Flat `name, value, …`. */
  readonly headers: string[];
  /** Empty for HEAD, whose `content-length` tells what a GET would get. */
  readonly body: Buffer;
}

const NOTHING = Buffer.alloc(0);

const CONTENT_TYPE = {
  text: "text/plain; charset=utf-8",
  json: "application/json",
  page: "text/html; charset=utf-8",
} as const;

/** Made when the first page is asked for. */
let builtIn: ReplyPage | undefined;

/** Codes of google.rpc.Code for the statuses that {@link REASONS} uses; others are UNKNOWN (2). */
const GRPC_STATUS: Readonly<Record<number, number>> = {
  400: 3, // INVALID_ARGUMENT
  401: 16, // UNAUTHENTICATED
  403: 7, // PERMISSION_DENIED
  404: 5, // NOT_FOUND
  405: 12, // UNIMPLEMENTED
  408: 4, // DEADLINE_EXCEEDED
  421: 14,
  429: 8, // RESOURCE_EXHAUSTED
  431: 8, // RESOURCE_EXHAUSTED
  499: 1, // CANCELLED
  500: 13, // INTERNAL
  502: 14, // UNAVAILABLE
  503: 14,
  504: 4,
  505: 12,
  508: 9, // FAILED_PRECONDITION
};

/**
 * Makes the reply for a reason (docs/architecture.md#replies): plain text as the gateway we replace; JSON `{code, message,
 * sandbox}`, a page or a trailers-only answer of gRPC (HTTP 200, `grpc-status`, `grpc-message`) for those who want that
 * ({@link replyForm}). Always with `x-lychgate-reason`, `cache-control: no-store`, `x-request-id` and `content-length`;
 * `retry-after` and `allow` where the reason has them, `refresh` on a page of a state that passes soon. Scripts of other origins may read it,
 * and their preflights are answered with 204 in its place, so that the browser lets them learn what is wrong.
 */
export function replyFor(reason: RefusalReason, context: ReplyContext): Reply {
  const { method, requestId, sandbox, port } = context;
  const { status, retryAfterS, allow, locates, closes }: ReasonSpec = REASONS[reason];
  const message = messageFor(reason, context);
  const headers = [
    "x-lychgate-reason",
    reason,
    "cache-control",
    "no-store",
    "x-request-id",
    requestId,
    ...readableElsewhere(context),
  ];
  if (retryAfterS !== undefined) headers.push("retry-after", String(retryAfterS));
  if (allow !== undefined) headers.push("allow", allow);
  if (locates === true) headers.push("location", message);
  if (context.fields !== undefined) headers.push(...context.fields);
  if (isPreflight(method, context) && !closes) {
    headers.push(...preflightAnswer(context));
    return { status: 204, headers, body: NOTHING };
  }

  const form = replyForm(context);
  if (form.kind === "grpc") {
    headers.push("content-type", form.contentType, "content-length", "0");
    headers.push("grpc-status", String(GRPC_STATUS[status] ?? 2), "grpc-message", percentEncode(message));
    return { status: 200, headers, body: NOTHING };
  }
  let text = message;
  if (form.kind === "json") {
    text = JSON.stringify({ code: reason, message, sandbox });
  } else if (form.kind === "page") {
    const page = context.page ?? (builtIn ??= builtInPage());
    text = page.render({ reason, status, message, requestId, sandbox, port });
    headers.push(...page.headers);
    const { refreshS } = PAGE_WORDS[reason];
    if (refreshS !== undefined && method === "GET") headers.push("refresh", String(refreshS));
  }
  const body = Buffer.from(text);
  headers.push("content-type", CONTENT_TYPE[form.kind], "content-length", String(body.length));
  return { status, headers, body: method === "HEAD" ? NOTHING : body };
}

/** The reason's message with its gaps filled in, all at once: what fills one is not searched for another. */
function messageFor(reason: RefusalReason, { message, sandbox, port }: ReplyContext): string {
  const gaps: Readonly<Record<string, string | number | undefined>> = {
    "<message>": message ?? "bad request",
    "<sandbox>": sandbox,
    "<port>": port,
  };
  return REASONS[reason].message.replace(/<[a-z]+>/g, (gap) => String(gaps[gap] ?? "(unknown)"));
}

/** The encoding of `grpc-message`: UTF-8 bytes other than visible ASCII and space, and `%`, as `%XX`. */
function percentEncode(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
