import type { IncomingMessage } from "node:http";

import type { SmallBodies } from "../limits/small-bodies.ts";

/** What a {@link CollectedBody} tells of. */
export interface CollectedBodyEvents {
  /** `bytes` more of it are here. */
  readonly moved: (bytes: number) => void;
  readonly whole: () => void;
}

/** A small request body that is read whole before a connection to the pod is taken. */
export class CollectedBody {
  readonly bytes: Buffer;
  readonly #request: IncomingMessage;
  readonly #smallBodies: SmallBodies;
  readonly #events: CollectedBodyEvents;
  #length = 0;
  #isDropped = false;

  /** Reads from now on. The `length` bytes must have been reserved in `smallBodies`. */
  constructor(
    request: IncomingMessage,
    length: number,
    smallBodies: SmallBodies,
    events: CollectedBodyEvents,
  ) {
    this.bytes = Buffer.allocUnsafeSlow(length);
    this.#request = request;
    this.#smallBodies = smallBodies;
    this.#events = events;
    request.on("data", this.#onData).on("end", events.whole);
  }

  /** Reads no more, and gives the memory back. */
  drop(): void {
    if (this.#isDropped) return;
    this.#isDropped = true;
    this.#smallBodies.release(this.bytes.length);
    this.#request.off("data", this.#onData).off("end", this.#events.whole);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#length += chunk.copy(this.bytes, this.#length);
    this.#events.moved(chunk.length);
  };
}
