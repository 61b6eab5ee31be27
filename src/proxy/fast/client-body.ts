import { GrowingBytes } from "../../system/growing-bytes.ts";
import { readTrailers } from "../forwarding/trailer-section.ts";
import { ChunkScanner } from "../http1/chunk-scanner.ts";
import { MALFORMED_REQUEST } from "../passage/admission.ts";
import type { ClientAnswer } from "./client-answer.ts";
import type { ExchangeConnection } from "./client-phase.ts";
import type { FastLaneContext } from "./fast-lane-context.ts";
import type { FastOutbound } from "./fast-outbound.ts";
import { SMALL_READ_BYTES } from "../transport/read-buffers.ts";

/**
 * The body of a client's request: where it ends in the client's bytes (RFC 9112 6), and its way to the pod. A small one is
 * read whole before a connection to the pod is taken. Reused for each request.
 */
export class ClientBody {
  /** The body is here whole, trailers included, or there is none. */
  done = true;
  readonly #connection: ExchangeConnection;
  readonly #context: FastLaneContext;
  readonly #outbound: FastOutbound;
  readonly #answer: ClientAnswer;
  /** -1: chunked. */
  #left = 0;
  #chunks: ChunkScanner | undefined;
  /** How much of the trailers was looked at. */
  #scanned = 0;
  #collected: GrowingBytes | undefined;
  /** To be given back to `SmallBodies`. */
  #reserved = 0;

  constructor(
    connection: ExchangeConnection,
    context: FastLaneContext,
    outbound: FastOutbound,
    answer: ClientAnswer,
  ) {
    this.#connection = connection;
    this.#context = context;
    this.#outbound = outbound;
    this.#answer = answer;
  }

  /** Begins with the body of the request whose head was just scanned. */
  begin(): void {
    const { chunked, contentLength } = this.#context.scan;
    this.#left = chunked ? -1 : Math.max(contentLength, 0);
    this.done = this.#left === 0;
    this.#scanned = 0;
    if (chunked) this.#chunks?.reset();
  }

  /** There is none. */
  none(): void {
    this.done = true;
  }

  /** What is still to come does not fit into a small read, as far as is known. */
  get isLong(): boolean {
    return this.#left < 0 || this.#left > SMALL_READ_BYTES;
  }

  /** Takes what came with the head. True: the request can be sent. Otherwise it was refused, or its body is collected first. */
  open(bytes: Buffer, start: number): boolean {
    // Most requests come alone, and have no body.
    if (this.done && start === bytes.length) return true;
    const connection = this.#connection;
    const end = this.#take(bytes, start);
    if (end === -1) {
      this.#answer.refuse("bad_request", MALFORMED_REQUEST);
      return false;
    }
    if (!this.done && this.#collect(bytes, start, end)) {
      connection.resume();
      this.expect();
      connection.enter("collecting");
      return false;
    }
    if (end !== start) this.#outbound.text += bytes.toString("latin1", start, end);
    connection.hold(bytes, end, bytes.length);
    return true;
  }

  /** Passes over what came with the head of a request that is refused. */
  skip(bytes: Buffer, start: number): void {
    const end = this.#take(bytes, start);
    if (end >= 0 && this.done) this.#connection.hold(bytes, end, bytes.length);
  }

  /** Passes over more of a body whose request was answered. True when it is over, or can't be told from what follows. */
  drop(bytes: Buffer): boolean {
    return this.#take(bytes, 0) === -1 || this.done || this.#isAtTrailers;
  }

  /** More of a small body. True: the request can be sent. A slow client holds no connection to the pod meanwhile. */
  collectMore(bytes: Buffer): boolean {
    const connection = this.#connection;
    const end = this.#take(bytes, 0);
    this.#collected?.append(bytes, 0, end);
    connection.hold(bytes, end, bytes.length);
    if (!this.done) {
      connection.touch();
      return false;
    }
    connection.pace.rest();
    connection.enter("leasing");
    this.#outbound.text += this.#collected?.bytes.toString("latin1") ?? "";
    this.dropCollected();
    return true;
  }

