import type { Socket } from "node:net";

import type { Milliseconds } from "../../system/clock.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import { replyBytes } from "../reply/raw-reply.ts";
import { REASONS } from "../reply/reasons.ts";
import type { RefusalReason, ReasonSpec } from "../reply/reasons.ts";
import { replyFor } from "../reply/reply.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import type { UpstreamError, UpstreamFailure } from "../upstream/upstream-error.ts";
import type { ExchangeConnection } from "./client-phase.ts";
import type { FastLaneContext } from "./fast-lane-context.ts";
import { SMALL_READ_BYTES } from "../transport/read-buffers.ts";
import type { ResponseReader } from "./response-reader.ts";
import type { SocketWriter } from "../transport/socket-writer.ts";

/** The exchange that an answer is part of. */
export interface AnsweredExchange {
  /** The request has a body, and it is not here whole. */
  readonly isUploading: boolean;
  /** The client takes no more for now. */
  pausePod(): void;
  podDrained(): void;
  /** The pod's response is complete; `keep`: its connection may carry a next request. */
  responseEnded(keep: boolean): void;
  failed(error: UpstreamError): void;
  /** Lets go of the pod, and of all that was to be sent to it. */
  giveUpPod(): void;
}

/**
 * What is written to the client: a pod's response, or a reply of our own; then the request's record is told, and the
 * connection goes on or ends. Reused for each request.
 */
export class ClientAnswer implements ResponseReader {
  /** Of the request that is answered; `undefined` before its begin and after its record. */
  trace: RequestTrace | undefined;
  isHead = false;
  /** The connection carries no further request. */
  isLast = false;
  /** Of the pod's response, once its head was passed on; 0 before. */
  status = 0;
  readonly #exchange: AnsweredExchange;
  readonly #connection: ExchangeConnection;
  readonly #socket: Socket;
  readonly #writer: SocketWriter;
  readonly #context: FastLaneContext;
  /** The response tells by itself where it ends. */
  #delimited = true;
  /** When the response began. */
  #headAtMs: Milliseconds = 0;

  constructor(
    exchange: AnsweredExchange,
    connection: ExchangeConnection,
    socket: Socket,
    context: FastLaneContext,
  ) {
    this.#exchange = exchange;
    this.#connection = connection;
    this.#socket = socket;
    this.#writer = context.transport.clientWriter(socket);
    this.#context = context;
  }

  begin(trace: RequestTrace, isLast: boolean): void {
    this.trace = trace;
    this.isHead = trace.head.method === "HEAD";
    this.isLast = isLast;
    this.status = 0;
  }

  get mustClose(): boolean {
    return this.isLast || this.#exchange.isUploading || this.#context.options.draining();
  }

  get writeIsPending(): boolean {
    return this.#writer.pending > 0;
  }

  informational(head: string): void {
    this.#connection.touch();
    this.#writer.text(head);
  }

  head(status: number, text: string, delimited: boolean): void {
    this.#headAtMs = this.#context.options.clock.monotonicMs();
    this.trace?.firstByte(this.#headAtMs);
    this.isLast = this.mustClose || !delimited;
    this.status = status;
    this.#delimited = delimited;
    // Otherwise more of the request's body is to come.
    if (this.#connection.phase === "awaiting") this.#connection.enter("answering");
    if (text !== "") this.text(text);
  }

  text(text: string): void {
    const flows = this.#writer.text(text);
    this.#written(text.length, flows);
  }

  bytes(bytes: Buffer, start: number, end: number): void {
    if (end === start) return;
    if (end - start <= SMALL_READ_BYTES) {
      // Copied by the write, so that a slow client of an event stream does not hold a large buffer for each event.
      this.text(bytes.toString("latin1", start, end));
      return;
    }
    const flows = this.#writer.bytes(bytes.subarray(start, end));
    this.#written(end - start, flows);
  }

  continues(): void {
    this.#connection.guard();
  }

  countBody(bytes: number): void {
    if (this.trace) this.trace.bytesOut += bytes;
  }

  ended(keep: boolean, atOnce: boolean): void {
    this.#exchange.responseEnded(keep);
    if (this.writeIsPending) this.#flush();
    else this.#answered(atOnce ? this.#headAtMs : undefined);
  }

  failed(error: UpstreamError): void {
    this.#exchange.failed(error);
  }

  podDrained(): void {
    this.#exchange.podDrained();
  }

  /** Gives up: answers with a refusal, or cuts the response when its head is with the client. */
  fail(reason: UpstreamFailure | "bad_request", error: UpstreamError | undefined, message?: string): void {
    const { trace } = this;
    if (trace === undefined) return;
    this.#exchange.giveUpPod();
    if (this.status === 0) {
      if (error) this.#context.options.refusals.tell(trace, reason, error);
      this.refuse(reason, message);
      return;
    }
    trace.reason = reason;
    // Never a clean end: without a length or chunks a FIN would look like the end of the body.
    if (this.#delimited && reason !== "request_timeout" && reason !== "client_too_slow")
      this.#socket.destroy();
    else resetSocket(this.#socket);
  }

  /** Writes a reply of our own, in place of a response. */
  refuse(reason: RefusalReason, message?: string): void {
    const { trace } = this;
    if (trace === undefined) return;
    this.#exchange.giveUpPod();
    const reply = replyFor(reason, trace.replyContext(message));
    const { closes = false }: ReasonSpec = REASONS[reason];
    this.isLast = this.mustClose || closes;
    const isOverrun = this.#exchange.isUploading;
    trace.bytesOut = reply.body.length;
    this.#socket.write(replyBytes(reply, this.isLast, this.#context.options.clock));
    this.trace = undefined;
    trace.end(reply.status, reason);
    // What is not well formed has no end to wait for.
    if (isOverrun && reason !== "bad_request") this.#connection.enter("overrun");
    else if (this.isLast) this.#connection.enter("ended");
    else if (this.writeIsPending) this.#flush();
    else this.#connection.next();
  }

  /** The client's connection is closed, whoever closed it. */
  clientClosed(): void {
    const { trace } = this;
    this.trace = undefined;
    trace?.end(this.status === 0 ? 499 : this.status, trace.reason ?? "client_closed");
  }

  /** Of the response, `bytes` more were written. What of it waits in the socket is to be taken, no slower than the least rate. */
  #written(bytes: number, flows: boolean): void {
    const { pace } = this.#connection;
    if (this.writeIsPending) {
      pace.mustTake(bytes, this.#writer.pending);
      // A long write is above the high-water mark by itself: what counts is whether the kernel took it.
      if (!flows) this.#exchange.pausePod();
    } else {
      pace.rest();
    }
    this.#connection.touch();
  }

  /** Takes no further request before the client has taken this answer: else those who read none would fill the memory. */
  #flush(): void {
    if (!this.#exchange.isUploading) this.#connection.enter("flushing");
    this.#socket.write("", (error) => {
      // When the connection is cut, its close tells the record.
      if (!error && !this.#socket.destroyed) this.#answered();
    });
  }

  #answered(atMs?: Milliseconds): void {
    const { trace } = this;
    const { isUploading } = this.#exchange;
    this.trace = undefined;
    trace?.end(this.status, "ok", atMs);
    if (isUploading) this.#connection.enter("overrun");
    else if (this.isLast) this.#connection.enter("ended");
    else this.#connection.next();
  }
}
