import type { Socket } from "node:net";
import type { Milliseconds } from "../../system/clock.ts";
import { giveAway } from "../../system/give-away.ts";
import { GrowingBytes } from "../../system/growing-bytes.ts";
import type { AcceptedConnection } from "../client/accepted.ts";
import { FieldMemory } from "../http1/field-memory.ts";
import { TRAIT } from "../http1/head-scan.ts";
import { INCOMPLETE, scanRequestHead, UNUSUAL } from "../http1/head-scanner.ts";
import { ScannedHead } from "../http1/scanned-head.ts";
import type { Timed } from "../limits/deadlines.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { Hold } from "../limits/held-requests.ts";
import { MALFORMED_REQUEST } from "../passage/admission.ts";
import { isHttp2Preface, nameUnread } from "../passage/unread-bytes.ts";
import { LINGER_MS } from "../reply/raw-reply.ts";
import { ClientPace } from "./client-pace.ts";
import type { ClientPhase, ExchangeConnection } from "./client-phase.ts";
import { FastExchange } from "./fast-exchange.ts";
import type { FastLaneContext, LaneClient } from "./fast-lane-context.ts";
import { ReadSlot } from "../transport/read-buffers.ts";
import { feedFrom, type ReadFeed, stopFeeding } from "../transport/undocumented-node.ts";

/** Bytes of later requests that are read while one is answered; above, reading pauses. */
const MAX_AHEAD_BYTES = 65_536;
/** Where a request line has its minor version, behind its target. */
const VERSION_MINOR = " HTTP/1.".length;

/**
 * One client connection in the fast lane: it finds the heads in what the client sends, and hands what follows to its
 * exchange. Its requests are answered one after the other (RFC 9112 9.3.2).
 */
export class FastClient implements ExchangeConnection, LaneClient, ReadFeed, Timed {
  deadlineMs: Milliseconds = Infinity;
  phase: ClientPhase = "head";
  held: GrowingBytes | undefined;
  isPaused = false;
  sharesBuffer = false;
  readonly pace: ClientPace;
  readonly #socket: Socket;
  readonly #context: FastLaneContext;
  readonly #exchange: FastExchange;
  readonly #reads: ReadSlot;
  readonly #fields = new FieldMemory();
  #requests = 0;
  /** How much of `held` was scanned, as the begin of a head. */
  #scanned = 0;
  #advancing = false;
  #isGuarded = false;
  #cancelHold: (() => void) | undefined;
  /** Since when the request at hand has been held; it is not held again. */
  #heldSinceMs: Milliseconds | undefined;
  /** What the request at hand is to be refused with, since it has waited in vain. */
  #refusal: RefusalReason | undefined;

  constructor(socket: Socket, context: FastLaneContext, accepted: AcceptedConnection) {
    this.#socket = socket;
    this.#context = context;
    this.pace = new ClientPace(context);
    this.#exchange = new FastExchange(this, socket, context, accepted);
    this.#reads = new ReadSlot(context.transport.buffers);
  }

