import type { Milliseconds } from "../../system/clock.ts";
import type { Deadlines, Timed } from "../limits/deadlines.ts";
import { GrowingBytes } from "../../system/growing-bytes.ts";
import { ChunkScanner } from "../http1/chunk-scanner.ts";
import { HeadScan, INCOMPLETE, scanResponseHead, TRAIT } from "../http1/head-scanner.ts";
import type { FieldIndex } from "../http1/head-scanner.ts";
import { PooledConnection } from "../upstream/pooled-connection.ts";
import type { ConnectionKind, ConnectSettings } from "../upstream/pooled-connection.ts";
import { ReadSlot, SMALL_READ_BYTES } from "./read-buffers.ts";
import type { ReadBuffers } from "./read-buffers.ts";
import type { ResponseReader } from "./response-reader.ts";
import {
  closeCuts,
  MAX_INFORMATIONAL,
  orderedResponseHead,
  plainResponse,
} from "../forwarding/response-head.ts";
import { readTrailers } from "../forwarding/trailer-section.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { UpstreamSocket } from "../upstream/upstream-socket.ts";

/** What pod connections share. */
export interface FastPodContext {
  readonly deadlines: Deadlines;
  readonly buffers: ReadBuffers;
  readonly responseFields: FieldIndex;
  readonly keepAliveTimeoutMs: Milliseconds;
  readonly maxResponseHeaderBytes: number;
  /** The value of a Date field for this second. */
  readonly httpDate: () => string;
}

/**
 * | phase | what comes next |
 * |---|---|
 * | `connecting` | nothing |
 * | `idle` | nothing: bytes nobody asked for end the connection |
 * | `head` | a response head |
 * | `length` | `#left` bytes of body |
 * | `chunked` | chunks |
 * | `trailers` | the trailer section of a chunked body |
 * | `until_close` | body until the pod closes |
 * | `over` | nothing that is looked at |
 */
type Phase = "connecting" | "idle" | "head" | "length" | "chunked" | "trailers" | "until_close" | "over";

/** Close this much before the pod says it will, so that no request crosses its FIN on the way. */
const KEEP_ALIVE_MARGIN_MS = 1000;
/** After so much silence a connection is looked at for a turn before it carries a request. Busy ones are not held up. */
const RESTED_MS = 500;
/** One for all connections: it holds for the length of a call. */
const scan = new HeadScan();

/** A connection that the fast lane speaks HTTP/1.1 on itself. */
export class FastPod extends PooledConnection implements Timed {
  deadlineMs = Infinity;
  readonly #context: FastPodContext;
  readonly #reads: ReadSlot;
  readonly #connectTimeoutMs: Milliseconds;
  #phase: Phase = "connecting";
  #reader: ResponseReader | undefined;
  /** The last one, whose writes may still be under way. */
  #lastReader: ResponseReader | undefined;
  #isOpen = true;
  #isGuarded = false;
  #isPrompt = false;
  /** The last response was so long that the next is read into a large buffer from its begin. */
  #expectsLong = false;
  #requests = 0;
  #left = 0;
  #chunks: ChunkScanner | undefined;
  #held: GrowingBytes | undefined;
  /** How much of `#held` was scanned, as the begin of a head. */
  #scanned = 0;
  #keep = true;
  #idleTimeoutMs: Milliseconds;
  #informational = 0;
  #restingSinceMs = 0;
  /** The last value of `Keep-Alive`, which rarely changes. */
  #keepAliveText = "";

  constructor(context: FastPodContext, connect: ConnectSettings) {
    super(
      new UpstreamSocket({
        onread: {
          buffer: () => this.#reads.current,
          callback: (length, bytes) => {
            this.onRead(bytes as Buffer, length);
            return true;
          },
        },
      }),
      connect,
    );
    this.#context = context;
    this.#reads = new ReadSlot(context.buffers);
    this.#idleTimeoutMs = context.keepAliveTimeoutMs;
    this.#connectTimeoutMs = connect.connectTimeoutMs;
    this.deadlineMs = context.deadlines.in(connect.connectTimeoutMs);
    context.deadlines.add(this);
    this.connect();
  }

  override get usable(): boolean {
    return this.#isOpen;
  }

  override get used(): boolean {
    return this.#requests > 0;
  }

  /** The next response is for `reader`. To be called before the request's first byte is written. */
  begin(reader: ResponseReader): void {
    this.#reader = reader;
    this.#lastReader = reader;
    this.#phase = "head";
    this.#requests += 1;
    this.#keep = true;
    this.#informational = 0;
    this.deadlineMs = Infinity;
  }

  /** The reader is not there any more, and hears nothing more. */
  forsake(): void {
    this.#reader = undefined;
    this.#phase = "over";
  }

  /** It was idle for so long that the pod may be about to close it. */
  get hasRested(): boolean {
    return this.#requests > 0 && this.#context.deadlines.nowMs - this.#restingSinceMs > RESTED_MS;
  }

