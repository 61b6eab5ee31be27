import { ApiFault } from "./fault.ts";

const NEWLINE = 0x0a;

/**
 * Cuts the bytes of a watch response into lines. Bytes are decoded only when their line is whole (a newline byte
 * is never part of another UTF-8 character), so a character split between two chunks stays intact. Holds at most
 * `maxLineBytes` of an unfinished line plus the chunk at hand.
 */
export class LineSplitter {
  readonly #maxLineBytes: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Bytes of a line whose end has not come. Not 0 at the end of a stream: the stream was cut. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * The lines that `chunk` completes, without their newline; empty ones are left out. Lines before a fault are
   * still yielded.
   * @throws {ApiFault} `oversized` for a line above the limit, `protocol` for one that is not UTF-8.
   */
  *push(chunk: Uint8Array): Generator<string, void, undefined> {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const bytes = this.#take(chunk.subarray(start, end));
      start = end + 1;
      if (bytes.length > 0) yield this.#decode(bytes);
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  #keep(bytes: Uint8Array): void {
    this.#pendingBytes += bytes.length;
    this.#refuseOversized(this.#pendingBytes);
    this.#pending.push(bytes);
  }

  #take(bytes: Uint8Array): Uint8Array {
    this.#refuseOversized(this.#pendingBytes + bytes.length);
    if (this.#pendingBytes === 0) return bytes;
    const line = Buffer.concat([...this.#pending, bytes]);
    this.#pending = [];
    this.#pendingBytes = 0;
    return line;
  }

  #refuseOversized(bytes: number): void {
    if (bytes <= this.#maxLineBytes) return;
    throw new ApiFault("oversized", `a watch event is longer than ${this.#maxLineBytes} bytes`);
  }

  #decode(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes);
    } catch (cause) {
      throw new ApiFault("protocol", "a watch event is not UTF-8", { cause });
    }
  }
}
