/** A number of bytes that may be held at one time. */
export class ByteBudget {
  #free: number;

  /** @param bytes how many may be taken at one time. */
  constructor(bytes: number) {
    this.#free = bytes;
  }

  /** Bytes that can still be taken. */
  get free(): number {
    return this.#free;
  }

  /** Takes `bytes` if that many are free; each must be given back once. */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false;
    this.#free -= bytes;
    return true;
  }

  /** Gives back what was taken. */
  give(bytes: number): void {
    this.#free += bytes;
  }
}
