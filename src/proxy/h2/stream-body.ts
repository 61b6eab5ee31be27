import type { ServerHttp2Stream } from "node:http2";
import type { SmallBodies } from "../limits/small-bodies.ts";

/** Who takes the body of a request. */
export interface StreamBodyTaker {
  /** Nothing more of it is wanted. */
  readonly isOver: boolean;
  /** More of it came. `isKept`: it is part of a small body, and stays with that. */
  bodyBytes(bytes: Buffer, isKept: boolean): void;
  /** All of it is here. */
  bodyEnded(): void;
  /** It is longer or shorter than its content-length. nghttp2 has seen to that; a pod must never get what could be taken for a next request. */
  bodyMisfits(how: "longer" | "shorter"): void;
}

/** The body of a request on a stream of HTTP/2: counted, and kept until it is whole where it is small. */
export class StreamBody {
  /** A small body, as far as it is here. */
  collected: Buffer | undefined;
  #collectedLength = 0;
  /** Of a body with a length: what is still to come. */
  #left = Infinity;
  #reading = false;
  readonly #stream: ServerHttp2Stream;
  readonly #smallBodies: SmallBodies;
  readonly #taker: StreamBodyTaker;

  constructor(stream: ServerHttp2Stream, smallBodies: SmallBodies, taker: StreamBodyTaker) {
    this.#stream = stream;
    this.#smallBodies = smallBodies;
    this.#taker = taker;
  }

  /** `length`: of the whole body; Infinity when nobody knows. */
  expect(length: number): void {
    this.#left = length;
  }

  /** Keeps a body of `length` bytes from now on, if there is room for it. */
  collect(length: number): boolean {
    if (!this.#smallBodies.reserve(length)) return false;
    this.collected = Buffer.allocUnsafeSlow(length);
    return true;
  }

  /** Reads it from now on. */
  read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#stream.on("data", (bytes: Buffer) => this.#onBytes(bytes)).on("end", () => this.#onEnd());
  }

  /** What was kept is needed no more. */
  dropCollected(): void {
    if (this.collected === undefined) return;
    this.#smallBodies.release(this.collected.length);
    this.collected = undefined;
  }

  #onBytes(bytes: Buffer): void {
    const taker = this.#taker;
    if (taker.isOver) return;
    this.#left -= bytes.length;
    if (this.#left < 0) {
      taker.bodyMisfits("longer");
      return;
    }
    const { collected } = this;
    if (collected !== undefined) this.#collectedLength += bytes.copy(collected, this.#collectedLength);
    taker.bodyBytes(bytes, collected !== undefined);
  }

  #onEnd(): void {
    const taker = this.#taker;
    if (taker.isOver || this.#stream.aborted) return;
    if (this.#left > 0 && this.#left !== Infinity) taker.bodyMisfits("shorter");
    else taker.bodyEnded();
  }
}
