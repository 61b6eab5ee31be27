/** What the bytes read so far make of the response that was expected. */
export type ResponseProgress = "more" | "done" | "done-close" | { readonly wrong: string };

/** A response head that was read and found right, byte by byte as it came. */
interface KnownHead {
  readonly bytes: Buffer;
  readonly closes: boolean;
}

/**
 * The heads that one proxy sends, shared by all connections of a measurement: a head is parsed once and then known
 * by its bytes. Proxies differ in the headers they add, and most write the same ones for a second.
 */
export interface HeadMemory {
  known: KnownHead;
}

export function createHeadMemory(): HeadMemory {
  return { known: { bytes: Buffer.alloc(0), closes: false } };
}

/** Longest head that is accepted. */
const MAX_HEAD_BYTES = 8192;

/**
 * Checks the responses of one connection, one at a time: status 200, a Content-Length that is right, and each byte
 * of the body, which also tells the pod that sent it from all others.
 */
export class ResponseCheck {
  readonly #memory: HeadMemory;
  #body: Buffer = Buffer.alloc(0);
  /** Bytes of the body that came; -1 while the head is incomplete. */
  #received = -1;
  #closes = false;
  #partialHead: Buffer | undefined;

  constructor(memory: HeadMemory) {
    this.#memory = memory;
  }

  /** The next response must have this body. */
  expect(body: Buffer): void {
    this.#body = body;
    this.#received = -1;
    this.#partialHead = undefined;
  }

  /** Takes `length` bytes from the start of `buffer`, which may be used again afterwards. */
  feed(buffer: Buffer, length: number): ResponseProgress {
    if (this.#received >= 0) return this.#feedBody(buffer, 0, length);
    const { bytes, closes } = this.#memory.known;
    if (
      this.#partialHead === undefined &&
      bytes.length > 0 &&
      length >= bytes.length &&
      buffer.compare(bytes, 0, bytes.length, 0, bytes.length) === 0
    ) {
      this.#received = 0;
      this.#closes = closes;
      return this.#feedBody(buffer, bytes.length, length);
    }
    return this.#feedHead(buffer, length);
  }

  #feedHead(buffer: Buffer, length: number): ResponseProgress {
    const fresh = buffer.subarray(0, length);
    const all = this.#partialHead === undefined ? fresh : Buffer.concat([this.#partialHead, fresh]);
    const end = all.indexOf("\r\n\r\n", 0, "latin1");
    if (end < 0) {
      if (all.length > MAX_HEAD_BYTES) return { wrong: `no end of the head within ${MAX_HEAD_BYTES} bytes` };
      this.#partialHead = Buffer.from(all);
      return "more";
    }
    const head = all.toString("latin1", 0, end + 2);
    const wrong = faultOf(head, this.#body.length);
    if (wrong !== undefined) return { wrong };
    const closes = /\r\nconnection: *close *\r\n/i.test(head);
    this.#memory.known = { bytes: Buffer.from(all.subarray(0, end + 4)), closes };
    this.#closes = closes;
    this.#partialHead = undefined;
    this.#received = 0;
    return this.#feedBody(all, end + 4, all.length);
  }

  #feedBody(buffer: Buffer, start: number, end: number): ResponseProgress {
    const from = this.#received;
    const to = from + (end - start);
    if (to > this.#body.length) return { wrong: `${to - this.#body.length} bytes more than expected` };
    if (buffer.compare(this.#body, from, to, start, end) !== 0) {
      const got = buffer.toString("latin1", start, Math.min(end, start + 24));
      return { wrong: `the body differs within bytes ${from} to ${to}; it has ${JSON.stringify(got)}` };
    }
    this.#received = to;
    if (to < this.#body.length) return "more";
    return this.#closes ? "done-close" : "done";
  }
}

/** What is wrong with a head (its lines with their ends), or undefined. */
function faultOf(head: string, bodyBytes: number): string | undefined {
  if (!head.startsWith("HTTP/1.1 200 ")) return `the reply was: ${head.slice(0, 300)}`;
  const lengths = [...head.matchAll(/^content-length: *(\d+) *\r$/gim)].map((each) => Number(each[1]));
  if (lengths.length !== 1 || lengths[0] !== bodyBytes) {
    return `Content-Length is ${lengths.join(", ") || "missing"}, not ${bodyBytes}`;
  }
  if (/\r\ntransfer-encoding:/i.test(head)) return "Content-Length and Transfer-Encoding in one response";
  return undefined;
}
