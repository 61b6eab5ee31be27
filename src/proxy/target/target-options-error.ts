/** Which option was wrong. */
export type TargetOptionsErrorCode =
  | "bad_template"
  | "bad_domain"
  | "bad_path_prefix"
  | "bad_header_name"
  | "bad_default_port";

/** Thrown when a target parser is made with options that can't work. The message names the value and the fault. */
export class TargetOptionsError extends Error {
  readonly code: TargetOptionsErrorCode;

  constructor(code: TargetOptionsErrorCode, message: string) {
    super(message);
    this.name = "TargetOptionsError";
    this.code = code;
  }
}
