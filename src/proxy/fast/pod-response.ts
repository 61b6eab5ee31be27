import type { Milliseconds } from "../../system/clock.ts";
import { GrowingBytes } from "../../system/growing-bytes.ts";
import {
  closeCuts,
  MAX_INFORMATIONAL,
  orderedResponseHead,
  plainResponse,
} from "../forwarding/response-head.ts";
import { readTrailers } from "../forwarding/trailer-section.ts";
import { ChunkScanner } from "../http1/chunk-scanner.ts";
import type { FieldIndex } from "../http1/field-index.ts";
import { HeadScan, TRAIT } from "../http1/head-scan.ts";
import { INCOMPLETE, scanResponseHead } from "../http1/head-scanner.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { SMALL_READ_BYTES } from "../transport/read-buffers.ts";
import type { ResponseReader } from "./response-reader.ts";

/** What reading responses works with. */
export interface PodResponseContext {
  readonly responseFields: FieldIndex;
  readonly keepAliveTimeoutMs: Milliseconds;
  readonly maxResponseHeaderBytes: number;
  /** The value of a Date field for this second. */
  readonly httpDate: () => string;
}

/** A connection that is told when it lives for longer than one short exchange. */
interface LongLived {
  guard(): void;
}

/**
 * | phase | what comes next |
 * |---|---|
 * | `head` | a response head |
 * | `length` | `#left` bytes of body |
 * | `chunked` | chunks |
 * | `trailers` | the trailer section of a chunked body |
 * | `until_close` | body until the pod closes |
 * | `over` | nothing: there is no request, or its response is complete or given up |
 */
type Phase = "head" | "length" | "chunked" | "trailers" | "until_close" | "over";

/** Close this much before the pod says it will, so that no request crosses its FIN on the way. */
const KEEP_ALIVE_MARGIN_MS = 1000;
/** One for all connections: it holds for the length of a call. */
const scan = new HeadScan();

/** The response that is read from a pod's connection. Reused for each request on it. */
export class PodResponse {
  /** Who gets the response; `undefined` unless one is to come. */
  reader: ResponseReader | undefined;
  /** How long the connection may be idle afterwards, as far as the pod has said. */
  idleTimeoutMs: Milliseconds;
  readonly #context: PodResponseContext;
  readonly #pod: LongLived;
  #phase: Phase = "over";
  /** The last one, whose writes may still be under way. */
  #lastReader: ResponseReader | undefined;
  /** The last response was so long that the next is read into a large buffer from its begin. */
  #expectsLong = false;
  #left = 0;
  #chunks: ChunkScanner | undefined;
  #held: GrowingBytes | undefined;
  /** How much of `#held` was scanned, as the begin of a head. */
  #scanned = 0;
  #keep = true;
  #informational = 0;
  /** The last value of `Keep-Alive`, which rarely changes. */
  #keepAliveText = "";

  constructor(context: PodResponseContext, pod: LongLived) {
    this.#context = context;
    this.#pod = pod;
    this.idleTimeoutMs = context.keepAliveTimeoutMs;
  }

  /** The next response is for `reader`. */
  begin(reader: ResponseReader): void {
    this.reader = reader;
    this.#lastReader = reader;
    this.#phase = "head";
    this.#keep = true;
    this.#informational = 0;
  }

  /** The reader is not there any more, and hears nothing more. */
  forsake(): void {
    this.reader = undefined;
    this.#phase = "over";
  }

