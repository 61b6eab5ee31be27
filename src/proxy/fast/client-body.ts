import { ChunkScanner } from "../http1/chunk-scanner.ts";
import type { HeadScan } from "../http1/head-scanner.ts";
import { SMALL_READ_BYTES } from "./read-buffers.ts";

/** How far what a client sends is the body of its request (RFC 9112 6), one request after the other. */
export class ClientBody {
  /** The body is here whole, trailers included, or there is none. */
  done = true;
  /** Of the last {@link take}: the bytes that are body, and not its framing. */
  taken = 0;
  /** -1: chunked. */
  #left = 0;
  #chunks: ChunkScanner | undefined;

  /** The body of the request whose head was just scanned. */
  begin(scan: HeadScan): void {
    this.#left = scan.chunked ? -1 : Math.max(scan.contentLength, 0);
    this.done = this.#left === 0;
    if (scan.chunked) this.#chunks?.reset();
  }

  /** Returns up to where `bytes`, from `start` on, are body; -1 when the body is not well formed. */
  take(bytes: Buffer, start: number): number {
    if (this.#left >= 0) {
      this.taken = Math.min(this.#left, bytes.length - start);
      this.#left -= this.taken;
      this.done = this.#left === 0;
      return start + this.taken;
    }
    this.#chunks ??= new ChunkScanner();
    const end = this.#chunks.feed(bytes, start, bytes.length);
    this.done = this.#chunks.done;
    this.taken = this.#chunks.dataBytes;
    return end;
  }

  /** The chunks are over, and the trailers are next. */
  get atTrailers(): boolean {
    return !this.done && this.#left < 0 && (this.#chunks?.atTrailers ?? false);
  }

  /** What is still to come does not fit into a small read, as far as is known. */
  get isLong(): boolean {
    return this.#left < 0 || this.#left > SMALL_READ_BYTES;
  }

  /** Nothing more belongs to it. */
  end(): void {
    this.done = true;
  }
}
