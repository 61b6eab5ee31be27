import type { Milliseconds } from "../../system/clock.ts";
import type { Deadlines, Timed } from "../limits/deadlines.ts";
import { PooledConnection } from "../upstream/pooled-connection.ts";
import type { ConnectionKind, ConnectSettings } from "../upstream/pooled-connection.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { UpstreamSocket } from "../upstream/upstream-socket.ts";
import { PodResponse } from "./pod-response.ts";
import type { PodResponseContext } from "./pod-response.ts";
import { ReadSlot } from "../transport/read-buffers.ts";
import type { SocketWriter } from "../transport/socket-writer.ts";
import type { Transport } from "../transport/transport.ts";
import type { ResponseReader } from "./response-reader.ts";

/** What pod connections share. */
export interface FastPodContext extends PodResponseContext {
  readonly deadlines: Deadlines;
  readonly transport: Transport;
}

/**
 * | phase | meaning | deadline | goes on to |
 * |---|---|---|---|
 * | `connecting` | the SYN is sent | `connectTimeoutMs` | `idle`, `closed` |
 * | `idle` | bytes nobody asked for end the connection | the idle timeout, the pod's if shorter | `busy`, `closed` |
 * | `busy` | lent: a response is read ({@link PodResponse}), or what comes is dropped | the client's | `idle`, `closed` |
 * | `closed` | no next request may be tried | none | |
 */
type Phase = "connecting" | "idle" | "busy" | "closed";

/** After so much silence a connection is looked at for a turn before it carries a request. Busy ones are not held up. */
const RESTED_MS = 500;

/** A connection that the fast lane speaks HTTP/1.1 on itself. */
export class FastPod extends PooledConnection implements Timed {
  deadlineMs: Milliseconds = Infinity;
  readonly writer: SocketWriter;
  readonly #context: FastPodContext;
  readonly #reads: ReadSlot;
  readonly #response: PodResponse;
  readonly #connectTimeoutMs: Milliseconds;
  #phase: Phase = "connecting";
  #isGuarded = false;
  #isPrompt = false;
  #requests = 0;
  #restingSinceMs = 0;

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
    this.writer = context.transport.podWriter(this.socket);
    this.#reads = new ReadSlot(context.transport.buffers);
    this.#response = new PodResponse(context, this);
    this.#connectTimeoutMs = connect.connectTimeoutMs;
    context.deadlines.add(this);
    this.#enter("connecting");
    this.connect();
  }

  override get usable(): boolean {
    return this.#phase !== "closed";
  }

  override get used(): boolean {
    return this.#requests > 0;
  }

  /** The next response is for `reader`. To be called before the request's first byte is written. */
  begin(reader: ResponseReader): void {
    this.#requests += 1;
    this.#enter("busy");
    this.#response.begin(reader);
  }

  /** The reader is not there any more, and hears nothing more. */
  forsake(): void {
    this.#response.forsake();
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

  /**
   * Pods behind a NAT or on a lost node are noticed while nothing is sent. Not for connections that one short exchange uses
   * up: it takes four system calls.
   */
  guard(): void {
    if (this.#isGuarded) return;
    this.#isGuarded = true;
    this.socket.setKeepAlive(true, 30_000);
  }

  override rest(): void {
    this.guard();
    this.#restingSinceMs = this.#context.deadlines.nowMs;
    this.#enter("idle");
  }

  onDeadline(): void {
    if (this.#phase === "idle") this.destroy();
    else if (this.#phase === "connecting") this.connectTimedOut(this.#connectTimeoutMs);
  }

  override destroy(): void {
    this.#enter("closed");
    super.destroy();
  }

  override reset(): void {
    this.#enter("closed");
    super.reset();
  }

  protected override onOpen(): void {
    this.#enter("idle");
  }

  override drained(): void {
    this.#response.reader?.podDrained();
  }

  override errored(error: Error): void {
    this.#enter("closed");
    super.errored(error);
    // An error is not made for nobody: with its stack it costs as much as a small request.
    if (this.#response.reader) {
      this.#response.fail(new UpstreamError("upstream_reset", error.message, { cause: error }));
    }
  }

  override ended(): void {
    this.#enter("closed");
    this.#response.end();
    // What a pod that has closed is still sent goes nowhere.
    this.destroy();
  }

  override closed(): void {
    this.#enter("closed");
    this.#reads.letGo(true);
    this.#context.deadlines.delete(this);
    this.#response.cut();
    super.closed();
  }

  /** `bytes` were read, and may be overwritten as soon as this returns. */
  onRead(bytes: Buffer, length: number): void {
    const response = this.#response;
    if (response.reader !== undefined) response.read(bytes, length, response.reader);
    // Bytes that no request asked for could be taken for the answer to the next one.
    else if (this.#phase === "idle") this.destroy();
    this.#reads.choose(response.next, response.writeIsPending);
  }

  /** The one place where the phase changes, and with it the deadline. `closed` is for good. */
  #enter(phase: Phase): void {
    if (this.#phase === "closed") return;
    const { deadlines } = this.#context;
    this.#phase = phase;
    if (phase === "idle") this.deadlineMs = deadlines.in(this.#response.idleTimeoutMs);
    else if (phase === "connecting") this.deadlineMs = deadlines.in(this.#connectTimeoutMs);
    else this.deadlineMs = Infinity;
  }
}

/** Connections of the fast lane. */
export function fastPods(context: FastPodContext): ConnectionKind<FastPod> {
  return { open: (connect) => new FastPod(context, connect) };
}
