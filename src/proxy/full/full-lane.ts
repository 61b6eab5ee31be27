import type { IncomingMessage, ServerResponse } from "node:http";

import { endResponse, isUploading } from "../reply/end-response.ts";
import { Exchange } from "./exchange.ts";
import type { FullLaneOptions } from "./exchange.ts";
import type { Passage } from "../passage/lane.ts";
import { REASONS } from "../reply/reasons.ts";
import type { ReasonSpec, RefusalReason } from "../reply/reasons.ts";
import { replyFor } from "../reply/reply.ts";
import { RequestTrace } from "../record/request-trace.ts";
import { seekPassage } from "./seek-passage.ts";
import type { PassageSeeker } from "./seek-passage.ts";
import { tracedRequest } from "../record/traced-request.ts";

/** A request in the full lane, as its connection sees it. */
export interface InFlight {
  /** The request itself is not complete yet. */
  readonly receiving: boolean;
  /** Its turn has come: all earlier requests of the connection are answered. */
  begin(): void;
  /** Answers with a refusal if nothing was sent yet, else cuts the connection. */
  fail(reason: RefusalReason, message?: string): void;
}

/**
 * Takes one request of node:http all the way: verdict, pod, response, record. Nothing is sent before
 * {@link InFlight.begin}, and there is a record even if that never comes. `expectsContinue`: the client waits
 * for `100 Continue`. It gets one when a connection to the pod is there and takes the body; undici can't pass the
 * expectation on, and a client that was promised nothing sends no body to a pod that can't be reached. An exception
 * becomes `internal_error`; nothing is thrown.
 */
export function handleRequest(
  request: IncomingMessage,
  response: ServerResponse,
  options: FullLaneOptions,
  expectsContinue: boolean,
): InFlight {
  return new HandledRequest(request, response, options, expectsContinue);
}

class HandledRequest implements InFlight, PassageSeeker {
  readonly trace: RequestTrace;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #options: FullLaneOptions;
  readonly #expectsContinue: boolean;
  #exchange: Exchange | undefined;
  #cancelHold: (() => void) | undefined;
  #refused = false;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    options: FullLaneOptions,
    expectsContinue: boolean,
  ) {
    this.#request = request;
    this.#response = response;
    this.#options = options;
    this.#expectsContinue = expectsContinue;
    this.trace = new RequestTrace(tracedRequest(request), options);
    // Why they fail is known from their 'close'; unheard, the errors would end the process.
    request.on("error", () => {});
    response.on("error", () => {});
    response.once("close", () => this.#closed());
  }

  get receiving(): boolean {
    return isUploading(this.#request);
  }

  begin(): void {
    if (!this.isOver) this.#cancelHold = seekPassage(this, this.#options);
  }

  get isOver(): boolean {
    return this.#refused || this.#response.destroyed;
  }

  /** The response is over, or its client is gone. node:http tells pipelined ones of the latter too. */
  #closed(): void {
    this.#cancelHold?.();
    this.#exchange?.clientGone();
    const response = this.#response;
    const whole = response.writableFinished;
    const status = response.headersSent ? response.statusCode : 499;
    this.trace.end(status, this.trace.reason ?? (whole ? "ok" : "client_closed"));
  }

  fail(reason: RefusalReason, message?: string): void {
    this.#exchange?.clientGone();
    // A refusal on its way says what is to be said, and then closes the connection.
    if (this.#refused) return;
    if (!this.#response.headersSent) {
      this.refuse(reason, message);
    } else {
      this.trace.reason ??= reason;
      this.#response.destroy();
    }
  }

  forward({ verdict, head }: Extract<Passage, { kind: "forward" }>): void {
    const expectsContinue = this.#expectsContinue && head.body !== "none";
    this.#exchange = new Exchange(
      this.#request,
      this.#response,
      { incarnation: verdict.incarnation, port: verdict.port, head, expectsContinue },
      this.trace,
      this.#options,
      (reason, error) => {
        this.#options.refusals.tell(this.trace, reason, error);
        this.refuse(reason);
      },
    );
    this.#exchange.start();
  }

  refuse(reason: RefusalReason, message?: string): void {
    if (this.#response.destroyed) return;
    this.#refused = true;
    this.trace.reason = reason;
    const { status, headers, body } = replyFor(reason, this.trace.replyContext(message));
    // A body that will not be read can't be followed by a next request, nor can what may have been read wrongly.
    const { closes = false }: ReasonSpec = REASONS[reason];
    if (this.#options.draining() || isUploading(this.#request) || closes) {
      headers.push("Connection", "close");
    }
    this.#response.writeHead(status, headers);
    this.trace.bytesOut = body.length;
    if (body.length > 0) this.#response.write(body);
    if (this.#expectsContinue) this.#response.end();
    else endResponse(this.#request, this.#response, this.#options.clock);
  }

  broke(): void {
    try {
      this.fail("internal_error");
    } catch {
      this.trace.reason ??= "internal_error";
      this.#response.destroy();
    }
  }
}
