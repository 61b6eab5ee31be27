import type { IncomingMessage } from "node:http";
import { isIPv6 } from "node:net";

import type { Clock, Milliseconds } from "../clock.ts";
import type { PodConnection } from "./pod-connection.ts";
import type { Reason } from "./reasons.ts";
import type { ReplyContext } from "./reply.ts";
import { allValues, firstValue } from "./request-head.ts";
import type { RequestHead } from "./request-head.ts";
import { requestIdOf } from "./request-id.ts";
import { recordHost, recordPath } from "./request-record.ts";
import type { RequestObserver } from "./request-record.ts";

type TracedRequest = Pick<IncomingMessage, "socket"> &
  Partial<Pick<IncomingMessage, "method" | "url" | "rawHeaders" | "httpVersion">>;

/** Gathers what is told of one request, and tells it once. */
export class RequestTrace {
  readonly head: RequestHead;
  readonly requestId: string;
  readonly clientAddress: string;
  /** `Target.label` and port, once they are known. */
  sandbox: string | undefined;
  port: number | undefined;
  /** `Incarnation.number`. */
  incarnation: number | undefined;
  retried = false;
  upgraded = false;
  /** Body bytes from and to the client. */
  bytesIn = 0;
  bytesOut = 0;
  /** Why the request ended, once something other than its completion decided it. */
  reason: Reason | undefined;
  readonly #protocol: string;
  readonly #clock: Clock;
  readonly #startedAtMs: Milliseconds;
  readonly #startedMs: Milliseconds;
  readonly #observer: RequestObserver;
  #upstream: string | undefined;
  #connectMs: Milliseconds | undefined;
  #firstByteMs: Milliseconds | undefined;
  #reused: boolean | undefined;
  #ended = false;

  /** Of a request that could not be parsed only the socket is known. */
  constructor(request: TracedRequest, clock: Clock, observer: RequestObserver) {
    this.head = {
      method: request.method ?? "",
      target: request.url ?? "",
      rawHeaders: request.rawHeaders ?? [],
    };
    this.requestId = requestIdOf(this.head.rawHeaders);
    // An IPv4 client of a socket that listens on IPv6 too is still an IPv4 client.
    this.clientAddress = (request.socket.remoteAddress ?? "").replace(/^::ffff:(?=.*\.)/i, "");
    this.#protocol = `HTTP/${request.httpVersion ?? "1.1"}`;
    this.#clock = clock;
    this.#observer = observer;
    this.#startedAtMs = clock.nowMs();
    this.#startedMs = clock.monotonicMs();
  }

  /** The request is about to go out on this connection. */
  sentOn(connection: PodConnection): void {
    const { ip, port } = connection.address;
    this.#upstream = `${isIPv6(ip) ? `[${ip}]` : ip}:${port}`;
    this.#reused = connection.used;
    this.#connectMs = connection.used ? undefined : connection.connectMs;
  }

  /** The pod's final response began. */
  firstByte(): void {
    this.#firstByteMs ??= this.#clock.monotonicMs() - this.#startedMs;
  }

  /** What a reply of our own to this request needs to know. */
  replyContext(message?: string): ReplyContext {
    const { rawHeaders } = this.head;
    return {
      method: this.head.method,
      requestId: this.requestId,
      sandbox: this.sandbox,
      port: this.port,
      message,
      accept: allValues(rawHeaders, "accept").join(", ") || undefined,
      contentType: firstValue(rawHeaders, "content-type"),
    };
  }

  /** Tells the record. Only the first call counts. */
  end(status: number, reason: Reason): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#observer({
      startedAtMs: this.#startedAtMs,
      durationMs: this.#clock.monotonicMs() - this.#startedMs,
      requestId: this.requestId,
      client: this.clientAddress,
      method: this.head.method,
      host: recordHost(firstValue(this.head.rawHeaders, "host")),
      path: recordPath(this.head.target),
      protocol: this.#protocol,
      status,
      reason,
      sandbox: this.sandbox,
      incarnation: this.incarnation,
      upstream: this.#upstream,
      connectMs: this.#connectMs,
      firstByteMs: this.#firstByteMs,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      reusedConnection: this.#reused,
      retried: this.retried,
      upgraded: this.upgraded,
      userAgent: firstValue(this.head.rawHeaders, "user-agent"),
    });
  }
}
