import { isatty } from "node:tty";
import { type AccessLogFile, openAccessLog } from "./access-log-file.ts";
import type { Config } from "./config/schema.ts";
import { createOperationalLog, type OperationalLog } from "./operational-log.ts";

const STDOUT = 1;
const STDERR = 2;

/** The operational log that the configuration asks for, on standard error. */
export function operationalLog(config: Config): OperationalLog {
  const format = config.logFormat === "auto" ? (isatty(STDERR) ? "text" : "json") : config.logFormat;
  return createOperationalLog({ level: config.logLevel, format, fd: STDERR });
}

/** The access log that the configuration asks for, on standard output; none with several workers: each has its own. */
export function accessLogOf(config: Config): AccessLogFile | undefined {
  return config.workers > 1 ? undefined : open(config, false);
}

/** The access log of one of several workers, on the standard output that all of them share. */
export function workerAccessLogOf(config: Config): AccessLogFile | undefined {
  return open(config, true);
}

function open(config: Config, shared: boolean): AccessLogFile | undefined {
  if (config.accessLog === "off") return undefined;
  const format = config.accessLog === "auto" ? (isatty(STDOUT) ? "text" : "json") : config.accessLog;
  return openAccessLog(format, STDOUT, shared);
}
