import { GrowingBytes } from "../../system/growing-bytes.ts";
import { ChunkScanner } from "../http1/chunk-scanner.ts";
import { HeadScan, TRAIT } from "../http1/head-scan.ts";
import { FieldIndex } from "../http1/field-index.ts";
import { INCOMPLETE, scanResponseHead } from "../http1/head-scanner.ts";
import { forwardResponseHeaders } from "../forwarding/forwarding.ts";
import { RESPONSE_FIELDS } from "../forwarding/field-rules.ts";
import { allValues } from "../http1/request-head.ts";
import { MAX_INFORMATIONAL, orderedResponseHead } from "../forwarding/response-head.ts";
import { fieldsOf } from "../http1/scanned-head.ts";
import { readTrailers } from "../forwarding/trailer-section.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";

/** What an answer is to. */
export interface GuardedRequest {
  readonly method: string;
  /** The value of `Upgrade` that was sent; absent: no other protocol may be answered. */
  readonly protocols?: string;
  /** Hears 1xx responses but 101, as the client gets them: what reads the guarded bytes does not. */
  readonly informational: (head: string) => void;
}

/**
 * | state | what comes next |
 * |---|---|
 * | `idle` | nothing: what comes is surplus |
 * | `head` | a response head |
 * | `length` | `#left` bytes of body |
 * | `chunked` | chunks |
 * | `trailers` | the trailer section of a chunked body |
 * | `through` | anything, until the pod closes: a body without a length, or another protocol |
 * | `surplus` | nothing that is looked at: more came than was asked for, or may be to come |
 */
type State = "idle" | "head" | "length" | "chunked" | "trailers" | "through" | "surplus";

const NOTHING = Buffer.alloc(0);
const fields = new FieldIndex(RESPONSE_FIELDS);
/** One for all connections: it holds for the length of a call. */
const scan = new HeadScan();

/**
 * Reads what pods send to the full lane as the fast lane reads it, before llhttp sees it: undici and node:http are lenient
 * with responses in some ways and refuse legal ones in others, and the same answer must come to the same in every lane. What
 * it lets through has one meaning: heads come whole, a length that is repeated or beside chunks is gone, trailers are those
 * that may be passed on, and 1xx responses are told of.
 */
export class ResponseGuard {
  readonly #maxHeadBytes: number;
  #state: State = "idle";
  #request: GuardedRequest | undefined;
  #held: GrowingBytes | undefined;
  /** How much of `#held` was scanned, as the begin of a head. */
  #scanned = 0;
  #left = 0;
  #chunks: ChunkScanner | undefined;
  #informational = 0;
  /** Chunks in an answer of HTTP/1.0, which knows none: read as such, and the connection closed behind it (RFC 9112 6.1). */
  #isLast = false;
  /** The reason phrase of the last final response, a character for a byte. */
  phrase = "";

  constructor(maxHeadBytes: number) {
    this.#maxHeadBytes = maxHeadBytes;
  }

  /** The next response is to this request. To be called before its first byte is written. */
  begin(request: GuardedRequest): void {
    this.#request = request;
    this.#state = "head";
    this.#held = undefined;
    this.#informational = 0;
  }

  /** More came than was asked for, or its framing is not to be trusted: no next answer can be believed. */
  get isSpoilt(): boolean {
    return this.#state === "surplus";
  }

  /**
   * What of `bytes`, and of what was held back before, may be read on: a copy, since `bytes` may be overwritten. Or what is
   * wrong with them; then nothing more is to be fed.
   */
  feed(bytes: Buffer): Buffer | UpstreamError {
    switch (this.#state) {
      case "idle":
        this.#state = "surplus";
        return NOTHING;
      case "head":
        return this.#onHead(bytes);
      case "length":
      case "chunked":
      case "trailers":
        return this.#onBody(bytes, 0);
      case "through":
        return Buffer.from(bytes);
      case "surplus":
        return NOTHING;
    }
  }

