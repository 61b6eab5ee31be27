/**
 * What nearly all heads and small bodies fit into. Somewhat below 16 KiB: a string of up to that many bytes is written
 * without a buffer of its own, and what was read here may grow by a few fields before it is written.
 */
export const SMALL_READ_BYTES = 15_360;
/** A body of 64 KiB and its head, in one read. */
const BULK_READ_BYTES = 131_072;
const MAX_SPARE = 8;
/** Large buffers that connections may hold while they are idle. */
const MAX_WAITING = 64;

/**
 * Buffers that sockets read into (`onread`), so that reading allocates nothing. All connections share one small one: what
 * is read is used up before the next read of any. A connection that passes on a long body reads into a large one of its
 * own, which is written to the other side as it is, without a copy.
 */
export class ReadBuffers {
  readonly small: Buffer = Buffer.allocUnsafeSlow(SMALL_READ_BYTES);
  readonly #spare: Buffer[] = [];
  #lent = 0;

  /** A large buffer that nobody else uses until it is given back or dropped. */
  takeBulk(): Buffer {
    this.#lent += 1;
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BULK_READ_BYTES);
  }

  /** The same for a connection that only expects a long body: not for any number of them. */
  takeForLater(): Buffer {
    return this.#lent < MAX_WAITING ? this.takeBulk() : this.small;
  }

  /** `buffer` came from {@link takeBulk}, and no write of it is under way. */
  giveBack(buffer: Buffer): void {
    this.#lent -= 1;
    if (this.#spare.length < MAX_SPARE) this.#spare.push(buffer);
  }

  /** A write of a buffer from {@link takeBulk} is under way: it is that write's from now on. */
  drop(): void {
    this.#lent -= 1;
  }
}

/** The buffer that one connection reads into: the shared small one, or a large one of its own while that is worth it. */
export class ReadSlot {
  /** Where the next bytes are read to. */
  current: Buffer;
  readonly #buffers: ReadBuffers;

  constructor(buffers: ReadBuffers) {
    this.#buffers = buffers;
    this.current = buffers.small;
  }

  /**
   * To be called after each read. `next`: whether a long body goes on, or is only expected. `isPending`: a write of what
   * was read may be under way, so that the buffer is that write's from now on.
   */
  choose(next: "long" | "later" | "short", isPending: boolean): void {
    if (this.current === this.#buffers.small) {
      if (next === "long") this.current = this.#buffers.takeBulk();
      else if (next === "later") this.current = this.#buffers.takeForLater();
      return;
    }
    if (next !== "short" && !isPending) return;
    this.letGo(isPending);
    if (next === "long") this.current = this.#buffers.takeBulk();
  }

  /** Goes back to the small buffer. */
  letGo(isPending: boolean): void {
    const used = this.current;
    if (used === this.#buffers.small) return;
    this.current = this.#buffers.small;
    if (isPending) this.#buffers.drop();
    else this.#buffers.giveBack(used);
  }
}