  /** The first `length` of `bytes` are more of the response. */
  read(bytes: Buffer, length: number, reader: ResponseReader): void {
    switch (this.#phase) {
      case "head":
        this.#onHeadBytes(bytes, length, reader);
        return;
      case "length": {
        const taken = Math.min(length, this.#left);
        this.#left -= taken;
        reader.countBody(taken);
        reader.bytes(bytes, 0, taken);
        if (this.#left === 0) this.#end(reader, taken < length);
        return;
      }
      case "chunked":
        this.#onChunks(bytes, 0, length, reader);
        return;
      case "trailers":
        this.#onTrailers(bytes, 0, length, reader);
        return;
      case "until_close":
        reader.countBody(length);
        reader.bytes(bytes, 0, length);
        return;
      case "over":
        return;
    }
  }

  /** The pod sends no more: some responses end so, others are cut. */
  end(): void {
    if (this.#phase === "until_close" && this.reader) this.#end(this.reader, false);
    else this.cut();
  }

  /** The connection is closed. */
  cut(): void {
    if (this.reader === undefined) {
      this.forsake();
      return;
    }
    const when = this.#phase === "head" ? "before it responded" : "within its response";
    this.fail(new UpstreamError("upstream_reset", `the pod closed the connection ${when}`));
  }

  fail(error: UpstreamError): void {
    const { reader } = this;
    this.forsake();
    reader?.failed(error);
  }

  /** What the next bytes are, for the buffer that they are read to (`ReadSlot.choose`). */
  get next(): "long" | "later" | "short" {
    const isLong =
      this.#phase === "chunked" ||
      this.#phase === "until_close" ||
      (this.#phase === "length" && this.#left > SMALL_READ_BYTES);
    if (isLong) return "long";
    return this.#expectsLong && this.#phase !== "over" ? "later" : "short";
  }

  /** What was read may still wait to be written. */
  get writeIsPending(): boolean {
    return this.reader?.writeIsPending ?? this.#lastReader?.writeIsPending ?? true;
  }

  #onHeadBytes(read: Buffer, readLength: number, reader: ResponseReader): void {
    const { responseFields, maxResponseHeaderBytes } = this.#context;
    let bytes = read;
    let length = readLength;
    if (this.#held !== undefined) {
      const before = this.#held.length;
      this.#held.append(read, 0, readLength);
      bytes = this.#held.bytes;
      length = bytes.length;
      // A head that comes byte by byte is scanned when it may be complete, or has doubled.
      const mayBeWhole = bytes.includes("\r\n\r\n", Math.max(0, before - 3), "latin1");
      if (!mayBeWhole && length < 2 * this.#scanned && length <= maxResponseHeaderBytes) return;
    }
    let start = 0;
    for (;;) {
      const end = scanResponseHead(bytes, start, length, responseFields, scan);
      if (end < INCOMPLETE) {
        this.#malformed("the pod's response is not valid HTTP/1.1");
        return;
      }
      if (
        end - start > maxResponseHeaderBytes ||
        (end === INCOMPLETE && length - start > maxResponseHeaderBytes)
      ) {
        this.#malformed("the head of the pod's response is too large");
        return;
      }
      if (end === INCOMPLETE) {
        if (start > 0 || this.#held === undefined) this.#held = GrowingBytes.of(bytes, start, length);
        this.#scanned = length - start;
        return;
      }
      if (scan.status >= 200) {
        this.#held = undefined;
        this.#onHead(bytes, start, end, length, reader);
        return;
      }
      if (!this.#onInformational(bytes, start, end, reader)) return;
      start = end;
      if (start === length) {
        this.#held = undefined;
        return;
      }
    }
  }

  /** Passes on a 1xx, as a proxy must (RFC 9110 15.2). */
  #onInformational(bytes: Buffer, start: number, end: number, reader: ResponseReader): boolean {
    this.#informational += 1;
    const head = orderedResponseHead(bytes.toString("latin1", start, end), scan.status, false, "");
    const fault =
      scan.status === 101
        ? "the pod changed the protocol unasked"
        : this.#informational > MAX_INFORMATIONAL
          ? `the pod sent over ${MAX_INFORMATIONAL} 1xx responses`
          : head.kind === "invalid"
            ? `the pod's response is invalid: ${head.message}`
            : undefined;
    if (fault !== undefined || head.kind === "invalid") {
      this.#malformed(fault ?? "");
      return false;
    }
    reader.informational(head.text);
    return true;
  }

  #onHead(bytes: Buffer, start: number, end: number, length: number, reader: ResponseReader): void {
    const { status } = scan;
    const hasBody = !reader.isHead && status !== 204 && status !== 304;
    const chunked = hasBody && scan.chunked;
    const hasLength = !scan.chunked && scan.contentLength >= 0;
    const untilClose = hasBody && !chunked && !hasLength;
    this.#keep = !scan.close && (scan.traits & TRAIT.old) === 0 && !untilClose;
    if (scan.keepAliveStart >= 0) this.#noteKeepAlive(bytes);

    let bodyEnd = end;
    let phase: Phase = "over";
    if (chunked) {
      this.#chunks ??= new ChunkScanner();
      this.#chunks.reset();
      bodyEnd = this.#chunks.feed(bytes, end, length);
      if (bodyEnd === -1) {
        this.#malformed("the chunks of the pod's response are not well formed");
        return;
      }
      if (!this.#chunks.done) phase = this.#chunks.atTrailers ? "trailers" : "chunked";
      reader.countBody(this.#chunks.dataBytes);
    } else if (hasLength && hasBody) {
      bodyEnd = Math.min(length, end + scan.contentLength);
      this.#left = scan.contentLength - (bodyEnd - end);
      if (this.#left > 0) phase = "length";
      reader.countBody(bodyEnd - end);
    } else if (untilClose) {
      bodyEnd = length;
      phase = "until_close";
      reader.countBody(bodyEnd - end);
    }

    const mustClose = reader.mustClose || untilClose;
    const date = scan.hasDate ? "" : `Date: ${this.#context.httpDate()}\r\n`;
    const bodyBytes = bodyEnd - end;
    const isLong = bodyBytes > SMALL_READ_BYTES;
    this.#expectsLong = isLong || (phase === "length" && this.#left > SMALL_READ_BYTES);
    const isPlain = scan.traits === 0 && status !== 204;
    this.#phase = phase;
    if (isPlain && isLong && !mustClose && date === "") {
      const begin = closeCuts(bytes, start, scan);
      reader.head(status, "", !untilClose);
      reader.bytes(bytes, begin, bodyEnd);
    } else {
      let text: string;
      const textEnd = isLong ? end : bodyEnd;
      if (isPlain) {
        text = plainResponse(bytes, start, end, textEnd, scan, mustClose, date);
      } else {
        const sent = bytes.toString("latin1", start, end);
        this.#keep &&= (scan.traits & TRAIT.connection) === 0 || !connectionCloses(sent);
        const ordered = orderedResponseHead(sent, status, mustClose, date, chunked);
        if (ordered.kind === "invalid") {
          this.#phase = "head";
          this.#malformed(`the pod's response is invalid: ${ordered.message}`);
          return;
        }
        text = textEnd === end ? ordered.text : ordered.text + bytes.toString("latin1", end, textEnd);
      }
      reader.head(status, text, !untilClose);
      if (isLong) reader.bytes(bytes, end, bodyEnd);
    }
    if (phase === "over") this.#end(reader, bodyEnd < length, true);
    else if (phase === "trailers") this.#onTrailers(bytes, bodyEnd, length, reader);
    else {
      this.#pod.guard();
      reader.continues();
    }
  }

  #onChunks(bytes: Buffer, start: number, length: number, reader: ResponseReader): void {
    const chunks = this.#chunks;
    const end = chunks?.feed(bytes, start, length) ?? -1;
    if (chunks === undefined || end === -1) {
      this.#malformed("the chunks of the pod's response are not well formed");
      return;
    }
    reader.countBody(chunks.dataBytes);
    if (end > start) reader.bytes(bytes, start, end);
    if (chunks.done) this.#end(reader, end < length);
    else if (chunks.atTrailers) {
      this.#phase = "trailers";
      this.#onTrailers(bytes, end, length, reader);
    }
  }

  #onTrailers(bytes: Buffer, start: number, length: number, reader: ResponseReader): void {
    const known = this.#held?.length ?? 0;
    if (this.#held === undefined) this.#held = GrowingBytes.of(bytes, start, length);
    else this.#held.append(bytes, start, length);
    const section = readTrailers(this.#held.bytes, this.#context.maxResponseHeaderBytes, known);
    if (section.kind === "incomplete") return;
    if (section.kind === "malformed") {
      this.#malformed("the trailers of the pod's response are not well formed");
      return;
    }
    const surplus = section.length < this.#held.length;
    this.#held = undefined;
    reader.text(section.text);
    this.#end(reader, surplus);
  }

  /** The response is complete. `surplus`: there is more, which nobody asked for. */
  #end(reader: ResponseReader, surplus: boolean, atOnce = false): void {
    this.forsake();
    reader.ended(this.#keep && !surplus && this.idleTimeoutMs > 0, atOnce);
  }

  #malformed(what: string): void {
    this.fail(new UpstreamError("upstream_protocol", what));
  }

  /** `Keep-Alive: timeout=5` (RFC 2068 19.7.1.1): the pod will close after so many seconds. */
  #noteKeepAlive(bytes: Buffer): void {
    const { keepAliveStart, keepAliveEnd } = scan;
    if (isText(bytes, keepAliveStart, keepAliveEnd, this.#keepAliveText)) return;
    const value = bytes.toString("latin1", keepAliveStart, keepAliveEnd);
    this.#keepAliveText = value;
    const seconds = /(?:^|[,\s])timeout=(\d{1,9})/i.exec(value)?.[1];
    const limitMs = this.#context.keepAliveTimeoutMs;
    this.idleTimeoutMs =
      seconds === undefined ? limitMs : Math.min(limitMs, Number(seconds) * 1000 - KEEP_ALIVE_MARGIN_MS);
  }
}

function isText(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** `Connection` with several options, or other ones. */
function connectionCloses(head: string): boolean {
  return /\r\nconnection:[^\r]*\bclose\b/i.test(head);
}
