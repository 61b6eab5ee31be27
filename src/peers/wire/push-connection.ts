import type { Socket } from "node:net";
import type { BoundedConnection } from "../../system/bounded-connections.ts";
import type { ByteBudget } from "../../system/byte-budget.ts";
import type { Clock, Milliseconds } from "../../system/clock.ts";
import { giveAway } from "../../system/give-away.ts";
import { GrowingBytes } from "../../system/growing-bytes.ts";
import { remoteAddressOf } from "../../system/ip-address.ts";
import { isLastReply, KEEP_ALIVE_TIMEOUT_MS, type ReplyWriter } from "./peer-reply.ts";
import type { PushBody, PushHandler } from "./push-handler.ts";
import { fieldsOf, INCOMPLETE, OTHER, PUSH_TARGET, type PushHeadScanner } from "./push-head.ts";
import type { TurnTaker, Turns } from "./turns.ts";

/** What the connections of one server share. */
export interface PushConnectionContext<P> {
  readonly handler: PushHandler<P>;
  readonly scanner: PushHeadScanner;
  readonly replies: ReplyWriter;
  readonly turns: Turns;
  readonly maxBodyBytes: number;
  /** For bodies that come in pieces, shared with node:http's. */
  readonly budget: ByteBudget;
  readonly headerTimeoutMs: Milliseconds;
  readonly requestTimeoutMs: Milliseconds;
  readonly clock: Clock;
  /** The server accepts no more: connections end with their next reply. */
  readonly isClosing: () => boolean;
  /** Takes a connection for good: paused, with all that is not answered put back. */
  readonly handOver: (socket: Socket) => void;
  /** The connection is closed, or was handed over. */
  readonly left: (connection: PushConnection<P>) => void;
}

/** Where a connection is. */
type State<P> =
  /** No byte of the next request has come. */
  | { readonly kind: "idle" }
  | { readonly kind: "head"; readonly held: GrowingBytes }
  | BodyState<P>
  /** `bytes`, which begin with a whole request, wait for a turn. */
  | { readonly kind: "queued"; readonly bytes: Buffer }
  /** `bytes` wait until the client takes its replies. */
  | { readonly kind: "blocked"; readonly bytes: Buffer }
  /** The last reply was written. What still comes is thrown away: closing at once could destroy the reply (RFC 9112 9.6). */
  | { readonly kind: "ended" }
  | { readonly kind: "gone" };

/** The head was admitted, and `length` bytes of body are to come. */
interface BodyState<P> {
  readonly kind: "body";
  readonly push: P;
  readonly held: GrowingBytes;
  readonly length: number;
  readonly isLast: boolean;
  /** What has come behind the body. Undefined until the body is whole; then it waits for a turn. */
  ahead: Buffer | undefined;
}

const IDLE = { kind: "idle" } as const;
/** A body that is longer and does not come at once is read by node:http. */
const MAX_PIECEWISE_BYTES = 65_536;
/** With more that waits, reading pauses. */
const MAX_AHEAD_BYTES = 65_536;
const LINGER_MS: Milliseconds = 1_000;
const TIMEOUT_REPLY = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";
const BROKEN_REPLY = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

/** A connection that has brought nothing but pushes so far. */
export class PushConnection<P> implements TurnTaker {
  readonly socket: Socket;
  readonly #context: PushConnectionContext<P>;
  readonly #bound: BoundedConnection;
  readonly #from: string;
  #state: State<P> = IDLE;
  #hasAnswered = false;
  /** The client has ended its side. */
  #isHalfClosed = false;
  #deadlineMs: Milliseconds;
  /** When the first byte of the request came that is not whole yet. */
  #begunMs: Milliseconds | undefined;

