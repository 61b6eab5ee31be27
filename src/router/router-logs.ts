import { isatty } from "node:tty";
import { type AccessLogFile, openAccessLog } from "./access-log-file.ts";
import type { Config } from "../config/schema.ts";
import type { RequestObserver } from "../proxy/record/request-record.ts";
import { createOperationalLog, type OperationalLog } from "../system/operational-log.ts";

const STDOUT = 1;
const STDERR = 2;

/** The operational log that the configuration asks for, on standard error. */
export function operationalLog(config: Config): OperationalLog {
  const format = config.logFormat === "auto" ? (isatty(STDERR) ? "text" : "json") : config.logFormat;
  return createOperationalLog({ level: config.logLevel, format, fd: STDERR });
}

/** The access log on standard output, as the configuration has it at each moment. */
export class AccessLog {
  readonly #shared: boolean;
  #format: "json" | "text" | undefined;
  #file: AccessLogFile | undefined;

  /** `shared` when several workers write to the same standard output. */
  constructor(config: Config, shared: boolean) {
    this.#shared = shared;
    this.change(config);
  }

  /** For the traffic: a record of each request that is over. */
  readonly record: RequestObserver = (request) => this.#file?.record(request);

  /** Writes as `config` says from now on. */
  change({ accessLog }: Config): void {
    const format =
      accessLog === "off" ? undefined : accessLog === "auto" ? (isatty(STDOUT) ? "text" : "json") : accessLog;
    if (format === this.#format) return;
    // What it still holds is written; a failure to do so was told by the stream itself.
    void this.#file?.close();
    this.#format = format;
    this.#file = format && openAccessLog(format, STDOUT, this.#shared);
  }

  /** See {@link AccessLogFile.close}. */
  async close(): Promise<void> {
    await this.#file?.close();
  }

  /** See {@link AccessLogFile.abandon}. */
  abandon(): void {
    this.#file?.abandon();
  }
}

/** The access log of this process; undefined with several workers: each has its own. */
export function accessLogOf(config: Config): AccessLog | undefined {
  return config.workers > 1 ? undefined : new AccessLog(config, false);
}
