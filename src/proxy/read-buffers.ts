/** What nearly all heads and small bodies fit into; a string of so many bytes is written without a request of libuv's. */
export const SMALL_READ_BYTES = 16_384;
const BULK_READ_BYTES = 65_536;
const MAX_SPARE = 64;

/**
 * Buffers that sockets read into (`onread`), so that reading allocates nothing. All connections share one small one: what
 * is read is used up before the next read of any. A connection that passes on a long body reads into a large one of its
 * own, which is written to the other side as it is, without a copy.
 */
export class ReadBuffers {
  readonly small: Buffer = Buffer.allocUnsafeSlow(SMALL_READ_BYTES);
  readonly #spare: Buffer[] = [];

  /** A large buffer that nobody else uses until it is given back, or for ever. */
  takeBulk(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BULK_READ_BYTES);
  }

  /** `buffer` came from {@link takeBulk}, and no write of it is under way. */
  giveBack(buffer: Buffer): void {
    if (this.#spare.length < MAX_SPARE) this.#spare.push(buffer);
  }
}
