import { recordHost, recordPath } from "./request-record.ts";
import type { RequestObserver, RequestRecord } from "./request-record.ts";

/** Where the access log goes. */
export interface AccessLogOptions {
  /** `json`: one object per line, keys in a fixed order. `text`: short, for a terminal. */
  readonly format: "json" | "text";
  /** Gets one line with its final newline. Must not throw. */
  write(line: string): void;
}

/** Longest text, in characters, that the client has a say in. */
const MAX_LENGTH = { method: 32, host: 256, path: 256, userAgent: 256 } as const;

/**
 * Makes the observer that writes one line per request. Whatever a client sends, a line stays one line of bounded
 * length: control characters are escaped, long texts are cut and end in `…`. Queries are never written.
 */
export function createAccessLog(options: AccessLogOptions): RequestObserver {
  const format = options.format === "json" ? jsonLine : textLine;
  return (record) => options.write(`${format(record)}\n`);
}

/** Keys in this order; JSON leaves out those whose value is `undefined`. */
function jsonLine(record: RequestRecord): string {
  return escapeControls(
    JSON.stringify({
      time: new Date(record.startedAtMs).toISOString(),
      request_id: record.requestId,
      client: record.client,
      method: cut(record.method, MAX_LENGTH.method),
      host: cut(recordHost(record.host), MAX_LENGTH.host),
      path: cut(recordPath(record.path), MAX_LENGTH.path),
      protocol: record.protocol,
      status: record.status,
      reason: record.reason,
      sandbox: record.sandbox,
      incarnation: record.incarnation,
      upstream: record.upstream,
      duration_ms: rounded(record.durationMs),
      connect_ms: rounded(record.connectMs),
      first_byte_ms: rounded(record.firstByteMs),
      bytes_in: record.bytesIn,
      bytes_out: record.bytesOut,
      reused: record.reusedConnection,
      retried: record.retried,
      upgraded: record.upgraded,
      user_agent: record.userAgent === undefined ? undefined : cut(record.userAgent, MAX_LENGTH.userAgent),
    }),
  );
}

/** `12:34:56.789 200 GET host/path → sandbox#7 10.0.0.1:8080 12.3ms ok` and what is unusual about it. */
function textLine(record: RequestRecord): string {
  const time = new Date(record.startedAtMs).toISOString().slice(11, 23);
  const host = cut(recordHost(record.host), MAX_LENGTH.host);
  const path = cut(recordPath(record.path), MAX_LENGTH.path);
  const parts = [time, record.status, cut(record.method, MAX_LENGTH.method), `${host}${path}`];
  if (record.sandbox !== undefined) {
    parts.push(
      "→",
      record.incarnation === undefined ? record.sandbox : `${record.sandbox}#${record.incarnation}`,
    );
  }
  if (record.upstream !== undefined) parts.push(record.upstream);
  parts.push(`${rounded(record.durationMs)}ms`, record.reason);
  if (record.retried === true) parts.push("retried");
  if (record.upgraded === true) parts.push("upgraded");
  return escapeControls(parts.join(" "));
}

function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`;
}

/** To a hundredth of a millisecond. */
function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 100) / 100;
}

/** C0, DEL, C1 and Unicode's line ends: what could break a line or drive a terminal. JSON has escaped C0 before. */
function escapeControls(line: string): string {
  return line.replace(
    /[\p{Cc}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
