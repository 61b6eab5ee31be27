/** The message of whatever was thrown, for a log line or for the message of another error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The same with the message of its cause behind it: what a library throws often says only which of its calls failed. */
export function messageWithCauseOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error
    ? `${error.message}: ${error.cause.message}`
    : messageOf(error);
}

/** Its stack where it has one: for what only a bug can throw. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