  dropCollected(): void {
    if (this.#collected === undefined) return;
    this.#context.options.smallBodies.release(this.#reserved);
    this.#collected = undefined;
  }

  /** More of the body, and what came behind it. */
  forward(bytes: Buffer): void {
    const connection = this.#connection;
    const { pod } = this.#outbound;
    const end = this.#take(bytes, 0);
    if (end === -1) {
      this.#refuse();
      return;
    }
    if (end > 0 && pod) {
      pod.sendPromptly();
      const flows =
        connection.sharesBuffer && end <= SMALL_READ_BYTES
          ? pod.writer.text(bytes.toString("latin1", 0, end))
          : pod.writer.bytes(end === bytes.length ? bytes : bytes.subarray(0, end));
      if (!flows && pod.writer.pending > 0 && !this.done) {
        connection.pause();
        // It is the pod that is waited for.
        this.expect();
      }
    }
    connection.hold(bytes, end, bytes.length);
    this.next();
  }

  /** More of the trailers is held. They are read whole: some of them must not be passed on. */
  forwardTrailers(): void {
    const connection = this.#connection;
    const { held } = connection;
    if (held === undefined) return;
    const { pod } = this.#outbound;
    const { maxHeaderBytes, parseTarget } = this.#context.options;
    const section = readTrailers(held.bytes, maxHeaderBytes, this.#scanned, parseTarget.fields);
    this.#scanned = held.length;
    if (section.kind === "incomplete") return;
    if (section.kind === "malformed") {
      this.#refuse();
      return;
    }
    pod?.sendPromptly();
    pod?.writer.text(section.text);
    this.done = true;
    connection.held = undefined;
    connection.hold(held.bytes, section.length, held.length);
    this.next();
  }

  /** Goes on with what of the body is still to come, and with what was held of it; or with the answer. */
  next(): void {
    const connection = this.#connection;
    if (this.done && this.#answer.status === 0) {
      connection.pace.rest();
      connection.enter("awaiting");
    } else if (this.done) {
      connection.enter("answering");
      connection.touch();
    } else if (this.#isAtTrailers) {
      connection.enter("trailers");
      this.forwardTrailers();
    } else {
      connection.enter("body");
      if (connection.held === undefined) return;
      const { bytes } = connection.held;
      connection.held = undefined;
      this.forward(bytes);
    }
  }

  /**
   * The client is to send what is left of the body from now on, no slower than the least rate. Once the pod has begun to
   * answer, the two talk to each other at whatever pace the pod puts up with.
   */
  expect(): void {
    if (this.#answer.status !== 0) return;
    const { isPaused, pace } = this.#connection;
    if (!this.done && !isPaused) pace.mustSend();
    else pace.rest();
  }

  /** The chunks are over, and the trailers are next. */
  get #isAtTrailers(): boolean {
    return !this.done && this.#left < 0 && (this.#chunks?.atTrailers ?? false);
  }

  /** How far `bytes`, from `start` on, are body; -1 when the body is not well formed. */
  #take(bytes: Buffer, start: number): number {
    return this.#left < 0 ? this.#takeChunks(bytes, start) : this.#takeLength(bytes, start);
  }

  #takeLength(bytes: Buffer, start: number): number {
    const taken = Math.min(this.#left, bytes.length - start);
    this.#left -= taken;
    this.done = this.#left === 0;
    this.#count(taken);
    return start + taken;
  }

  #takeChunks(bytes: Buffer, start: number): number {
    this.#chunks ??= new ChunkScanner();
    const end = this.#chunks.feed(bytes, start, bytes.length);
    this.done = this.#chunks.done;
    this.#count(this.#chunks.dataBytes);
    return end;
  }

  #count(bytes: number): void {
    const { status, trace } = this.#answer;
    if (trace) trace.bytesIn += bytes;
    if (status === 0) this.#connection.pace.sent(bytes);
  }

  /** Keeps the body until it is whole, if it is small; its begin is in `bytes`. */
  #collect(bytes: Buffer, start: number, end: number): boolean {
    const { options, scan } = this.#context;
    if (!options.smallBodies.reserve(scan.contentLength)) return false;
    this.#reserved = scan.contentLength;
    this.#collected = GrowingBytes.of(bytes, start, end);
    return true;
  }

  /** What came in place of a body is none; what follows can't be told. */
  #refuse(): void {
    this.#answer.fail("bad_request", undefined, MALFORMED_REQUEST);
  }
}