  /** Begins to read. Call once. `first`: what was read already; the socket is paused then. */
  start(first: Buffer | undefined): void {
    const { clients, deadlines } = this.#context;
    clients.add(this);
    deadlines.add(this);
    if (!feedFrom(this.#socket, this)) this.#socket.on("data", this.#onData);
    else this.sharesBuffer = true;
    this.enter("head");
    this.#socket
      .on("drain", this.#onDrain)
      .on("end", this.#onEnd)
      .on("error", this.#onError)
      .on("close", this.#onClose);
    if (first === undefined) return;
    this.#socket.resume();
    if (first.length > 0) this.#onData(first);
  }

  /** The one place where the phase changes: what belongs to a phase begins here, its deadline first of all. */
  enter(phase: ClientPhase): void {
    this.phase = phase;
    switch (phase) {
      case "collecting":
      case "body":
      case "trailers":
      case "awaiting":
      case "flushing":
        this.touch();
        return;
      case "answering":
        // Each write begins the time again.
        return;
      case "waiting":
      case "leasing":
        // Others keep the time.
        this.deadlineMs = Infinity;
        return;
      case "head": {
        const { deadlines, options } = this.#context;
        this.#scanned = 0;
        this.pace.rest();
        this.deadlineMs = deadlines.in(
          this.#requests === 0 ? options.headerTimeoutMs : options.keepAliveTimeoutMs,
        );
        return;
      }
      case "overrun":
      case "ended":
        // Closing while the client still sends would make the kernel answer with a RST, which can destroy the response before
        // the client has read it: so it is read on for a moment (RFC 9112 9.6).
        this.held = undefined;
        this.deadlineMs = this.#context.deadlines.in(LINGER_MS);
        if (phase === "ended") this.#socket.end();
        this.resume();
        return;
      case "gone":
        this.#reads.letGo(true);
        this.#context.clients.delete(this);
        this.#context.deadlines.delete(this);
        return;
    }
  }

  touch(): void {
    const { deadlines, options } = this.#context;
    const limitMs = this.phase === "awaiting" ? options.firstByteTimeoutMs : options.idleTimeoutMs;
    const silentMs = deadlines.in(limitMs);
    const lateMs = this.pace.deadlineMs;
    this.deadlineMs = silentMs < lateMs ? silentMs : lateMs;
  }

  next(): void {
    if (this.#context.options.draining() && this.held === undefined) {
      this.enter("ended");
      return;
    }
    this.enter("head");
    this.#advance();
  }

  hold(bytes: Buffer, start: number, end: number): void {
    if (start === end) return;
    if (this.held === undefined) this.held = GrowingBytes.of(bytes, start, end);
    else this.held.append(bytes, start, end);
    if (this.held.length > MAX_AHEAD_BYTES) this.pause();
  }

  pause(): void {
    if (this.isPaused) return;
    this.isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.#socket.resume();
  }

  /** Not for a connection that one short exchange uses up: it takes five system calls. */
  guard(): void {
    if (this.#isGuarded) return;
    this.#isGuarded = true;
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, 30_000);
  }

  /** The router drains: a connection that never carried a request is closed; others close after their next response. */
  drain(): void {
    const isIdle = this.phase === "head" && this.held === undefined;
    if (isIdle) this.#socket.destroy();
  }

  /** Closes the connection at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** See {@link ReadFeed}. */
  buffer(): Buffer {
    return this.#reads.current;
  }

  onRead(bytes: Buffer, length: number): void {
    this.#onData(bytes.subarray(0, length));
    if (this.phase !== "gone") this.#chooseBuffer();
  }

  onDeadline(nowMs: Milliseconds): void {
    const { phase } = this;
    if (phase === "head") {
      if (this.held === undefined) this.#socket.destroy();
      else this.#exchange.refuseUnread("request_timeout", "the request's header did not arrive in time");
    } else if (phase === "overrun") {
      this.enter("ended");
    } else if (phase === "ended") {
      this.#socket.destroy();
    } else if (phase !== "waiting" && phase !== "leasing" && phase !== "gone") {
      this.#exchange.onDeadline(nowMs);
    }
  }

  readonly #onData = (bytes: Buffer): void => {
    const { body } = this.#exchange;
    switch (this.phase) {
      case "head":
        this.#onHeadBytes(bytes);
        return;
      case "body":
        body.forward(bytes);
        return;
      case "collecting":
        this.#exchange.onSmallBody(bytes);
        return;
      case "trailers":
        this.hold(bytes, 0, bytes.length);
        body.forwardTrailers();
        return;
      case "waiting":
      case "leasing":
      case "awaiting":
      case "answering":
      case "flushing":
        this.hold(bytes, 0, bytes.length);
        return;
      case "overrun":
        if (body.drop(bytes)) this.enter("ended");
        return;
      case "ended":
      case "gone":
        return;
    }
  };

  readonly #onDrain = (): void => this.#exchange.clientDrained();

  readonly #onEnd = (): void => {
    // Nobody waits for what is under way, or there is nothing.
    if (this.phase === "head" && this.held !== undefined) {
      this.#exchange.refuseUnread("bad_request", MALFORMED_REQUEST);
    } else if (this.phase === "flushing") {
      this.#exchange.answer.isLast = true;
    } else {
      this.#socket.destroy();
    }
  };

  /** Why it failed is known from what was under way; unheard, it would end the process. */
  readonly #onError = (): void => {};

  readonly #onClose = (): void => {
    this.enter("gone");
    this.#cancelHold?.();
    this.#exchange.clientClosed();
  };

  #onHeadBytes(bytes: Buffer): void {
    const { held } = this;
    if (held === undefined) {
      this.#scanHead(bytes, undefined);
    } else {
      const before = held.length;
      held.append(bytes, 0, bytes.length);
      // A head that comes byte by byte is scanned when it may be complete, or has doubled.
      const mayBeWhole = held.bytes.includes("\r\n\r\n", Math.max(0, before - 3), "latin1");
      const isWorthIt = mayBeWhole || held.length >= 2 * this.#scanned;
      if (isWorthIt || held.length > this.#context.options.maxHeaderBytes) this.#scanHead(held.bytes, held);
    }
    this.#advance();
  }

  /** Takes the requests that were held, as far as they are whole and until one has to wait. */
  #advance(): void {
    // A refusal ends in here again, and a thousand of them may be waiting.
    if (this.#advancing) return;
    this.#advancing = true;
    while (this.phase === "head" && this.held !== undefined && this.held.length !== this.#scanned) {
      this.#scanHead(this.held.bytes, this.held);
    }
    this.#advancing = false;
    if (this.phase === "head") this.resume();
  }

  /** `held`: where `bytes` are from, if they were held. */
  #scanHead(bytes: Buffer, held: GrowingBytes | undefined): void {
    const { deadlines, options, requestFields, scan } = this.#context;
    const length = bytes.length;
    let start = 0;
    // A server should skip an empty line before a request (RFC 9112 2.2).
    while (length - start >= 2 && bytes[start] === 13 && bytes[start + 1] === 10) start += 2;
    if (start === length) {
      this.held = undefined;
      return;
    }
    const end = scanRequestHead(bytes, start, length, requestFields, scan, this.#fields);
    const size = (end > INCOMPLETE ? end : length) - start;
    if (end >= INCOMPLETE && size > options.maxHeaderBytes) {
      this.#exchange.refuseUnread("headers_too_large", "the request's header is too large");
      return;
    }
    if (end === INCOMPLETE) {
      if (held === undefined || start > 0) this.held = GrowingBytes.of(bytes, start, length);
      if (this.#scanned === 0) this.deadlineMs = deadlines.in(options.headerTimeoutMs);
      this.#scanned = length - start;
      return;
    }
    this.held = undefined;
    this.#scanned = 0;
    if (end === UNUSUAL || (end > INCOMPLETE && (scan.traits & (TRAIT.upgrade | TRAIT.expect)) !== 0)) {
      // node:http knows no later version than the one as which it is taken.
      if (scan.minor > 1) bytes[scan.targetEnd + VERSION_MINOR] = 0x31;
      this.#handOver(bytes, start, options.handOver);
    } else if (end < INCOMPLETE) {
      this.#onUnread(bytes.subarray(start));
    } else {
      this.#begin(bytes, start, end);
    }
  }

  /** What came is no request of HTTP/1.1. */
  #onUnread(bytes: Buffer): void {
    const { handOverHttp2 } = this.#context.options;
    if (handOverHttp2 !== undefined && this.#requests === 0 && isHttp2Preface(bytes)) {
      this.#handOver(bytes, 0, handOverHttp2);
      return;
    }
    const { reason, message } = nameUnread(bytes);
    this.#exchange.refuseUnread(reason, message);
  }

  #handOver(bytes: Buffer, start: number, take: (socket: Socket) => void): void {
    const socket = this.#socket;
    stopFeeding(socket);
    this.guard();
    this.enter("gone");
    socket
      .off("data", this.#onData)
      .off("drain", this.#onDrain)
      .off("end", this.#onEnd)
      .off("close", this.#onClose);
    giveAway(socket, Buffer.from(bytes.subarray(start)), (given) => {
      given.off("error", this.#onError);
      take(given);
    });
  }

  /** Begins the request whose head is `bytes` from `start` to `headEnd`. */
  #begin(bytes: Buffer, start: number, headEnd: number): void {
    const { options, scan } = this.#context;
    const head = new ScannedHead(bytes.toString("latin1", start, headEnd), start, scan);
    const begunMs = this.#heldSinceMs;
    const hold = options.held.mayHold && begunMs === undefined ? this.#holdBack(head, bytes, start) : "free";
    if (hold === "held") return;
    this.#heldSinceMs = undefined;
    const refusal = hold === "full" ? "overloaded" : this.#refusal;
    this.#refusal = undefined;
    this.#requests += 1;
    if (this.#requests > 1) this.guard();
    this.enter("leasing");
    const isLast = scan.close || this.#requests === options.maxRequestsPerConnection;
    this.#exchange.begin(head, bytes, start, isLast, begunMs, refusal);
  }

  /** Keeps a request for later while its sandbox is in doubt. It is read again then: nearly no request comes here. */
  #holdBack(head: ScannedHead, bytes: Buffer, start: number): Hold["kind"] {
    const { held, parseTarget, clock } = this.#context.options;
    const hold = held.hold(parseTarget(head), () => this.goOn());
    if (hold.kind !== "held") return hold.kind;
    this.#heldSinceMs = clock.monotonicMs();
    this.#keep(bytes, start, hold.cancel);
    return "held";
  }

  keepForLater(bytes: Buffer, start: number, cancel: () => void): void {
    this.#requests -= 1;
    this.#keep(bytes, start, cancel);
  }

  #keep(bytes: Buffer, start: number, cancel: () => void): void {
    this.#cancelHold = cancel;
    this.held = GrowingBytes.of(bytes, start, bytes.length);
    this.enter("waiting");
  }

  goOn(refusal?: RefusalReason): void {
    this.#cancelHold = undefined;
    if (this.phase !== "waiting") return;
    this.#refusal = refusal;
    this.enter("head");
    this.#advance();
  }

  /** A long body is read into a buffer of its own, which is written to the pod as it is. */
  #chooseBuffer(): void {
    const isLong = this.phase === "body" && this.#exchange.body.isLong;
    this.#reads.choose(isLong ? "long" : "short", this.#exchange.podIsPending);
  }
}