  #onHead(read: Buffer): Buffer | UpstreamError {
    let bytes = read;
    if (this.#held !== undefined) {
      const before = this.#held.length;
      this.#held.append(read, 0, read.length);
      bytes = this.#held.bytes;
      // A head that comes byte by byte is scanned when it may be complete, or has doubled.
      const mayBeWhole = bytes.includes("\r\n\r\n", Math.max(0, before - 3), "latin1");
      if (!mayBeWhole && bytes.length < 2 * this.#scanned && bytes.length <= this.#maxHeadBytes)
        return NOTHING;
    }
    for (let start = 0; ;) {
      const end = scanResponseHead(bytes, start, bytes.length, fields, scan);
      if (end < INCOMPLETE) return fault("the pod's response is not valid HTTP/1.1");
      const size = (end === INCOMPLETE ? bytes.length : end) - start;
      if (size > this.#maxHeadBytes) return fault("the head of the pod's response is too large");
      if (end === INCOMPLETE) {
        if (start > 0 || this.#held === undefined) this.#held = GrowingBytes.of(bytes, start, bytes.length);
        this.#scanned = size;
        return NOTHING;
      }
      if (scan.status >= 200 || scan.status === 101) {
        this.#held = undefined;
        return this.#onFinalHead(bytes, start, end);
      }
      const error = this.#onInformational(bytes.toString("latin1", start, end));
      if (error !== undefined) return error;
      start = end;
    }
  }

  #onInformational(head: string): UpstreamError | undefined {
    const { status } = scan;
    this.#informational += 1;
    if (this.#informational > MAX_INFORMATIONAL) {
      return fault(`the pod sent over ${MAX_INFORMATIONAL} 1xx responses`);
    }
    const ordered = orderedResponseHead(head, status, false, "");
    if (ordered.kind === "invalid") return fault(`the pod's response is invalid: ${ordered.message}`);
    this.#request?.informational(ordered.text);
    return undefined;
  }

  #onFinalHead(bytes: Buffer, start: number, end: number): Buffer | UpstreamError {
    const { status, contentLength, chunked, lengthRepeated } = scan;
    this.#isLast = chunked && (scan.traits & TRAIT.old) !== 0;
    const head = bytes.toString("latin1", start, end);
    if (status === 101) {
      const error = this.#faultOfSwitch(head);
      if (error !== undefined) return error;
      this.#state = "through";
      return Buffer.from(bytes.subarray(start));
    }
    this.phrase = head.slice("HTTP/1.1 200 ".length, head.indexOf("\r\n"));
    const hasBody = this.#request?.method !== "HEAD" && status !== 204 && status !== 304;
    const hasLength = contentLength >= 0;
    let clear = head;
    if (hasLength && (chunked || lengthRepeated)) {
      const said = forwardResponseHeaders(fieldsOf(head, head.indexOf("\r\n") + 2), status);
      if (said.kind === "invalid") return fault(`the pod's response is invalid: ${said.message}`);
      clear = withOneFraming(head, chunked);
    }
    this.#left = 0;
    if (!hasBody) {
      this.#state = "length";
    } else if (chunked) {
      this.#chunks ??= new ChunkScanner();
      this.#chunks.reset();
      this.#state = "chunked";
    } else if (hasLength) {
      this.#left = contentLength;
      this.#state = "length";
    } else {
      this.#state = "through";
    }
    const body = this.#state === "through" ? bytes.subarray(end) : this.#onBody(bytes, end);
    return body instanceof UpstreamError ? body : Buffer.concat([Buffer.from(clear, "latin1"), body]);
  }

  /** A pod may not change to what it was not asked for (RFC 9110 7.8): the client would take what follows for what it asked. */
  #faultOfSwitch(head: string): UpstreamError | undefined {
    const asked = listItems(this.#request?.protocols ?? "");
    if (asked.length === 0) return fault("the pod changed the protocol unasked");
    const agreed = allValues(fieldsOf(head, head.indexOf("\r\n") + 2), "upgrade").flatMap(listItems);
    // Without any, node:http takes it for a response, and it is refused there.
    return agreed.every((protocol) => asked.includes(protocol))
      ? undefined
      : fault("the pod changed to a protocol that was not asked for");
  }

  #onBody(bytes: Buffer, start: number): Buffer | UpstreamError {
    if (this.#state === "trailers") return this.#onTrailers(bytes, start);
    if (this.#state === "length") {
      const end = Math.min(bytes.length, start + this.#left);
      this.#left -= end - start;
      if (this.#left === 0) this.#end(end < bytes.length);
      return Buffer.from(bytes.subarray(start, end));
    }
    const chunks = this.#chunks;
    const end = chunks?.feed(bytes, start, bytes.length) ?? -1;
    if (chunks === undefined || end === -1) {
      return fault("the chunks of the pod's response are not well formed");
    }
    if (chunks.done) this.#end(end < bytes.length);
    if (!chunks.atTrailers) return Buffer.from(bytes.subarray(start, end));
    this.#state = "trailers";
    const trailers = this.#onTrailers(bytes, end);
    return trailers instanceof UpstreamError
      ? trailers
      : Buffer.concat([bytes.subarray(start, end), trailers]);
  }

  #onTrailers(bytes: Buffer, start: number): Buffer | UpstreamError {
    const known = this.#held?.length ?? 0;
    if (this.#held === undefined) this.#held = GrowingBytes.of(bytes, start, bytes.length);
    else this.#held.append(bytes, start, bytes.length);
    const section = readTrailers(this.#held.bytes, this.#maxHeadBytes, known);
    if (section.kind === "incomplete") return NOTHING;
    if (section.kind === "malformed") return fault("the trailers of the pod's response are not well formed");
    this.#end(section.length < this.#held.length);
    this.#held = undefined;
    return Buffer.from(section.text, "latin1");
  }

  #end(surplus: boolean): void {
    this.#state = surplus || this.#isLast ? "surplus" : "idle";
    this.#request = undefined;
  }
}

function fault(message: string): UpstreamError {
  return new UpstreamError("upstream_protocol", message);
}

/** The head without a length beside chunks (RFC 9112 6.3), or with the first of several equal ones (RFC 9110 8.6). */
function withOneFraming(head: string, chunked: boolean): string {
  let seen = chunked;
  return head
    .split("\r\n")
    .filter((line) => {
      if (!/^content-length:/i.test(line)) return true;
      const keep = !seen;
      seen = true;
      return keep;
    })
    .join("\r\n");
}

function listItems(value: string): string[] {
  return value
    .split(",")
    .map((item) => item.trim().toLowerCase())
    .filter((item) => item !== "");
}
