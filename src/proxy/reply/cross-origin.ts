import { HTTP_TOKEN } from "../../system/http-token.ts";

/** What a request says of its origin (Fetch, WHATWG, 3.3). */
export interface OriginFields {
  /** `Origin`: a browser sends it with each request of a script to another origin. */
  readonly origin?: string | undefined;
  /** `Access-Control-Request-Method`: only a preflight has it. */
  readonly requestedMethod?: string | undefined;
  /** `Access-Control-Request-Headers`, several joined by `,`. */
  readonly requestedHeaders?: string | undefined;
}

const EXPOSED = "x-lychgate-reason, x-request-id, retry-after, grpc-status, grpc-message";

/** More names of fields than any script asks for. */
const MAX_FIELDS = 64;

/** The request is a preflight: a browser asks whether a script of another origin may send what it is about to send. */
export function isPreflight(method: string, { origin, requestedMethod }: OriginFields): boolean {
  return method === "OPTIONS" && origin !== undefined && requestedMethod !== undefined;
}

/**
 * Fields (flat `name, value, …`) that let a script of another origin read the status and the reason of a reply of our own. None
 * for requests without `Origin`. Never with credentials: what it could read is no secret.
 */
export function readableElsewhere({ origin }: OriginFields): string[] {
  if (origin === undefined) return [];
  return ["access-control-allow-origin", "*", "access-control-expose-headers", EXPOSED];
}

/**
 * Fields that answer a preflight with yes, so that the request itself comes and its answer can be read. Not to be kept by the browser: as
 * soon as the sandbox can answer, its own rules count. Names that are not tokens are left out.
 */
export function preflightAnswer({ requestedMethod = "", requestedHeaders = "" }: OriginFields): string[] {
  const fields = requestedHeaders
    .split(",", MAX_FIELDS)
    .map((name) => name.trim())
    .filter((name) => HTTP_TOKEN.test(name));
  const answer = ["access-control-max-age", "0"];
  if (HTTP_TOKEN.test(requestedMethod)) answer.push("access-control-allow-methods", requestedMethod);
  if (fields.length > 0) answer.push("access-control-allow-headers", fields.join(", "));
  return answer;
}
