const FIRST_CAPACITY = 2048;

/** Bytes that are kept until more have come. Grows by doubling, so that a message that comes byte by byte costs no more. */
export class HeldBytes {
  #buffer: Buffer;
  #length = 0;

  /** Copies: what it is given may be overwritten afterwards. */
  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(FIRST_CAPACITY, end - start));
    this.append(bytes, start, end);
  }

  get length(): number {
    return this.#length;
  }

  /** What is held. Valid until more is appended. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    const length = this.#length + end - start;
    if (length > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(length, this.#buffer.length * 2));
      grown.set(this.bytes);
      this.#buffer = grown;
    }
    this.#buffer.set(bytes.subarray(start, end), this.#length);
    this.#length = length;
  }
}
