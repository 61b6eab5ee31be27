/** Limits of {@link SmallBodies}, in bytes. */
export interface SmallBodyLimits {
  /** The longest body that is held. 0: none is. */
  readonly maxBytes: number;
  /** Memory for all that are held at one time. */
  readonly totalBytes: number;
}

/**
 * Which request bodies are read whole before a connection to the pod is taken, and the memory for them. A client that sends
 * such a body slowly holds nothing that others need. A body that is longer, of unknown length, or finds no memory left is
 * streamed. One for all connections of the process.
 */
export class SmallBodies {
  readonly #maxBytes: number;
  #freeBytes: number;

  constructor({ maxBytes, totalBytes }: SmallBodyLimits) {
    this.#maxBytes = maxBytes;
    this.#freeBytes = totalBytes;
  }

  /** Bytes that can still be reserved. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /**
   * Reserves memory for a body of `length` bytes, negative when it is not known. True: it is to be read whole, and `length`
   * must be given back once to {@link release}.
   */
  reserve(length: number): boolean {
    if (length < 0 || length > this.#maxBytes || length > this.#freeBytes) return false;
    this.#freeBytes -= length;
    return true;
  }

  /** Gives back what {@link reserve} took. */
  release(length: number): void {
    this.#freeBytes += length;
  }
}
