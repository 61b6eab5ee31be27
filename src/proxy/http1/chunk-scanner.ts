/* oxlint-disable typescript/no-non-null-assertion -- every offset that is read lies below `end`, which was compared */
import { OCTETS, TOKEN, VALUE } from "./octets.ts";

/**
 * | state | the next octet is |
 * |---|---|
 * | `size` | a hexadecimal digit, or what ends the digits |
 * | `extension` | within a chunk extension |
 * | `size_lf` | the LF behind the size |
 * | `data` | of the chunk |
 * | `data_cr`, `data_lf` | what ends the chunk's data |
 * | `end` | the CR of the message's end, or the first of a trailer |
 * | `end_lf` | the message's last |
 * | `trailers` | the first of a trailer section |
 * | `done` | of another message |
 * | `broken` | not looked at |
 */
type State =
  | "size"
  | "extension"
  | "size_lf"
  | "data"
  | "data_cr"
  | "data_lf"
  | "end"
  | "end_lf"
  | "trailers"
  | "done"
  | "broken";

const CR = 13;
const LF = 10;
const SEMICOLON = 0x3b;
/** 12 hexadecimal digits are below 2^53. */
const MAX_DIGITS = 12;
/** Extensions of one chunk: nobody uses them, but they cost a client nothing and everybody else time. */
const MAX_EXTENSION = 1024;

/**
 * Follows the framing of a chunked body (RFC 9112 7.1) without copying it: which octets belong to the message is told, and
 * they are passed on as they are. Strict: CRLF everywhere, no white space around a size. Trailers are left to the caller.
 */
export class ChunkScanner {
  #state: State = "size";
  #size = 0;
  #digits = 0;
  #extension = 0;
  /** Octets of data that the last {@link feed} saw: the body without its framing. */
  dataBytes = 0;

  /** The next body begins. */
  reset(): void {
    this.#state = "size";
    this.#size = 0;
    this.#digits = 0;
    this.#extension = 0;
  }

  /** The message is complete. */
  get done(): boolean {
    return this.#state === "done";
  }

  /** The last chunk has passed, and a trailer section follows: at the offset that {@link feed} returned. */
  get atTrailers(): boolean {
    return this.#state === "trailers";
  }

  /** Returns the offset behind the last octet that belongs to the message and is no trailer, or -1: not well formed. */
  feed(bytes: Uint8Array, start: number, end: number): number {
    this.dataBytes = 0;
    let p = start;
    while (p < end) {
      if (this.#state === "data") {
        const rest = end - p;
        const taken = rest < this.#size ? rest : this.#size;
        this.dataBytes += taken;
        this.#size -= taken;
        p += taken;
        if (this.#size > 0) return end;
        this.#state = "data_cr";
        continue;
      }
      if (this.#state === "end" && bytes[p] !== CR) {
        if ((OCTETS[bytes[p]!]! & TOKEN) === 0) return this.#break();
        this.#state = "trailers";
        return p;
      }
      if (!this.#take(bytes[p]!)) return this.#break();
      p++;
      if (this.#state === "done") return p;
    }
    return p;
  }

  #break(): -1 {
    this.#state = "broken";
    return -1;
  }

  #take(octet: number): boolean {
    switch (this.#state) {
      case "size":
        return this.#takeSize(octet);
      case "extension":
        if (octet === CR) this.#state = "size_lf";
        else if ((OCTETS[octet]! & VALUE) === 0 || ++this.#extension > MAX_EXTENSION) return false;
        return true;
      case "size_lf":
        this.#digits = 0;
        this.#extension = 0;
        this.#state = this.#size === 0 ? "end" : "data";
        return octet === LF;
      case "data_cr":
        this.#state = "data_lf";
        return octet === CR;
      case "data_lf":
        this.#state = "size";
        return octet === LF;
      case "end":
        this.#state = "end_lf";
        return octet === CR;
      case "end_lf":
        this.#state = "done";
        return octet === LF;
      case "data":
      case "trailers":
      case "done":
      case "broken":
        return false;
    }
  }

  #takeSize(octet: number): boolean {
    const digit = hexDigit(octet);
    if (digit >= 0) {
      this.#size = this.#size * 16 + digit;
      return ++this.#digits <= MAX_DIGITS;
    }
    if (this.#digits === 0) return false;
    if (octet === CR) this.#state = "size_lf";
    else if (octet === SEMICOLON) this.#state = "extension";
    else return false;
    return true;
  }
}

function hexDigit(octet: number): number {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const letter = octet | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
