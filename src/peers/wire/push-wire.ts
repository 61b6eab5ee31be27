import type { Socket } from "node:net";
import type { BoundedConnection } from "../../system/bounded-connections.ts";
import type { ByteBudget } from "../../system/byte-budget.ts";
import type { Clock, Milliseconds } from "../../system/clock.ts";
import { ReplyWriter } from "./peer-reply.ts";
import { PushConnection, type PushConnectionContext } from "./push-connection.ts";
import type { PushHandler } from "./push-handler.ts";
import { PushHeadScanner } from "./push-head.ts";
import { Turns } from "./turns.ts";

/** Options of {@link PushWire}. */
export interface PushWireOptions<P> {
  readonly handler: PushHandler<P>;
  /** Longest body that is taken. */
  readonly maxBodyBytes: number;
  /** Memory for bodies that come in pieces. */
  readonly budget: ByteBudget;
  /** Longest time for the head of a request. */
  readonly headerTimeoutMs: Milliseconds;
  /** Longest time for a request, from its first byte. */
  readonly requestTimeoutMs: Milliseconds;
  readonly clock: Clock;
  /** Gets each connection that brings anything but an ordinary push, for good: with all that was not answered put back. */
  readonly other: (socket: Socket) => void;
}

/** Deadlines are looked at in this rhythm. */
const LONGEST_CHECK_MS: Milliseconds = 1_000;

/**
 * Reads ordinary pushes, `POST /refresh` with a Content-Length over HTTP/1.1, without node:http, which costs several times as much.
 * A connection stays here as long as it brings nothing else; then node:http has it. Peers can't see which of the two answers, and
 * one handler decides for both.
 */
export class PushWire<P> {
  readonly #context: PushConnectionContext<P>;
  readonly #connections = new Set<PushConnection<P>>();
  readonly #checkMs: Milliseconds;
  #isChecking = false;
  #isClosing = false;

  constructor(options: PushWireOptions<P>) {
    const { clock, other, requestTimeoutMs } = options;
    this.#checkMs = Math.min(requestTimeoutMs, LONGEST_CHECK_MS);
    this.#context = {
      ...options,
      scanner: new PushHeadScanner(),
      replies: new ReplyWriter(clock),
      turns: new Turns(clock),
      isClosing: () => this.#isClosing,
      left: (connection) => void this.#connections.delete(connection),
      handOver(socket) {
        other(socket);
        socket.resume();
      },
    };
  }

  /** Takes a connection of which nothing has been read, or all of it was put back. */
  take(socket: Socket, bound: BoundedConnection): void {
    if (socket.destroyed) return;
    this.#connections.add(new PushConnection(socket, bound, this.#context));
    if (!this.#isChecking) this.#check();
  }

  /** Ends idle connections at once, and the others with their next reply. */
  close(): void {
    this.#isClosing = true;
    for (const connection of this.#connections) if (connection.isIdle) connection.socket.destroy();
  }

  /** Ends all connections at once. */
  cut(): void {
    for (const connection of this.#connections) connection.socket.destroy();
  }

  /** Looks at deadlines after a while, and again as long as there are connections. */
  #check(): void {
    const { clock } = this.#context;
    this.#isChecking = true;
    clock.setTimeout(() => {
      const nowMs = clock.monotonicMs();
      for (const connection of this.#connections) connection.checkDeadline(nowMs);
      if (this.#connections.size > 0) this.#check();
      else this.#isChecking = false;
    }, this.#checkMs);
  }
}