  constructor(socket: Socket, bound: BoundedConnection, context: PushConnectionContext<P>) {
    this.socket = socket;
    this.#context = context;
    this.#bound = bound;
    this.#from = remoteAddressOf(socket) || "unknown";
    this.#deadlineMs = context.clock.monotonicMs() + context.headerTimeoutMs;
    socket
      .on("data", this.#onData)
      .on("end", this.#onEnd)
      .on("drain", this.#onDrain)
      .on("error", ignore)
      .on("close", this.#onClose);
  }

  /** No request of it has begun to come. */
  get isIdle(): boolean {
    return this.#state.kind === "idle";
  }

  /** Its turn has come. */
  onTurn(): void {
    const state = this.#state;
    this.#bound.isBusy = false;
    if (state.kind === "queued") {
      this.#state = IDLE;
      this.#take(state.bytes);
    } else if (state.kind === "body" && state.ahead !== undefined) {
      this.#finishBody(state, state.ahead);
    }
  }

  /** To be called now and then. */
  checkDeadline(nowMs: Milliseconds): void {
    if (nowMs < this.#deadlineMs) return;
    if (this.#isPartial || (this.#state.kind === "idle" && !this.#hasAnswered)) this.#giveUp(TIMEOUT_REPLY);
    else if (!this.#isQueued) this.socket.destroy();
  }

  /** A part of a request has come. */
  get #isPartial(): boolean {
    const state = this.#state;
    return state.kind === "head" || (state.kind === "body" && state.ahead === undefined);
  }

  /** A whole request waits for its turn. */
  get #isQueued(): boolean {
    const state = this.#state;
    return state.kind === "queued" || (state.kind === "body" && state.ahead !== undefined);
  }

  readonly #onData = (bytes: Buffer): void => {
    const state = this.#state;
    switch (state.kind) {
      case "idle":
        this.#take(bytes);
        return;
      case "head": {
        const before = state.held.length;
        state.held.append(bytes);
        if (!this.#context.scanner.mayBeWhole(state.held.bytes, before)) return;
        this.#state = IDLE;
        this.#take(state.held.bytes);
        return;
      }
      case "body":
        if (state.ahead === undefined) this.#takeBody(state, bytes);
        else state.ahead = this.#holdAhead(state.ahead, bytes);
        return;
      case "queued":
      case "blocked":
        this.#state = { kind: state.kind, bytes: this.#holdAhead(state.bytes, bytes) };
        return;
      case "ended":
      case "gone":
        return;
    }
  };

  readonly #onEnd = (): void => {
    this.#isHalfClosed = true;
    if (this.#isPartial) this.#giveUp(BROKEN_REPLY);
    else if (this.#state.kind === "idle") this.#end("");
  };

  readonly #onDrain = (): void => {
    const state = this.#state;
    if (state.kind !== "blocked") return;
    this.#state = IDLE;
    this.#take(state.bytes);
  };

  readonly #onClose = (): void => {
    // What has come whole is taken in its turn, as if there had been no queue.
    if (this.#isQueued) this.#context.left(this);
    else {
      this.#giveUpBody();
      this.#leave();
    }
  };

  #holdAhead(held: Buffer, bytes: Buffer): Buffer {
    const ahead = Buffer.concat([held, bytes]);
    if (ahead.length > MAX_AHEAD_BYTES) this.socket.pause();
    return ahead;
  }

  /** Takes all pushes that `bytes` hold, which begin where a request does. */
  #take(bytes: Buffer): void {
    const { scanner, turns, clock, handler, replies, maxBodyBytes, isClosing } = this.#context;
    const { socket } = this;
    const nowMs = clock.monotonicMs();
    let at = 0;
    let out = "";
    while (at < bytes.length) {
      const bodyAt = scanner.scan(bytes, at);
      if (bodyAt === OTHER) {
        this.#write(out);
        this.#handOver(bytes.subarray(at));
        return;
      }
      if (bodyAt === INCOMPLETE) {
        this.#state = { kind: "head", held: GrowingBytes.of(bytes, at, bytes.length) };
        this.#begunMs ??= nowMs;
        this.#deadlineMs = this.#begunMs + this.#context.headerTimeoutMs;
        break;
      }
      const { contentLength, isLast } = scanner;
      const end = bodyAt + contentLength;
      if (contentLength > maxBodyBytes || (end > bytes.length && contentLength > MAX_PIECEWISE_BYTES)) {
        this.#write(out);
        this.#handOver(bytes.subarray(at));
        return;
      }
      this.#begunMs ??= nowMs;
      if (end <= bytes.length && !turns.take(nowMs)) {
        this.#write(out);
        this.#wait(bytes.subarray(at));
        return;
      }
      const head = at;
      const admitted = handler.admit({
        socket,
        from: this.#from,
        method: "POST",
        target: PUSH_TARGET,
        fields: () => fieldsOf(bytes.toString("latin1", head, bodyAt)),
      });
      if (admitted.kind === "admitted" && end > bytes.length) {
        this.#write(out);
        this.#beginBody(admitted.push, contentLength, isLast, bytes.subarray(bodyAt));
        return;
      }
      const reply =
        admitted.kind === "refused"
          ? admitted.reply
          : handler.decide(admitted.push, {
              kind: "complete",
              bytes: contentLength,
              body: bytes.subarray(bodyAt, end),
            });
      this.#begunMs = undefined;
      if (reply === undefined) break;
      const endsHere = isLast || isLastReply(reply) || isClosing();
      out += replies.textOf(reply, endsHere);
      if (endsHere) {
        this.#end(out);
        return;
      }
      at = end;
      if (out.length > MAX_AHEAD_BYTES) {
        this.#write(out);
        out = "";
        if (socket.writableNeedDrain) break;
      }
    }
    this.#write(out);
    this.#goOn(bytes, at, nowMs);
  }

  /** All that could be taken at `nowMs` was; what is left of `bytes` begins at `at`. */
  #goOn(bytes: Buffer, at: number, nowMs: Milliseconds): void {
    if (this.#state.kind === "head") {
      this.#readOn();
      return;
    }
    this.#deadlineMs = nowMs + KEEP_ALIVE_TIMEOUT_MS;
    if (this.socket.writableNeedDrain) {
      this.#state = { kind: "blocked", bytes: bytes.subarray(at) };
      this.socket.pause();
    } else if (this.#isHalfClosed) {
      this.#end("");
    } else {
      this.#readOn();
    }
  }

  /** The rest of a request is awaited. */
  #readOn(): void {
    if (this.#isHalfClosed && this.#isPartial) this.#giveUp(BROKEN_REPLY);
    else if (this.socket.isPaused()) this.socket.resume();
  }

  #wait(bytes: Buffer): void {
    this.#state = { kind: "queued", bytes };
    this.#queue();
  }

  #queue(): void {
    this.#bound.isBusy = true;
    this.#context.turns.queue(this);
  }

