import type { Socket } from "node:net";

import type { Milliseconds } from "../../system/clock.ts";
import { stackOf } from "../../system/error-text.ts";
import { NOTE } from "../forwarding/request-fields.ts";
import { schemeOf } from "../client/accepted.ts";
import type { AcceptedConnection } from "../client/accepted.ts";
import { TRAIT } from "../http1/head-scan.ts";
import type { ScannedHead } from "../http1/scanned-head.ts";
import { admit, NotAdmitted } from "../passage/admission.ts";
import { newRequestId, requestIdOf } from "../record/request-id.ts";
import { RequestTrace } from "../record/request-trace.ts";
import { tracedRequest } from "../record/traced-request.ts";
import { opensPage } from "../limits/waking-requests.ts";
import type { WakeHold } from "../limits/waking-requests.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import { forwardedShareOf, shareOf } from "../upstream/client-share.ts";
import type { Lessee } from "../upstream/incarnation-pool.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import { exchangeFailure, timedOut } from "../upstream/upstream-error.ts";
import type { UpstreamError } from "../upstream/upstream-error.ts";
import { ClientAnswer } from "./client-answer.ts";
import type { AnsweredExchange } from "./client-answer.ts";
import { ClientBody } from "./client-body.ts";
import type { ExchangeConnection } from "./client-phase.ts";
import type { FastLaneContext } from "./fast-lane-context.ts";
import { asksToClose, FastOutbound, PROTOCOL } from "./fast-outbound.ts";
import type { Refused } from "./fast-outbound.ts";
import type { FastPod } from "./fast-pod.ts";

/**
 * One request of a client in the fast lane: verdict, connection to the pod, and the way of head and body to it; its answer
 * goes back by {@link ClientAnswer}. A client's connection has one exchange, which {@link begin} resets for each request.
 */
export class FastExchange implements AnsweredExchange, Lessee<FastPod> {
  readonly answer: ClientAnswer;
  readonly body: ClientBody;
  readonly #connection: ExchangeConnection;
  readonly #socket: Socket;
  readonly #context: FastLaneContext;
  readonly #address: string;
  readonly #scheme: "http" | "https";
  readonly #share: string;
  /** The share of this request, where proxies forward those of others. */
  #requestShare: string | undefined;
  readonly #outbound: FastOutbound;
  #cancelLease: (() => void) | undefined;
  #podPaused = false;
  /** Of the request at hand, which was kept until its sandbox has woken: its record has begun. */
  #waited: RequestTrace | undefined;

  constructor(
    connection: ExchangeConnection,
    socket: Socket,
    context: FastLaneContext,
    client: AcceptedConnection,
  ) {
    this.#connection = connection;
    this.#socket = socket;
    this.#context = context;
    this.#address = client.clientAddress;
    this.#scheme = schemeOf(client);
    this.#share = shareOf(this.#address);
    this.#outbound = new FastOutbound(context, client);
    this.answer = new ClientAnswer(this, connection, socket, context);
    this.body = new ClientBody(connection, context, this.#outbound, this.answer);
  }

  /**
   * Begins the request whose head was just scanned, from `start` of `bytes` on. `begunMs`: it was held since then; `refusal`: what
   * it is refused with. An exception becomes `internal_error`.
   */
  begin(
    head: ScannedHead,
    bytes: Buffer,
    start: number,
    isLast: boolean,
    begunMs: Milliseconds | undefined,
    refusal: RefusalReason | undefined,
  ): void {
    const { options, scan } = this.#context;
    const { answer } = this;
    const isPlain = this.#outbound.isPlain(head);
    this.#requestShare = undefined;
    this.body.begin();
    const waited = this.#waited;
    this.#waited = undefined;
    if (waited === undefined) options.requestStarted();
    const trace =
      waited?.readAgain(head) ??
      new RequestTrace(
        {
          head,
          requestId: isPlain
            ? (scan.valueOf(NOTE.requestId, head.text, start) ?? newRequestId())
            : requestIdOf(head.rawHeaders),
          clientAddress: this.#address,
          scheme: this.#scheme,
          protocol: PROTOCOL,
          begunMs,
        },
        options,
      );
    answer.begin(trace, isLast);
    const headEnd = start + head.text.length;
    try {
      const admitted = admit(head, PROTOCOL, options.viaPseudonym);
      if (refusal !== undefined) {
        this.#refusePassage(refusal, undefined, bytes, headEnd);
      } else if (admitted instanceof NotAdmitted) {
        this.#refusePassage(admitted.reason, admitted.message, bytes, headEnd);
      } else {
        if ((scan.traits & TRAIT.connection) !== 0) answer.isLast ||= asksToClose(head);
        const refused = this.#outbound.find(admitted, trace, start, isPlain);
        if (refused) {
          const kept = waited === undefined ? this.#keepForWaking(refused, trace, bytes, start) : "free";
          if (kept === "held") return;
          const reason = kept === "full" ? "overloaded" : refused.reason;
          this.#refusePassage(reason, refused.message, bytes, headEnd);
        } else if (this.body.open(bytes, headEnd)) this.#acquire();
      }
    } catch (error) {
      this.#broke(error);
    }
  }

  /** Keeps a request for later whose sandbox is woken for it. It is read again then, and its record goes on. */
  #keepForWaking(refused: Refused, trace: RequestTrace, bytes: Buffer, start: number): WakeHold["kind"] {
    const { waking } = this.#context.options;
    if (waking === undefined || refused.sleeper === undefined) return "free";
    const hold = waking.hold(refused.sleeper, {
      clientAddress: this.#address,
      opensPage: opensPage(trace.head),
      resume: (reason) => this.#connection.goOn(reason),
    });
    if (hold.kind !== "held") return hold.kind;
    this.#waited = trace;
    this.#connection.keepForLater(bytes, start, hold.cancel);
    return "held";
  }

