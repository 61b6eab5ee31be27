/** Values that may stand beside a log message. Never a token, never a request's query. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * The operational log that every part may write to (the access log is its own thing, `proxy/access-log.ts`).
 * Messages start lower-case with what happened; fields carry the rest. `app.ts` decides where it goes.
 */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Says nothing. For tests, and for parts that are used as a library. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