  #beginBody(push: P, length: number, isLast: boolean, bytes: Buffer): void {
    const { budget, clock, requestTimeoutMs } = this.#context;
    const held = new GrowingBytes({ firstBytes: Math.min(length, 4_096), maxBytes: length, budget });
    this.#deadlineMs = (this.#begunMs ?? clock.monotonicMs()) + requestTimeoutMs;
    const state: BodyState<P> = { kind: "body", push, held, length, isLast, ahead: undefined };
    this.#state = state;
    this.#takeBody(state, bytes);
    this.#readOn();
  }

  #takeBody(state: BodyState<P>, bytes: Buffer): void {
    const { turns, clock } = this.#context;
    const { held, length } = state;
    const end = Math.min(length - held.length, bytes.length);
    if (!held.append(bytes, 0, end)) {
      this.#answerBody(state, { kind: "overloaded", bytes: held.length + end }, bytes.subarray(end));
    } else if (held.length === length) {
      state.ahead = bytes.subarray(end);
      if (turns.take(clock.monotonicMs())) this.#finishBody(state, state.ahead);
      else this.#queue();
    }
  }

  #finishBody(state: BodyState<P>, ahead: Buffer): void {
    this.#answerBody(state, { kind: "complete", bytes: state.length, body: state.held.bytes }, ahead);
  }

  #answerBody(state: BodyState<P>, body: PushBody, ahead: Buffer): void {
    const { handler, replies, isClosing } = this.#context;
    this.#state = IDLE;
    this.#begunMs = undefined;
    const reply = handler.decide(state.push, body);
    state.held.release();
    if (reply === undefined) return;
    const endsHere = state.isLast || isLastReply(reply) || isClosing();
    const out = replies.textOf(reply, endsHere);
    if (endsHere) {
      this.#end(out);
      return;
    }
    this.#write(out);
    this.#take(ahead);
  }

  #write(out: string): void {
    if (out === "" || this.socket.destroyed) return;
    this.#hasAnswered = true;
    this.#bound.answered();
    this.socket.write(out, "latin1");
  }

  /** Writes the last reply. */
  #end(out: string): void {
    this.#state = { kind: "ended" };
    this.#deadlineMs = this.#context.clock.monotonicMs() + LINGER_MS;
    this.#write(out);
    this.socket.end();
    this.socket.resume();
  }

  #giveUp(reply: string): void {
    this.#giveUpBody();
    this.#end(reply);
  }

  #giveUpBody(): void {
    const state = this.#state;
    if (state.kind !== "body") return;
    this.#state = { kind: "ended" };
    this.#context.handler.decide(state.push, { kind: "incomplete", bytes: state.held.length });
    state.held.release();
  }

  #handOver(rest: Buffer): void {
    const { socket } = this;
    // Nothing more can be put back.
    if (this.#isHalfClosed || socket.destroyed) {
      this.#end("");
      return;
    }
    socket
      .off("data", this.#onData)
      .off("end", this.#onEnd)
      .off("drain", this.#onDrain)
      .off("close", this.#onClose);
    this.#leave();
    giveAway(socket, rest, (given) => {
      given.off("error", ignore);
      this.#context.handOver(given);
    });
  }

  #leave(): void {
    this.#state = { kind: "gone" };
    this.#context.left(this);
  }
}

function ignore(): void {}
