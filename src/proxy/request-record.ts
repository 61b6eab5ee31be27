import type { Milliseconds } from "../clock.ts";
import type { Reason } from "./reasons.ts";

/** What is told of one request when it is over: to the access log, and to whoever counts. */
export interface RequestRecord {
  /** Since the epoch. */
  readonly startedAtMs: Milliseconds;
  readonly durationMs: Milliseconds;
  readonly requestId: string;
  /** The client's IP address. */
  readonly client: string;
  readonly method: string;
  /** Made by {@link recordHost}. */
  readonly host: string;
  /** Made by {@link recordPath}: no query values. */
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
  /** From the start of the request to the pod's first response byte. */
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

export function recordPath(_target: string): string {
  throw new Error("being written");
}

export function recordHost(_host: string | undefined): string {
  throw new Error("being written");
}
