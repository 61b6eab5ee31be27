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
  /** What the option must or must not be: the message without the value. */
  readonly fault: string;

  constructor(code: TargetOptionsErrorCode, value: string, fault: string) {
    super(`${value} ${fault}`);
    this.fault = fault;
    this.name = "TargetOptionsError";
    this.code = code;
  }
}
