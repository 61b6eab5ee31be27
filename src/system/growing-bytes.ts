import type { ByteBudget } from "./byte-budget.ts";

/** Options of {@link GrowingBytes}. */
export interface GrowingBytesOptions {
  /** Size of the first buffer, unless more comes at once. Default: 2,048. */
  readonly firstBytes?: number;
  /** The buffer grows no further; more must not be appended. Default: no limit. */
  readonly maxBytes?: number;
  /** What the buffer's memory is taken from, shared with others. Default: memory is not counted. */
  readonly budget?: ByteBudget;
}

const EMPTY = Buffer.alloc(0);

/** Bytes that are kept until more have come. Grows by doubling, so that a message that comes byte by byte costs no more. */
export class GrowingBytes {
  readonly #firstBytes: number;
  readonly #maxBytes: number;
  readonly #budget: ByteBudget | undefined;
  #buffer = EMPTY;
  #length = 0;

  constructor({ firstBytes = 2048, maxBytes = Infinity, budget }: GrowingBytesOptions = {}) {
    this.#firstBytes = firstBytes;
    this.#maxBytes = maxBytes;
    this.#budget = budget;
  }

  /** Begins with those of `bytes` from `start` to before `end`. */
  static of(bytes: Uint8Array, start: number, end: number): GrowingBytes {
    const held = new GrowingBytes();
    held.append(bytes, start, end);
    return held;
  }

  get length(): number {
    return this.#length;
  }

  /** What is held. Valid until more is appended, or {@link clear} was called. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Copies: what it is given may be overwritten afterwards. False when the budget is spent; then nothing was appended. */
  append(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
    const length = this.#length + end - start;
    if (length > this.#buffer.length && !this.#grow(length)) return false;
    this.#buffer.set(bytes.subarray(start, end), this.#length);
    this.#length = length;
    return true;
  }

  /** Forgets the bytes, and keeps the memory for the next ones. */
  clear(): void {
    this.#length = 0;
  }

  /** Forgets the bytes and gives the memory back to the budget. */
  release(): void {
    this.#budget?.give(this.#buffer.length);
    this.#buffer = EMPTY;
    this.#length = 0;
  }

  #grow(needed: number): boolean {
    const size = Math.min(Math.max(this.#buffer.length * 2, needed, this.#firstBytes), this.#maxBytes);
    // While it is copied both are there.
    if (this.#budget?.take(size) === false) return false;
    const larger = Buffer.allocUnsafeSlow(size);
    if (this.#length > 0) larger.set(this.bytes);
    this.#budget?.give(this.#buffer.length);
    this.#buffer = larger;
    return true;
  }
}
