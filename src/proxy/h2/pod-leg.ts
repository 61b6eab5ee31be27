import type { Incarnation } from "../../routes/lookup.ts";
import type { FastPod } from "../fast/fast-pod.ts";
import type { ResponseReader } from "../fast/response-reader.ts";
import type { ForwardedRequest } from "../forwarding/forwarding.ts";
import { orderedRequestHead } from "../forwarding/request-text.ts";
import type { LaneOptions } from "../passage/lane.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import { authorityOf } from "../target/pod-address.ts";
import type { Lessee } from "../upstream/incarnation-pool.ts";
import type { ConnectionKind } from "../upstream/pooled-connection.ts";
import type { UpstreamError } from "../upstream/upstream-error.ts";
import { readInformational, ResponseDecoder } from "./response-decoder.ts";

/** What a request is sent as, and where. */
export interface OutboundRequest {
  readonly incarnation: Incarnation;
  readonly port: number;
  readonly head: Extract<ForwardedRequest, { kind: "forward" }>;
}

/**
 * What a {@link PodLeg} tells of its request and the response. In this order: `sent`; any number of `informational`; `head`;
 * any number of `data`; `ended`. `failed` may come at any point before `ended`, and nothing after it. `continues` comes after
 * `head`, perhaps again, when not all is there at once.
 */
export interface PodLegEvents {
  /** The head is on its way, and the body may follow. */
  sent(): void;
  /** The pod takes more of the body again. */
  drained(): void;
  informational(status: number, fields: readonly string[]): void;
  /** `fields` are flat and lower case. */
  head(status: number, fields: string[]): void;
  /** Part of the body, for the listener to keep. */
  data(bytes: Buffer): void;
  continues(): void;
  ended(trailers: readonly string[]): void;
  failed(error: UpstreamError): void;
}

/** A request's way to its pod, whatever is spoken there: HTTP/1.1 so far ({@link Http1Leg}). */
export interface PodLeg {
  /** Asks for a connection; `body`: the whole of it, known by now. Call once. */
  start(body: Buffer | undefined): void;
  /** More of the body. False: the pod takes no more for now. */
  write(bytes: Buffer): boolean;
  /** The body is over. `trailers` are flat, and such as may be passed on; dropped where they can't be sent. */
  end(trailers: readonly (readonly [string, string])[]): void;
  /** Reads no more of the response for now. */
  pause(): void;
  resume(): void;
  /** Gives up: the pod's connection is closed, or reset. Nothing more is told. */
  giveUp(how: "close" | "reset"): void;
}

/** What legs work with. */
export interface PodLegContext {
  readonly options: LaneOptions;
  /** Those of the fast lane: kept connections serve both. */
  readonly pods: ConnectionKind<FastPod>;
}

