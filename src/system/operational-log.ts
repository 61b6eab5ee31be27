import { destination, pino, stdSerializers, type LevelWithSilent } from "pino";
import pretty from "pino-pretty";
import type { Log, LogFields } from "./log.ts";

/** How the operational log is written. */
export interface OperationalLogOptions {
  readonly level: Exclude<LevelWithSilent, "silent" | "trace" | "fatal">;
  /** `json` for machines, one object per line; `text` for a terminal. */
  readonly format: "json" | "text";
  /** File descriptor; 2 is standard error, since standard output is the access log's. */
  readonly fd: number;
}

/** A {@link Log} that can be written out before the process ends. */
export interface OperationalLog extends Log {
  /** The least serious message that is written from now on. */
  setLevel(level: OperationalLogOptions["level"]): void;
  flush(): void;
}

/**
 * The operational log, by pino. Lines are written at once: there are few of them, and the last ones before an end are
 * those that matter.
 */
export function createOperationalLog(options: OperationalLogOptions): OperationalLog {
  const { level, format, fd } = options;
  const stream =
    format === "json"
      ? destination({ fd, sync: true })
      : pretty({
          destination: fd,
          sync: true,
          ignore: "pid,hostname",
          translateTime: "HH:MM:ss.l",
          singleLine: true,
        });
  const logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: stdSerializers.err },
    },
    stream,
  );
  const write = (at: "debug" | "info" | "warn" | "error") => (message: string, fields?: LogFields) => {
    if (fields === undefined) logger[at](message);
    else logger[at](fields, message);
  };
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    setLevel: (to) => void (logger.level = to),
    flush: () => logger.flush(),
  };
}
