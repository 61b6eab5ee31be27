import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { UsedConnection } from "../target/pod-address.ts";
import type { Reason } from "../reply/reasons.ts";
import type { ReplyContext } from "../reply/reply.ts";
import type { ReplyPage } from "../reply/reply-page.ts";
import { allValues, firstValue } from "../http1/request-head.ts";
import type { RequestHead } from "../http1/request-head.ts";
import { recordPath } from "./request-record.ts";
import type { RequestObserver, RequestRecord } from "./request-record.ts";
import type { RequestSpans, RequestTracing } from "./request-spans.ts";
import type { TracedRequest } from "./traced-request.ts";

/** Whom a trace tells. */
export interface TraceSurroundings {
  readonly clock: Clock;
  readonly observer: RequestObserver;
  /** Absent: no spans, at no cost. */
  readonly tracing?: RequestTracing | undefined;
  /** For browsers that open a page and get a reply of our own. Absent: the built-in one. */
  readonly replyPage?: ReplyPage | undefined;
}

/** Gathers what is told of one request, and tells it once. */
export class RequestTrace {
  /** Changed by {@link RequestTrace.readAgain} alone. */
  head: RequestHead;
  readonly requestId: string;
  readonly clientAddress: string;
  readonly scheme: "http" | "https";
  readonly protocol: string;
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
  /** What the request went out on last. */
  upstream: UsedConnection | undefined;
  /** See `RequestRecord`. */
  connectMs: Milliseconds | undefined;
  firstByteMs: Milliseconds | undefined;
  reusedConnection: boolean | undefined;
  /** What the verdict adds to a reply of our own. */
  replyFields: readonly string[] | undefined;
  /** It was counted against its client's budget. */
  isCounted = false;
  readonly spans: RequestSpans | undefined;
  readonly #clock: Clock;
  readonly #startedMs: Milliseconds;
  readonly #observer: RequestObserver;
  readonly #page: ReplyPage | undefined;
  #ended = false;

  constructor(request: TracedRequest, { clock, observer, tracing, replyPage }: TraceSurroundings) {
    this.head = request.head;
    this.requestId = request.requestId;
    this.clientAddress = request.clientAddress;
    this.scheme = request.scheme;
    this.protocol = request.protocol;
    this.#clock = clock;
    this.#observer = observer;
    this.#page = replyPage;
    this.#startedMs = request.begunMs ?? clock.monotonicMs();
    this.spans = tracing?.begin(request);
  }

  /** The request has waited, and its head, byte for byte the same, was read again. */
  readAgain(head: RequestHead): this {
    this.head = head;
    return this;
  }

  /** The request is about to go out on this connection. */
  sentOn(connection: UsedConnection): void {
    const { used } = connection;
    this.upstream = connection;
    this.reusedConnection = used;
    this.connectMs = used ? undefined : connection.connectMs;
    this.spans?.sentOn(connection);
  }

  /** The pod's final response began, at `atMs` of the monotonic clock. */
  firstByte(atMs: Milliseconds = this.#clock.monotonicMs()): void {
    this.firstByteMs ??= atMs - this.#startedMs;
    this.spans?.firstByte();
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
      fetchMode: firstValue(rawHeaders, "sec-fetch-mode"),
      origin: firstValue(rawHeaders, "origin"),
      requestedMethod: firstValue(rawHeaders, "access-control-request-method"),
      requestedHeaders: allValues(rawHeaders, "access-control-request-headers").join(",") || undefined,
      page: this.#page,
      fields: this.replyFields,
    };
  }

  /** Tells the record. Only the first call counts. `atMs` is of the monotonic clock. */
  end(status: number, reason: Reason, atMs: Milliseconds = this.#clock.monotonicMs()): void {
    if (this.#ended) return;
    this.#ended = true;
    const record = new EndedRequest(this, status, reason, atMs - this.#startedMs, this.#clock);
    this.#observer(record);
    this.spans?.ended(record);
  }
}

/** What costs time is worked out when it is read: without an access log nobody does. */
class EndedRequest implements RequestRecord {
  readonly durationMs: Milliseconds;
  readonly requestId: string;
  readonly client: string;
  readonly method: string;
  readonly protocol: string;
  readonly status: number;
  readonly reason: Reason;
  readonly sandbox: string | undefined;
  readonly incarnation: number | undefined;
  readonly connectMs: Milliseconds | undefined;
  readonly firstByteMs: Milliseconds | undefined;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly reusedConnection: boolean | undefined;
  readonly retried: boolean;
  readonly upgraded: boolean;
  readonly #head: RequestHead;
  readonly #upstream: UsedConnection | undefined;
  readonly #clock: Clock;

  constructor(trace: RequestTrace, status: number, reason: Reason, durationMs: Milliseconds, clock: Clock) {
    this.durationMs = durationMs;
    this.requestId = trace.requestId;
    this.client = trace.clientAddress;
    this.method = trace.head.method;
    this.protocol = trace.protocol;
    this.status = status;
    this.reason = reason;
    this.sandbox = trace.sandbox;
    this.incarnation = trace.incarnation;
    this.#upstream = trace.upstream;
    this.connectMs = trace.connectMs;
    this.firstByteMs = trace.firstByteMs;
    this.bytesIn = trace.bytesIn;
    this.bytesOut = trace.bytesOut;
    this.reusedConnection = trace.reusedConnection;
    this.retried = trace.retried;
    this.upgraded = trace.upgraded;
    this.#head = trace.head;
    this.#clock = clock;
  }

  /** The record is told when the request ends: to be read then. */
  get startedAtMs(): Milliseconds {
    return this.#clock.nowMs() - this.durationMs;
  }

  get upstream(): string | undefined {
    return this.#upstream?.authority;
  }

  get host(): string {
    return this.#first("host") ?? "";
  }

  get path(): string {
    return recordPath(this.#head.target);
  }

  get userAgent(): string | undefined {
    return this.#first("user-agent");
  }

  #first(name: string): string | undefined {
    const head = this.#head;
    return head.first ? head.first(name) : firstValue(head.rawHeaders, name);
  }
}