/** A request that goes to its pod by HTTP/1.1, on a connection of the incarnation's pool. */
export class Http1Leg implements PodLeg, Lessee<FastPod>, ResponseReader {
  readonly client: string;
  readonly isHead: boolean;
  readonly mustClose = false;
  /** What is read is copied before it is written. */
  readonly writeIsPending = false;
  readonly #request: OutboundRequest;
  readonly #trace: RequestTrace;
  readonly #context: PodLegContext;
  readonly #events: PodLegEvents;
  readonly #decoder = new ResponseDecoder({
    head: (status, fields) => this.#events.head(status, fields),
    data: (bytes) => this.#events.data(bytes),
    atTrailers: () => this.#events.continues(),
  });
  #body: Buffer | undefined;
  #pod: FastPod | undefined;
  #cancelLease: (() => void) | undefined;
  #isOver = false;
  /** The request, body included, is with the pod. */
  #isSent = false;
  #isPaused = false;

  /** `client`: whose share of the sandbox it uses. */
  constructor(
    request: OutboundRequest,
    client: string,
    trace: RequestTrace,
    context: PodLegContext,
    events: PodLegEvents,
  ) {
    this.client = client;
    this.isHead = request.head.method === "HEAD";
    this.#request = request;
    this.#trace = trace;
    this.#context = context;
    this.#events = events;
  }

  start(body: Buffer | undefined): void {
    this.#body = body;
    const { incarnation, port } = this.#request;
    const { options, pods } = this.#context;
    const pod = options.upstreams.take(incarnation, pods, port, this);
    if (pod === undefined) this.#lease("kept");
    else this.granted(pod);
  }

  write(bytes: Buffer): boolean {
    const pod = this.#pod;
    if (pod === undefined) return true;
    pod.sendPromptly();
    const { socket } = pod;
    if (this.#request.head.body === "length") return socket.write(bytes);
    socket.cork();
    socket.write(`${bytes.length.toString(16)}\r\n`, "latin1");
    socket.write(bytes);
    const flows = socket.write("\r\n", "latin1");
    socket.uncork();
    return flows;
  }

  end(trailers: readonly (readonly [string, string])[]): void {
    this.#isSent = true;
    if (this.#request.head.body !== "chunked") return;
    let text = "0\r\n";
    for (const [name, value] of trailers) text += `${name}: ${value}\r\n`;
    this.#pod?.socket.write(`${text}\r\n`, "latin1");
  }

  pause(): void {
    if (this.#isPaused || this.#pod === undefined) return;
    this.#isPaused = true;
    this.#pod.socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#pod?.socket.resume();
  }

  giveUp(how: "close" | "reset"): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const pod = this.#pod;
    this.#pod = undefined;
    pod?.forsake();
    if (how === "reset") pod?.reset();
    pod?.discard();
    this.#cancelLease?.();
    this.#cancelLease = undefined;
  }

  granted(pod: FastPod): void {
    this.#cancelLease = undefined;
    if (this.#isOver) {
      pod.discard();
      return;
    }
    this.#pod = pod;
    if (!pod.hasRested) {
      this.#send(pod);
      return;
    }
    // Its FIN may be among the events that this turn of the loop has yet to come to.
    setImmediate(() => {
      if (this.#pod === pod) this.#send(pod);
    });
  }

  refused(error: UpstreamError): void {
    this.#cancelLease = undefined;
    this.failed(error);
  }

  cut(error: UpstreamError): void {
    this.failed(error);
  }

  informational(head: string): void {
    const { status, fields } = readInformational(head);
    this.#events.informational(status, fields);
  }

  head(_status: number, text: string): void {
    if (text !== "") this.#decoder.head(text);
  }

  continues(): void {
    this.#events.continues();
  }

  bytes(bytes: Buffer, start: number, end: number): void {
    this.#decoder.bytes(bytes, start, end);
  }

  text(text: string): void {
    this.#decoder.text(text);
  }

  /** They are counted when they are written. */
  countBody(): void {}

  ended(keep: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const pod = this.#pod;
    this.#pod = undefined;
    // A connection that is kept is read on, to see its end.
    if (this.#isPaused) pod?.socket.resume();
    if (keep && this.#isSent) pod?.release();
    else pod?.discard();
    this.#events.ended(this.#decoder.trailers);
  }

  failed(error: UpstreamError): void {
    if (this.#isOver) return;
    this.giveUp("close");
    this.#events.failed(error);
  }

  podDrained(): void {
    this.#events.drained();
  }

  #lease(want: "kept" | "new"): void {
    const { incarnation, port } = this.#request;
    const { options, pods } = this.#context;
    const cancel = options.upstreams.lease(incarnation, { kind: pods, port, want }, this);
    if (this.#pod === undefined && !this.#isOver) this.#cancelLease = cancel;
  }

  #send(pod: FastPod): void {
    if (!pod.usable) {
      this.#retry(pod);
      return;
    }
    const { head, incarnation, port } = this.#request;
    const { used } = pod;
    this.#trace.sentOn(pod);
    pod.begin(this);
    let text = orderedRequestHead(head, authorityOf({ ip: incarnation.ip, port }));
    if (this.#body) text += this.#body.toString("latin1");
    pod.socket.write(text, "latin1");
    if (used && pod.socket.errored !== null && !this.#trace.retried) {
      // The kernel did not take a byte: the pod had closed the connection before.
      this.#retry(pod);
      return;
    }
    this.#isSent = head.body === "none" || this.#body !== undefined;
    this.#body = undefined;
    this.#events.sent();
  }

  #retry(pod: FastPod): void {
    this.#pod = undefined;
    pod.forsake();
    pod.discard();
    this.#trace.retried = true;
    this.#context.options.upstreams.observer.retried();
    this.#lease("new");
  }
}

/** How a body is framed for the pod: HTTP/2 tells of its end, and needs no length. `received`: the request is here whole, without a body. */
export function framedFor(head: OutboundRequest["head"], received: boolean): OutboundRequest["head"] {
  if (!received) return head.body === "none" ? { ...head, body: "chunked" } : head;
  // A pod may ask for a length where a body has a meaning, if only 0 (RFC 9110 8.6).
  const hasNone = head.body === "none" && ["POST", "PUT", "PATCH"].includes(head.method);
  return hasNone ? { ...head, headers: [...head.headers, "Content-Length", "0"] } : head;
}
