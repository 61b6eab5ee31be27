/** `reason` of a Kubernetes Status: what went wrong, in a word that programs compare. */
export type StatusReason =
  | "AlreadyExists"
  | "BadRequest"
  | "Conflict"
  | "Expired"
  | "InternalError"
  | "Invalid"
  | "MethodNotAllowed"
  | "NotAcceptable"
  | "NotFound"
  | "RequestEntityTooLarge"
  | "ServiceUnavailable"
  | "Timeout"
  | "Unauthorized"
  | "UnsupportedMediaType";

/** One fault of an object: `details.causes[]` of a Status. */
export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

/** What the fault is about: `details` of a Status. */
export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

const HTTP_STATUS: Readonly<Record<StatusReason, number>> = {
  AlreadyExists: 409,
  BadRequest: 400,
  Conflict: 409,
  Expired: 410,
  InternalError: 500,
  Invalid: 422,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  NotFound: 404,
  RequestEntityTooLarge: 413,
  ServiceUnavailable: 503,
  Timeout: 504,
  Unauthorized: 401,
  UnsupportedMediaType: 415,
};

/** A request that the API refuses. `code` is the Status reason; the HTTP status follows from it. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: StatusReason;
  readonly details: StatusDetails | undefined;

  constructor(code: StatusReason, message: string, details?: StatusDetails) {
    super(message);
    this.code = code;
    this.details = details;
  }

  /** The HTTP status that Kubernetes answers with this reason. */
  get httpStatus(): number {
    return HTTP_STATUS[this.code];
  }

  /** The body of the reply, and the object of an ERROR event: a `v1` Status. */
  toStatus(): Readonly<Record<string, unknown>> {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.code,
      ...(this.details && { details: this.details }),
      code: this.httpStatus,
    };
  }
}

/** What any thrown value becomes for a client: an unknown one is an InternalError without its text. */
export function toApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError("InternalError", "an error on the server");
}
