import type { Dispatcher } from "undici";

import type { PodConnection } from "./pod-connection.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";

/** What an {@link Attempt} tells of its request. */
export interface AttemptEvents {
  /** undici begins to send. */
  requestStarted(): void;
  /** Bytes of the request's body were given to the connection. */
  bodySent(): void;
  /** The request was given to the connection, whole. */
  requestSent(): void;
  /** The pod sent a 1xx response, as the client may have it. The response is yet to come. */
  informational(head: string): void;
  /** The pod sent the head of its response. `phrase`: a character for a byte. */
  responseStarted(status: number, phrase: string, rawHeaders: readonly Buffer[]): void;
  /** False when the client can't take more for now. */
  responseData(chunk: Buffer): boolean;
  /** undici takes the pod's response to be complete. `broken`: the connection ended with an error. */
  responseEnded(rawTrailers: readonly Buffer[], broken: boolean): void;
  /** The attempt failed. `unsent`: the connection was a kept one, and not a byte was given to it. */
  attemptFailed(error: Error, connection: PodConnection, unsent: boolean): void;
}

/** One dispatch of a request on one connection. After `abandon` nothing that undici still says of it is heard. */
export class Attempt implements Dispatcher.DispatchHandler {
  readonly connection: PodConnection;
  readonly #events: AttemptEvents;
  readonly #bytesBefore: number;
  readonly #kept: boolean;
  #controller: Dispatcher.DispatchController | undefined;
  #live = true;
  #answered = false;

  constructor(events: AttemptEvents, connection: PodConnection) {
    this.#events = events;
    this.connection = connection;
    this.#bytesBefore = connection.bytesWritten;
    this.#kept = connection.used;
  }

  abandon(): void {
    this.#live = false;
  }

  resume(): void {
    if (this.#live) this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (!this.#live) throw new UpstreamError("internal_error", "the request was given up");
    this.#controller = controller;
    this.#events.requestStarted();
  }

  onBodySent(): void {
    if (this.#live) this.#events.bodySent();
  }

  onRequestSent(): void {
    if (this.#live) this.#events.requestSent();
  }

  readonly onInformational = (head: string): void => {
    if (!this.#live) return;
    this.#answered = true;
    this.#events.informational(head);
  };

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (!this.#live) return;
    this.#answered = true;
    this.#events.responseStarted(status, this.connection.reasonPhrase, controller.rawHeaders as Buffer[]);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#live && !this.#events.responseData(chunk)) controller.pause();
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (!this.#live) return;
    this.#live = false;
    // undici closes the socket, where it must be closed, after this call has returned.
    queueMicrotask(() => this.connection.release());
    const { errored } = this.connection.socket;
    this.#events.responseEnded((controller.rawTrailers ?? []) as Buffer[], errored !== null);
  }

  /** `controller` is null when undici refused the request; it is not needed here. */
  onResponseError(_controller: unknown, error: Error): void {
    if (!this.#live) return;
    const unsent = this.#kept && !this.#answered && this.connection.bytesWritten === this.#bytesBefore;
    this.#events.attemptFailed(error, this.connection, unsent);
  }
}
