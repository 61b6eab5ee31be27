/** A close frame of a server, status 1001 "going away" (RFC 6455 5.5.1, 7.4.1). */
export const CLOSE_GOING_AWAY: Uint8Array = Uint8Array.of(0x88, 0x02, 0x03, 0xe9);

const OPCODE_CLOSE = 0x8;

/**
 * Follows a stream of WebSocket frames (RFC 6455 5.2) just closely enough to know where one ends: a frame of our own
 * may be put there, between the fragments of a message too. Payload is neither looked at nor copied.
 */
export class FrameBoundaryTracker {
  /** Header bytes seen of the present frame. */
  #headerSeen = 0;
  #headerLength = 2;
  #payloadLeft = 0;
  #opcode = 0;
  #closeSeen = false;

  /** The next byte begins a frame. */
  get atBoundary(): boolean {
    return this.#headerSeen === 0;
  }

  /** A close frame went by: the peer sends nothing more that counts. */
  get closeSeen(): boolean {
    return this.#closeSeen;
  }

  /** Takes the next bytes of the stream. */
  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) at = this.#advance(chunk, at);
  }

  /**
   * Takes the next bytes up to the end of the present frame. Returns how many those are; `atBoundary` tells whether
   * the frame ended with them. At a boundary takes nothing.
   */
  pushToBoundary(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length && !this.atBoundary) at = this.#advance(chunk, at);
    return at;
  }

  /** Consumes at least one byte, at most to the end of the present frame, and returns the new position. */
  #advance(chunk: Uint8Array, start: number): number {
    let at = start;
    while (this.#headerSeen < this.#headerLength) {
      const byte = chunk[at];
      if (byte === undefined) return at;
      this.#header(byte);
      at += 1;
    }
    const taken = Math.min(this.#payloadLeft, chunk.length - at);
    this.#payloadLeft -= taken;
    if (this.#payloadLeft === 0) {
      this.#headerSeen = 0;
      this.#headerLength = 2;
    }
    return at + taken;
  }

  #header(byte: number): void {
    const index = this.#headerSeen;
    this.#headerSeen += 1;
    if (index === 0) {
      this.#opcode = byte & 0x0f;
      return;
    }
    if (index === 1) {
      const length = byte & 0x7f;
      const masked = (byte & 0x80) !== 0;
      const extended = length === 127 ? 8 : length === 126 ? 2 : 0;
      this.#headerLength = 2 + extended + (masked ? 4 : 0);
      this.#payloadLeft = extended === 0 ? length : 0;
      this.#extendedEnd = 2 + extended;
      if (this.#opcode === OPCODE_CLOSE) this.#closeSeen = true;
      return;
    }
    // Lengths above 2^53 lose precision; no such frame ever ends.
    if (index < this.#extendedEnd) this.#payloadLeft = this.#payloadLeft * 256 + byte;
  }

  #extendedEnd = 2;
}
