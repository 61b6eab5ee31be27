import type { Milliseconds } from "../../system/clock.ts";
import { parseAuthority } from "../target/authority.ts";
import type { Reason } from "../reply/reasons.ts";

/** What is told of one request when it is over: to the access log, and to whoever counts. It holds no secret. */
export interface RequestRecord {
  /** Since the epoch. */
  readonly startedAtMs: Milliseconds;
  /** From the request's first byte to the last byte of its response, or to the moment it was given up. */
  readonly durationMs: Milliseconds;
  readonly requestId: string;
  /** The client's IP address. */
  readonly client: string;
  readonly method: string;
  /** The Host as it was sent, `""` when absent: to be shown through {@link recordHost}. */
  readonly host: string;
  /** Made by {@link recordPath}: without the query. */
  readonly path: string;
  /** `HTTP/1.1` and so on. */
  readonly protocol: string;
  /** What the client got; 499 when it left first. */
  readonly status: number;
  readonly reason: Reason;
  /** `Target.label`. */
  readonly sandbox?: string | undefined;
  /** `Incarnation.number`. */
  readonly incarnation?: number | undefined;
  /** `ip:port`, IPv6 in brackets. */
  readonly upstream?: string | undefined;
  /** Time to connect; absent on a reused connection. */
  readonly connectMs?: Milliseconds | undefined;
  /** From the start of the request to the first byte of the pod's response. */
  readonly firstByteMs?: Milliseconds | undefined;
  /** Body bytes from the client. */
  readonly bytesIn: number;
  /** Body bytes to the client. */
  readonly bytesOut: number;
  readonly reusedConnection?: boolean | undefined;
  readonly retried?: boolean | undefined;
  readonly upgraded?: boolean | undefined;
  readonly userAgent?: string | undefined;
}

/** Told once per request, after its last byte. Must not throw. */
export type RequestObserver = (record: RequestRecord) => void;

/** Stands for a query that is not told. */
const QUERY = "?…";

/**
 * The path of a request-target as records show it: the query is replaced by `?…`, since tokens travel in queries, and
 * an absolute-form target loses scheme and authority. What is no request-target is `(invalid)`. Applying it twice
 * changes nothing.
 */
export function recordPath(target: string): string {
  if (target === "*") return target;
  // Nearly all are in origin-form.
  const absolute = target.startsWith("/") ? null : /^https?:\/\/[^/?#]*/i.exec(target);
  const path = absolute ? target.slice(absolute[0].length) : target;
  const end = endOfPath(path);
  const bare = end === -1 ? path : path.slice(0, end);
  if (bare !== "" ? !bare.startsWith("/") : !absolute) return "(invalid)";
  return `${bare || "/"}${end === -1 ? "" : QUERY}`;
}

/** Where the query or a fragment begins, or -1. */
function endOfPath(path: string): number {
  const query = path.indexOf("?");
  const fragment = path.indexOf("#");
  if (query === -1 || fragment === -1) return Math.max(query, fragment);
  return Math.min(query, fragment);
}

/** A Host field as records show it: itself when valid, `""` when absent, else `(invalid)`. */
export function recordHost(host: string | undefined): string {
  if (!host) return "";
  return parseAuthority(host) === undefined ? "(invalid)" : host;
}