  /** Small pieces are sent at once from now on. To be called before a request is sent in more than one. */
  sendPromptly(): void {
    if (this.#isPrompt) return;
    this.#isPrompt = true;
    this.socket.setNoDelay(true);
  }

  override rest(): void {
    this.#guard();
    this.#phase = "idle";
    this.#restingSinceMs = this.#context.deadlines.nowMs;
    this.deadlineMs = this.#context.deadlines.in(this.#idleTimeoutMs);
  }

  onDeadline(): void {
    if (this.#phase === "idle") this.destroy();
    else if (this.#phase === "connecting") this.connectTimedOut(this.#connectTimeoutMs);
  }

  override destroy(): void {
    this.#isOpen = false;
    super.destroy();
  }

  override reset(): void {
    this.#isOpen = false;
    super.reset();
  }

  protected override onOpen(): void {
    this.#phase = "idle";
    this.deadlineMs = Infinity;
  }

  override drained(): void {
    this.#reader?.podDrained();
  }

  override errored(error: Error): void {
    this.#isOpen = false;
    super.errored(error);
    if (this.#reader) this.#fail(new UpstreamError("upstream_reset", error.message, { cause: error }));
  }

  override ended(): void {
    this.#isOpen = false;
    if (this.#phase === "until_close" && this.#reader) this.#end(this.#reader, false);
    else if (this.#reader) this.#fail(new UpstreamError("upstream_reset", closedEarly(this.#phase)));
    // What a pod that has closed is still sent goes nowhere.
    this.destroy();
  }

  override closed(): void {
    this.#isOpen = false;
    this.#reads.letGo(true);
    this.#context.deadlines.delete(this);
    // Not made for nobody: an Error with its stack costs as much as a small request.
    if (this.#reader) this.#fail(new UpstreamError("upstream_reset", closedEarly(this.#phase)));
    else this.forsake();
    super.closed();
  }

  /** `bytes` were read, and may be overwritten as soon as this returns. */
  onRead(bytes: Buffer, length: number): void {
    this.#onBytes(bytes, length);
    this.#chooseBuffer();
  }

  #onBytes(bytes: Buffer, length: number): void {
    const reader = this.#reader;
    if (reader === undefined) {
      // Bytes that no request asked for could be taken for the answer to the next one.
      if (this.#phase === "idle") this.destroy();
      return;
    }
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
      case "connecting":
      case "idle":
      case "over":
        return;
    }
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
        this.#fail(new UpstreamError("upstream_protocol", "the pod's response is not valid HTTP/1.1"));
        return;
      }
      if (
        end - start > maxResponseHeaderBytes ||
        (end === INCOMPLETE && length - start > maxResponseHeaderBytes)
      ) {
        this.#fail(new UpstreamError("upstream_protocol", "the head of the pod's response is too large"));
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
      this.#fail(new UpstreamError("upstream_protocol", fault ?? ""));
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
        this.#fail(
          new UpstreamError("upstream_protocol", "the chunks of the pod's response are not well formed"),
        );
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
          this.#fail(
            new UpstreamError("upstream_protocol", `the pod's response is invalid: ${ordered.message}`),
          );
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
      this.#guard();
      reader.continues();
    }
  }

  /**
   * Pods behind a NAT or on a lost node are noticed while nothing is sent. Not for connections that one short exchange uses
   * up: it takes four system calls.
   */
  #guard(): void {
    if (this.#isGuarded) return;
    this.#isGuarded = true;
    this.socket.setKeepAlive(true, 30_000);
  }

  #onChunks(bytes: Buffer, start: number, length: number, reader: ResponseReader): void {
    const chunks = this.#chunks;
    const end = chunks?.feed(bytes, start, length) ?? -1;
    if (chunks === undefined || end === -1) {
      this.#fail(
        new UpstreamError("upstream_protocol", "the chunks of the pod's response are not well formed"),
      );
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
      this.#fail(
        new UpstreamError("upstream_protocol", "the trailers of the pod's response are not well formed"),
      );
      return;
    }
    const surplus = section.length < this.#held.length;
    this.#held = undefined;
    reader.text(section.text);
    this.#end(reader, surplus);
  }

  /** The response is complete. `surplus`: there is more, which nobody asked for. */
  #end(reader: ResponseReader, surplus: boolean, atOnce = false): void {
    this.#phase = "over";
    this.#reader = undefined;
    reader.ended(this.#keep && !surplus && this.#idleTimeoutMs > 0, atOnce);
  }

  #fail(error: UpstreamError): void {
    const reader = this.#reader;
    this.forsake();
    reader?.failed(error);
  }

  /** `Keep-Alive: timeout=5` (RFC 2068 19.7.1.1): the pod will close after so many seconds. */
  #noteKeepAlive(bytes: Buffer): void {
    const { keepAliveStart, keepAliveEnd } = scan;
    if (isText(bytes, keepAliveStart, keepAliveEnd, this.#keepAliveText)) return;
    const value = bytes.toString("latin1", keepAliveStart, keepAliveEnd);
    this.#keepAliveText = value;
    const seconds = /(?:^|[,\s])timeout=(\d{1,9})/i.exec(value)?.[1];
    const limitMs = this.#context.keepAliveTimeoutMs;
    this.#idleTimeoutMs =
      seconds === undefined ? limitMs : Math.min(limitMs, Number(seconds) * 1000 - KEEP_ALIVE_MARGIN_MS);
  }

  #chooseBuffer(): void {
    const isLong =
      this.#phase === "chunked" ||
      this.#phase === "until_close" ||
      (this.#phase === "length" && this.#left > SMALL_READ_BYTES);
    const isExpected = this.#expectsLong && this.#phase !== "over";
    const isPending = this.#reader?.writeIsPending ?? this.#lastReader?.writeIsPending ?? true;
    this.#reads.choose(isLong ? "long" : isExpected ? "later" : "short", isPending);
  }
}

function isText(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false;
  return true;
}

function closedEarly(phase: Phase): string {
  return phase === "head"
    ? "the pod closed the connection before it responded"
    : "the pod closed the connection within its response";
}

/** `Connection` with several options, or other ones. */
function connectionCloses(head: string): boolean {
  return /\r\nconnection:[^\r]*\bclose\b/i.test(head);
}

/** Connections of the fast lane. */
export function fastPods(context: FastPodContext): ConnectionKind<FastPod> {
  return { open: (connect) => new FastPod(context, connect) };
}
