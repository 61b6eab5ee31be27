import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";

/** What a {@link RequestBody} tells while it is read. */
export interface RequestBodyEvents {
  /** Bytes came from the client. */
  moved(bytes: number): void;
  /** The body is about to end with these trailer fields (flat, raw). */
  trailers(rawTrailers: readonly string[]): void;
  /** The pod takes no more for now (true), or takes more again. */
  blocked(isBlocked: boolean): void;
}

/**
 * A client's request body for undici to read. It stands between the two since undici destroys the body of a request
 * that fails, and a destroyed `IncomingMessage` can't be answered, drained or sent anew. Reads from the client no
 * faster than the pod takes it.
 */
export class RequestBody extends Readable {
  readonly #request: IncomingMessage;
  readonly #events: RequestBodyEvents;
  #attached = false;
  #touched = false;

  constructor(request: IncomingMessage, events: RequestBodyEvents) {
    super();
    this.#request = request;
    this.#events = events;
  }

  /** Nothing was read from the client yet, so another body can be made of the same request. */
  get untouched(): boolean {
    return !this.#touched;
  }

  /** The pod would take more, the client sends nothing. */
  get starved(): boolean {
    return this.#attached && !this.readableEnded && !this.isPaused();
  }

  override pause(): this {
    this.#events.blocked(true);
    return super.pause();
  }

  override resume(): this {
    if (this.isPaused()) this.#events.blocked(false);
    return super.resume();
  }

  override _read(): void {
    if (!this.#attached) {
      this.#attached = true;
      this.#request.on("data", this.#onData).on("end", this.#onEnd);
    }
    this.#request.resume();
  }

  override _destroy(_error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#attached && !this.#request.readableEnded) this.#request.pause();
    this.#request.off("data", this.#onData).off("end", this.#onEnd);
    // Why it was destroyed is told elsewhere; an 'error' that nobody hears would end the process.
    callback(null);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#touched = true;
    this.#events.moved(chunk.length);
    if (!this.push(chunk)) this.#request.pause();
  };

  readonly #onEnd = (): void => {
    this.#touched = true;
    if (this.#request.rawTrailers.length > 0) this.#events.trailers(this.#request.rawTrailers);
    this.push(null);
  };
}
