import { messageOf } from "../system/error-text.ts";

/** What went wrong, as a stable word. */
export type NodeToolErrorCode =
  /** Something given is malformed; `fix` says what is allowed. */
  | "invalid"
  /** iproute2, systemd or BIRD isn't there. */
  | "missing_program"
  /** The kernel lacks what is asked for. */
  | "unsupported"
  /** CAP_NET_ADMIN, or CAP_SYS_ADMIN to enter a namespace, is missing. */
  | "not_permitted"
  /** A link, a namespace or a route that is needed isn't there. */
  | "not_found"
  /** Waited for longer than allowed. */
  | "timeout"
  /** What was done did not have the effect that it should have had. */
  | "failed";

/** A failure of a node tool: one line for the cause and one for what to do about it. */
export class NodeToolError extends Error {
  readonly code: NodeToolErrorCode;
  /** What the operator can do; empty when there is nothing to say. */
  readonly fix: string;

  constructor(
    code: NodeToolErrorCode,
    message: string,
    options: ErrorOptions & { readonly fix?: string } = {},
  ) {
    super(message, options);
    this.name = "NodeToolError";
    this.code = code;
    this.fix = options.fix ?? "";
  }
}

/** The error as one line: what happened, and the fix if there is one. */
export function describeNodeToolError(error: unknown): string {
  if (!(error instanceof NodeToolError)) return messageOf(error);
  return error.fix ? `${error.message}; ${error.fix}` : error.message;
}
