import { fieldsOf } from "../http1/scanned-head.ts";

/** Who gets a decoded response. */
export interface DecodedResponse {
  /** Its fields as HTTP/2 may have them: flat, lower case, none about a connection. */
  head(status: number, fields: string[], isChunked: boolean): void;
  /** A part of the body, for the listener to keep. */
  data(bytes: Buffer): void;
  /** The last chunk has passed, and the trailer section has yet to come. */
  atTrailers(): void;
}

/** Not in HTTP/2 (RFC 9113 8.2.2). What came of the pod besides was taken out by the forwarding rules. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/**
 * | state | what comes next |
 * |---|---|
 * | `head` | the head of a final response, whole |
 * | `body` | body, up to the end |
 * | `size` | the line with a chunk's size |
 * | `chunk` | `#left` bytes of a chunk |
 * | `chunk_end` | the CRLF behind a chunk |
 * | `trailers` | the trailer section |
 */
type State = "head" | "body" | "size" | "chunk" | "chunk_end" | "trailers";

const CR = 13;
const LF = 10;
const SEMICOLON = 0x3b;

/**
 * Takes an HTTP/1.1 response apart that was found well formed, and made fit for the client, before (`PodResponse`,
 * `ResponseGuard`): so it looks for nothing that could be wrong.
 */
export class ResponseDecoder {
  readonly #response: DecodedResponse;
  #state: State = "head";
  #left = 0;
  /** Within a chunk's extension, which is dropped. */
  #inExtension = false;
  #trailers = "";

  constructor(response: DecodedResponse) {
    this.#response = response;
  }

  /** The chunks and the trailers of a chunked body have passed, whole. */
  get isChunkedEnd(): boolean {
    return this.#state === "trailers" && (this.#trailers === "\r\n" || this.#trailers.endsWith("\r\n\r\n"));
  }

  /** The body has no chunks. */
  get isUntilClose(): boolean {
    return this.#state === "body";
  }

  /** The trailer fields, flat; empty before the end. */
  get trailers(): string[] {
    return this.#trailers === "" ? [] : lowerFields(fieldsOf(this.#trailers, 0));
  }

  /** `text` begins with the head of the final response, whole; some of what follows may be there. */
  head(text: string): void {
    const end = text.indexOf("\r\n\r\n") + 4;
    const isChunked = this.#readHead(text.slice(0, end));
    this.#state = isChunked ? "size" : "body";
    if (end < text.length) this.#own(Buffer.from(text.slice(end), "latin1"));
  }

  /** More of it. The bytes may be overwritten afterwards. */
  bytes(bytes: Buffer, start: number, end: number): void {
    if (start === end) return;
    if (this.#state !== "head") {
      this.#own(Buffer.from(bytes.subarray(start, end)));
      return;
    }
    const headEnd = bytes.indexOf("\r\n\r\n", start, "latin1") + 4;
    const isChunked = this.#readHead(bytes.toString("latin1", start, headEnd));
    this.#state = isChunked ? "size" : "body";
    this.bytes(bytes, headEnd, end);
  }

  /** More of it, as text of one character per byte. */
  text(text: string): void {
    if (this.#state === "trailers") this.#trailers += text;
    else this.#own(Buffer.from(text, "latin1"));
  }

  #readHead(text: string): boolean {
    const status = Number(text.slice(9, 12));
    const sent = fieldsOf(text, text.indexOf("\r\n") + 2);
    const fields: string[] = [];
    let isChunked = false;
    for (let i = 0; i + 1 < sent.length; i += 2) {
      const name = (sent[i] ?? "").toLowerCase();
      if (!CONNECTION_SPECIFIC.has(name)) fields.push(name, sent[i + 1] ?? "");
      else isChunked ||= name === "transfer-encoding";
    }
    this.#response.head(status, fields, isChunked);
    return isChunked;
  }

  /** Bytes that are nobody else's. */
  #own(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      switch (this.#state) {
        case "head":
        case "body":
          this.#response.data(at === 0 ? bytes : bytes.subarray(at));
          return;
        case "size":
          at = this.#readSize(bytes, at);
          break;
        case "chunk": {
          const end = Math.min(bytes.length, at + this.#left);
          this.#left -= end - at;
          if (this.#left === 0) this.#state = "chunk_end";
          this.#response.data(bytes.subarray(at, end));
          at = end;
          break;
        }
        case "chunk_end":
          if (bytes[at] === LF) this.#state = "size";
          at += 1;
          break;
        case "trailers":
          this.#trailers += bytes.toString("latin1", at);
          return;
      }
    }
  }

  #readSize(bytes: Buffer, start: number): number {
    for (let at = start; at < bytes.length; at++) {
      const octet = bytes[at] ?? 0;
      if (octet === LF) {
        this.#inExtension = false;
        this.#state = this.#left === 0 ? "trailers" : "chunk";
        if (this.#left === 0 && bytes[at + 1] !== CR) this.#response.atTrailers();
        return at + 1;
      }
      if (octet === SEMICOLON) this.#inExtension = true;
      else if (octet !== CR && !this.#inExtension) this.#left = this.#left * 16 + hexDigit(octet);
    }
    return bytes.length;
  }
}

/** The status and the fields of a 1xx response. */
export function readInformational(head: string): { readonly status: number; readonly fields: string[] } {
  return { status: Number(head.slice(9, 12)), fields: lowerFields(fieldsOf(head, head.indexOf("\r\n") + 2)) };
}

/** Flat fields as HTTP/2 may have them. */
function lowerFields(sent: readonly string[]): string[] {
  const fields: string[] = [];
  for (let i = 0; i + 1 < sent.length; i += 2) {
    const name = (sent[i] ?? "").toLowerCase();
    if (!CONNECTION_SPECIFIC.has(name)) fields.push(name, sent[i + 1] ?? "");
  }
  return fields;
}

function hexDigit(octet: number): number {
  return octet <= 0x39 ? octet - 0x30 : (octet | 0x20) - 0x57;
}
