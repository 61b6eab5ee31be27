import { REASONS } from "./reasons.ts";
import type { RefusalReason } from "./reasons.ts";

/** What a reply of our own says and to whom. */
export interface ReplyContext {
  /** The request's method: a HEAD gets the headers alone. */
  readonly method: string;
  /** From `requestIdOf`. */
  readonly requestId: string;
  /** `Target.label`, when known. */
  readonly sandbox?: string | undefined;
  readonly port?: number | undefined;
  /** What is wrong, for a reason whose message is `<message>`; ignored for others. Never holds a secret. */
  readonly message?: string | undefined;
  /** The request's `Accept`, several joined by `,`. */
  readonly accept?: string | undefined;
  /** The request's `Content-Type`. `application/grpc*` gets `grpc-status`. */
  readonly contentType?: string | undefined;
}

/** A reply of our own, complete but for what the connection adds (`Connection`, `Date`). */
export interface Reply {
  readonly status: number;
  /** Flat `name, value, …`. */
  readonly headers: string[];
  /** Empty for HEAD, whose `content-length` tells what a GET would get. */
  readonly body: Buffer;
}

/** Codes of google.rpc.Code for the statuses that {@link REASONS} uses; others are UNKNOWN (2). */
const GRPC_STATUS: Readonly<Record<number, number>> = {
  400: 3, // INVALID_ARGUMENT
  401: 16, // UNAUTHENTICATED
  404: 5, // NOT_FOUND
  405: 12, // UNIMPLEMENTED
  408: 4, // DEADLINE_EXCEEDED
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
 * sandbox}` when the client's `Accept` puts JSON first; for gRPC a trailers-only answer (HTTP 200, `grpc-status`,
 * `grpc-message`). Always with `x-lychgate-reason`, `cache-control: no-store`, `x-request-id` and `content-length`;
 * `retry-after` and `allow` where the reason has them.
 */
export function replyFor(reason: RefusalReason, context: ReplyContext): Reply {
  const { status, retryAfterS, allow } = REASONS[reason];
  const message = messageFor(reason, context);
  const headers = [
    "x-lychgate-reason",
    reason,
    "cache-control",
    "no-store",
    "x-request-id",
    context.requestId,
  ];
  if (retryAfterS !== undefined) headers.push("retry-after", String(retryAfterS));
  if (allow !== undefined) headers.push("allow", allow);

  const grpcType = grpcContentType(context.contentType);
  if (grpcType !== undefined) {
    headers.push("content-type", grpcType, "content-length", "0");
    headers.push("grpc-status", String(GRPC_STATUS[status] ?? 2), "grpc-message", percentEncode(message));
    return { status: 200, headers, body: Buffer.alloc(0) };
  }
  const json = acceptsJsonFirst(context.accept);
  const body = Buffer.from(
    json ? JSON.stringify({ code: reason, message, sandbox: context.sandbox }) : message,
  );
  headers.push("content-type", json ? "application/json" : "text/plain; charset=utf-8");
  headers.push("content-length", String(body.length));
  return { status, headers, body: context.method === "HEAD" ? Buffer.alloc(0) : body };
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

/** `application/grpc`, `application/grpc+proto`, `application/grpc-web` …, or `undefined`. */
function grpcContentType(contentType = ""): string | undefined {
  return /^application\/grpc([+-][a-z0-9+.-]*)?(?=\s*(;|$))/i.exec(contentType)?.[0].toLowerCase();
}

/**
 * Whether the media range with the highest quality, the first of them on a tie, is JSON (RFC 9110 12.5.1). Wildcards
 * are not: who doesn't care gets text.
 */
function acceptsJsonFirst(accept: string | undefined): boolean {
  if (!accept) return false;
  let best: { readonly type: string; readonly quality: number } | undefined;
  for (const range of accept.split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const quality = qualityOf(parameters);
    if (type !== "" && quality > (best?.quality ?? 0)) best = { type, quality };
  }
  return best !== undefined && /^application\/([a-z0-9.-]+\+)?json$/.test(best.type);
}

/** The q parameter, 1 when there is none, 0 when it is not a quality. */
function qualityOf(parameters: readonly string[]): number {
  const parameter = parameters.find((text) => text.startsWith("q="));
  if (parameter === undefined) return 1;
  return /^(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$/.test(parameter.slice(2)) ? Number(parameter.slice(2)) : 0;
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