  /** Refuses what never became a request: no more of the connection is read. */
  refuseUnread(reason: RefusalReason, message?: string): void {
    const { options } = this.#context;
    options.requestStarted();
    const trace = new RequestTrace(tracedRequest({ socket: this.#socket }), options);
    this.body.none();
    this.answer.begin(trace, true);
    options.refusals.tell(trace, reason);
    this.answer.refuse(reason, message);
  }

  /** See `Holder`. Worked out only when a sandbox is so busy that somebody asks. */
  get client(): string {
    const { trace } = this.answer;
    if (!this.#context.options.trustForwarded || trace === undefined) return this.#share;
    this.#requestShare ??= forwardedShareOf(trace.head, this.#address);
    return this.#requestShare;
  }

  get isUploading(): boolean {
    return !this.body.done;
  }

  /** What was read of the client may wait in the pod's socket. */
  get podIsPending(): boolean {
    return (this.#outbound.pod?.writer.pending ?? 1) > 0;
  }

  granted(pod: FastPod): void {
    this.#cancelLease = undefined;
    if (this.#connection.phase !== "leasing" || this.#outbound.incarnation === undefined) {
      pod.discard();
      return;
    }
    this.#outbound.pod = pod;
    if (pod.hasRested) {
      // Its FIN may be among the events that this turn of the loop has yet to come to.
      setImmediate(() => {
        if (this.#outbound.pod === pod) this.#send(pod);
      });
    } else {
      this.#send(pod);
    }
  }

  refused(error: UpstreamError): void {
    this.#cancelLease = undefined;
    this.failed(error);
  }

  cut(error: UpstreamError): void {
    this.failed(error);
  }

  failed(error: UpstreamError): void {
    if (this.answer.trace === undefined) return;
    const reason = exchangeFailure(error);
    // The pod is told at once, whatever is still on its way to it.
    if (reason === "client_too_slow") this.#outbound.pod?.reset();
    this.answer.fail(reason, error);
  }

  responseEnded(keep: boolean): void {
    const { pod } = this.#outbound;
    this.#outbound.pod = undefined;
    // A connection that is kept is read on, to see its end.
    if (pod) this.#resumePod(pod);
    if (keep && !this.isUploading) pod?.release();
    else pod?.discard();
  }

  pausePod(): void {
    this.#podPaused = true;
    this.#outbound.pod?.socket.pause();
  }

  podDrained(): void {
    if (this.isUploading && this.#connection.isPaused) {
      this.#connection.resume();
      this.body.expect();
    }
    this.#connection.touch();
  }

  giveUpPod(): void {
    const { pod } = this.#outbound;
    this.#outbound.pod = undefined;
    this.#outbound.clear();
    this.body.dropCollected();
    pod?.forsake();
    pod?.discard();
    this.#cancelLease?.();
    this.#cancelLease = undefined;
  }

  /** The client has taken all that was written. */
  clientDrained(): void {
    this.#connection.touch();
    const { pod } = this.#outbound;
    if (pod) this.#resumePod(pod);
  }

  /** The client's connection is closed, whoever closed it. */
  clientClosed(): void {
    this.giveUpPod();
    this.answer.clientClosed();
  }

  /** The deadline of a phase in which the client or the pod is waited for has passed. */
  onDeadline(nowMs: Milliseconds): void {
    const { trace, status, writeIsPending } = this.answer;
    const { pace } = this.#connection;
    if (status !== 0 && pace.deadlineMs <= nowMs && !writeIsPending) {
      // It has taken all in time, of which a socket tells only when it was full.
      pace.rest();
      this.#connection.touch();
    } else if (trace === undefined) {
      // A refusal is told of already.
      resetSocket(this.#socket);
    } else {
      this.failed(this.#timeoutError(nowMs));
    }
  }

  /** More of a small body. */
  onSmallBody(bytes: Buffer): void {
    if (!this.body.collectMore(bytes)) return;
    try {
      this.#acquire();
    } catch (error) {
      this.#broke(error);
    }
  }

  /** Takes a kept connection to the pod, or asks for one. */
  #acquire(): void {
    const { incarnation, port } = this.#outbound;
    if (incarnation === undefined) return;
    const { options, pods } = this.#context;
    const pod = options.upstreams.take(incarnation, pods, port, this);
    if (pod === undefined) this.#lease("kept");
    else this.granted(pod);
  }

  #lease(want: "kept" | "new"): void {
    const { incarnation, port } = this.#outbound;
    if (incarnation === undefined) return;
    const { options, pods } = this.#context;
    const { trace } = this.answer;
    // What more of the body comes is left in the kernel until there is where it goes.
    if (!this.body.done) this.#connection.pause();
    const cancel = options.upstreams.lease(incarnation, { kind: pods, port, want }, this);
    // Unless it was refused at once, and the next request waits by now.
    if (this.#connection.phase === "leasing" && this.answer.trace === trace) this.#cancelLease = cancel;
  }

  #send(pod: FastPod): void {
    const { socket, used } = pod;
    const { trace } = this.answer;
    if (!pod.usable) {
      this.#retry(pod);
      return;
    }
    trace?.sentOn(pod);
    pod.begin(this.answer);
    const flows = pod.writer.text(this.#outbound.text);
    if (used && socket.errored !== null && trace?.retried === false) {
      // The kernel did not take a byte: the pod had closed the connection before.
      this.#retry(pod);
      return;
    }
    this.#outbound.clear();
    const { body } = this;
    if (body.done || flows) this.#connection.resume();
    if (!body.done) body.expect();
    body.next();
  }

  #retry(pod: FastPod): void {
    this.#outbound.pod = undefined;
    pod.forsake();
    pod.discard();
    if (this.answer.trace) this.answer.trace.retried = true;
    this.#context.options.upstreams.observer.retried();
    this.#lease("new");
  }

  #resumePod(pod: FastPod): void {
    if (!this.#podPaused) return;
    this.#podPaused = false;
    pod.socket.resume();
  }

  #broke(error: unknown): void {
    this.#context.options.log.error("a request failed with an exception", {
      requestId: this.answer.trace?.requestId,
      error: stackOf(error),
    });
    this.answer.refuse("internal_error");
  }

  /** Refused for what its head says. A body that came with it whole is passed over, and the connection goes on. */
  #refusePassage(reason: RefusalReason, message: string | undefined, bytes: Buffer, headEnd: number): void {
    const { trace } = this.answer;
    if (trace) this.#context.options.refusals.tell(trace, reason);
    this.body.skip(bytes, headEnd);
    this.answer.refuse(reason, message);
  }

  #timeoutError(nowMs: Milliseconds): UpstreamError {
    const { status, writeIsPending } = this.answer;
    const { pod } = this.#outbound;
    if (this.#connection.pace.deadlineMs <= nowMs) {
      return timedOut(status === 0 ? "slow_request" : "slow_reader");
    }
    if (this.#connection.phase === "awaiting") return timedOut("first_byte");
    const clientStalls = this.isUploading ? pod === undefined || !pod.writer.needsDrain : writeIsPending;
    return timedOut(clientStalls ? "silent_client" : "silent_pod");
  }
}
