import type { Socket } from "node:net";

import { stackOf } from "../../system/error-text.ts";
import type { Milliseconds } from "../../system/clock.ts";
import { remoteAddressOf } from "../../system/ip-address.ts";
import type { Incarnation } from "../../routes/lookup.ts";
import { admit, NotAdmitted } from "../passage/admission.ts";
import type { AdmittedHead } from "../passage/admission.ts";
import { ClientBody } from "./client-body.ts";
import { forwardedShareOf, shareOf } from "../upstream/client-share.ts";
import type { Timed } from "../limits/deadlines.ts";
import type { FastLaneContext, LaneClient } from "./fast-lane-context.ts";
import type { FastPod } from "./fast-pod.ts";
import { GrowingBytes } from "../../system/growing-bytes.ts";
import type { HostTarget } from "../target/host-targets.ts";
import { HeadScan, INCOMPLETE, scanRequestHead, TRAIT, UNUSUAL } from "../http1/head-scanner.ts";
import type { Hold } from "../limits/held-requests.ts";
import type { Lessee } from "../upstream/incarnation-pool.ts";
import { findPassage, judge, viaOf } from "../passage/lane.ts";
import { authorityOf } from "../target/pod-address.ts";
import { LINGER_MS, replyBytes } from "../reply/raw-reply.ts";
import { ReadSlot, SMALL_READ_BYTES } from "./read-buffers.ts";
import { REASONS } from "../reply/reasons.ts";
import type { RefusalReason, ReasonSpec } from "../reply/reasons.ts";
import { replyFor } from "../reply/reply.ts";
import { allValues } from "../http1/request-head.ts";
import { newRequestId, requestIdOf } from "../record/request-id.ts";
import { forwardedFields, orderedRequestHead, plainRequestHead } from "../forwarding/request-text.ts";
import { RequestTrace } from "../record/request-trace.ts";
import { tracedRequest } from "../record/traced-request.ts";
import { resetSocket } from "../upstream/reset-socket.ts";
import type { ResponseReader } from "./response-reader.ts";
import { ScannedHead } from "../http1/scanned-head.ts";
import { feedFrom, stopFeeding } from "./shared-read-buffer.ts";
import type { ReadFeed } from "./shared-read-buffer.ts";
import { readTrailers } from "../forwarding/trailer-section.ts";
import { nameUnread } from "../passage/unread-bytes.ts";
import { exchangeFailure, UpstreamError } from "../upstream/upstream-error.ts";

/**
 * | phase | the client's bytes are | ends with |
 * |---|---|---|
 * | `head` | a request head, or the begin of one | `collecting`, `leasing`, `body`, `answer`; a refusal |
 * | `collecting` | held: a small body, until it is whole | `leasing`, `answer`; a refusal |
 * | `doubt` | held, with the request's: its sandbox is in doubt | `head`, at once `leasing` or a refusal |
 * | `leasing` | held: the request waits for a connection | `body`, `answer`; a refusal |
 * | `body` | the request's body, passed on | `answer`; a failure |
 * | `trailers` | the trailers of a chunked body | `answer`; a failure |
 * | `answer` | held: the next requests | `flushing`, `head`, `ended`; a failure |
 * | `flushing` | held; the response is whole, and the client has yet to take the rest | `head`, `ended` |
 * | `overrun` | dropped: the rest of a body whose request was answered before it was here | `ended`, after `LINGER_MS` at the latest |
 * | `ended` | dropped: the last response is written | `gone`, after `LINGER_MS` at the latest |
 * | `gone` | another's, or nobody's | |
 */
type Phase =
  | "head"
  | "doubt"
  | "collecting"
  | "leasing"
  | "body"
  | "trailers"
  | "answer"
  | "flushing"
  | "overrun"
  | "ended"
  | "gone";

/** Where the request that is under way goes, and what of it is ready to be sent: its head, and what came with it. */
interface Outbound {
  readonly incarnation: Incarnation;
  readonly port: number;
  readonly text: string;
}

/** A small body that is read whole before a connection is taken. */
interface Collected {
  readonly held: GrowingBytes;
  /** To be given back to `SmallBodies`. */
  readonly reserved: number;
}

/** Bytes of later requests that are read while one is answered; above, reading pauses. */
const MAX_AHEAD_BYTES = 65_536;
const MALFORMED_MESSAGE = "the request is not valid HTTP/1.1";
const PROTOCOL = "HTTP/1.1";
/** Where a request line has its minor version, behind its target. */
const VERSION_MINOR = " HTTP/1.".length;
const ONE = 0x31;
/** One for all connections: it holds for the length of a call. */
const scan = new HeadScan();

/** One client connection in the fast lane. Its requests are answered one after the other (RFC 9112 9.3.2). */
export class FastClient implements LaneClient, Lessee<FastPod>, ReadFeed, ResponseReader, Timed {
  deadlineMs = Infinity;
  isHead = false;
  readonly #socket: Socket;
  readonly #context: FastLaneContext;
  readonly #address: string;
  readonly #share: string;
  /** The share of the present request, where proxies forward those of others. */
  #requestShare: string | undefined;
  readonly #reads: ReadSlot;
  #phase: Phase = "head";
  #requests = 0;
  /** Bytes that wait for their turn, or for more. */
  #held: GrowingBytes | undefined;
  /** How much of `#held` was scanned, as the begin of a head or of trailers. */
  #scanned = 0;
  #advancing = false;
  #paused = false;
  #podPaused = false;
  #isGuarded = false;
  /** When the client is too slow (see `LeastRate`); `Infinity` while it is not expected to send or to take anything. */
  #paceMs = Infinity;
  #collected: Collected | undefined;
  /** When the present response began. */
  #headAtMs = 0;
  #trace: RequestTrace | undefined;
  #outbound: Outbound | undefined;
  #cancelLease: (() => void) | undefined;
  #cancelHold: (() => void) | undefined;
  /** Since when the request at hand has been held; it is not held again. */
  #heldSinceMs: Milliseconds | undefined;
  #pod: FastPod | undefined;
  readonly #body = new ClientBody();
  #status = 0;
  #headSent = false;
  #delimited = true;
  /** The connection carries no further request. */
  #close = false;
  #sharesBuffer = false;
  #hostTarget: HostTarget | undefined;
  #forwarded = "";

  constructor(socket: Socket, context: FastLaneContext) {
    this.#socket = socket;
    this.#context = context;
    this.#address = remoteAddressOf(socket);
    this.#share = shareOf(this.#address);
    this.#reads = new ReadSlot(context.buffers);
  }

  /** Begins to read. Call once. */
  start(): void {
    const { clients, deadlines, options } = this.#context;
    clients.add(this);
    deadlines.add(this);
    if (!feedFrom(this.#socket, this)) this.#socket.on("data", this.#onData);
    else this.#sharesBuffer = true;
    this.deadlineMs = deadlines.in(options.headerTimeoutMs);
    this.#socket
      .on("drain", this.#onDrain)
      .on("end", this.#onEnd)
      .on("error", this.#onError)
      .on("close", this.#onClose);
  }

  /** The router drains: a connection that never carried a request is closed; others close after their next response. */
  drain(): void {
    const isIdle = this.#phase === "head" && this.#held === undefined;
    if (isIdle) this.#socket.destroy();
  }

  /** Closes the connection at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  cut(error: UpstreamError): void {
    this.#fail(error);
  }

  /** See {@link ReadFeed}. */
  buffer(): Buffer {
    return this.#reads.current;
  }

  onRead(bytes: Buffer, length: number): void {
    this.#onData(bytes.subarray(0, length));
    if (this.#phase !== "gone") this.#chooseBuffer();
  }

  /** See `Holder`. Worked out only when a sandbox is so busy that somebody asks. */
  get client(): string {
    if (!this.#context.options.trustForwarded || this.#trace === undefined) return this.#share;
    this.#requestShare ??= forwardedShareOf(this.#trace.head, this.#address);
    return this.#requestShare;
  }

  get mustClose(): boolean {
    return this.#close || this.#isUploading || this.#context.options.draining();
  }

  get writeIsPending(): boolean {
    return this.#socket.writableLength > 0;
  }

  granted(pod: FastPod): void {
    const outbound = this.#outbound;
    this.#cancelLease = undefined;
    if (this.#phase !== "leasing" || outbound === undefined) {
      pod.discard();
      return;
    }
    this.#pod = pod;
    if (pod.hasRested) {
      // Its FIN may be among the events that this turn of the loop has yet to come to.
      setImmediate(() => {
        if (this.#pod === pod) this.#send(pod, outbound);
      });
    } else {
      this.#send(pod, outbound);
    }
  }

  refused(error: UpstreamError): void {
    this.#cancelLease = undefined;
    this.#fail(error);
  }

  informational(head: string): void {
    this.#touch();
    this.#socket.write(head, "latin1");
  }

  head(status: number, text: string, delimited: boolean): void {
    this.#headAtMs = this.#context.options.clock.monotonicMs();
    this.#trace?.firstByte(this.#headAtMs);
    this.#close = this.mustClose || !delimited;
    this.#status = status;
    this.#headSent = true;
    this.#delimited = delimited;
    if (this.#requests > 1) this.#guard();
    if (text !== "") this.text(text);
  }

  text(text: string): void {
    const flows = this.#socket.write(text, "latin1");
    this.#written(text.length, flows);
  }

  bytes(bytes: Buffer, start: number, end: number): void {
    if (end === start) return;
    if (end - start <= SMALL_READ_BYTES) {
      // Copied by the write, so that a slow client of an event stream does not hold a large buffer for each event.
      this.text(bytes.toString("latin1", start, end));
      return;
    }
    const flows = this.#socket.write(bytes.subarray(start, end));
    this.#written(end - start, flows);
  }

  /** More of the response is to come, who knows when. */
  continues(): void {
    this.#guard();
  }

  countBody(bytes: number): void {
    if (this.#trace) this.#trace.bytesOut += bytes;
  }

  ended(keep: boolean, atOnce: boolean): void {
    const pod = this.#pod;
    this.#pod = undefined;
    // A connection that is kept is read on, to see its end.
    if (pod) this.#resumePod(pod);
    if (keep && !this.#isUploading) pod?.release();
    else pod?.discard();
    if (!this.writeIsPending) {
      this.#answered(atOnce ? this.#headAtMs : undefined);
      return;
    }
    if (!this.#isUploading) this.#phase = "flushing";
    this.#socket.write("", (error) => {
      // When the connection is cut, its close tells the record.
      if (!error && !this.#socket.destroyed) this.#answered();
    });
  }

  failed(error: UpstreamError): void {
    this.#fail(error);
  }

  podDrained(): void {
    if (this.#isUploading && this.#paused) {
      this.#resume();
      this.#expectBody();
    }
    this.#touch();
  }

  onDeadline(nowMs: Milliseconds): void {
    switch (this.#phase) {
      case "head":
        if (this.#held === undefined) this.#socket.destroy();
        else this.#refuseUnread("request_timeout", "the request's header did not arrive in time");
        return;
      case "collecting":
      case "body":
      case "trailers":
      case "answer":
      case "flushing":
        if (this.#headSent && this.#paceMs <= nowMs && !this.writeIsPending) {
          // It has taken all in time, of which a socket tells only when it was full.
          this.#paceMs = Infinity;
          this.#touch();
        } else if (this.#trace === undefined) {
          // A refusal is told of already.
          resetSocket(this.#socket);
        } else {
          this.#fail(this.#timeoutError(nowMs));
        }
        return;
      case "overrun":
        this.#finish();
        return;
      case "ended":
        this.#socket.destroy();
        return;
      case "doubt":
      case "leasing":
      case "gone":
        return;
    }
  }

  readonly #onData = (bytes: Buffer): void => {
    switch (this.#phase) {
      case "head":
        this.#onHeadBytes(bytes);
        return;
      case "body":
        this.#onBody(bytes);
        return;
      case "collecting":
        this.#onCollecting(bytes);
        return;
      case "trailers":
        this.#hold(bytes, 0, bytes.length);
        this.#onTrailers();
        return;
      case "doubt":
      case "leasing":
      case "answer":
      case "flushing":
        this.#hold(bytes, 0, bytes.length);
        return;
      case "overrun":
        if (this.#takeBody(bytes, 0) === -1 || this.#body.done || this.#body.atTrailers) this.#finish();
        return;
      case "ended":
      case "gone":
        return;
    }
  };

  readonly #onDrain = (): void => {
    this.#touch();
    if (this.#pod) this.#resumePod(this.#pod);
  };

  readonly #onEnd = (): void => {
    // Nobody waits for what is under way, or there is nothing.
    if (this.#phase === "head" && this.#held !== undefined) {
      this.#refuseUnread("bad_request", MALFORMED_MESSAGE);
    } else if (this.#phase === "flushing") {
      this.#close = true;
    } else {
      this.#socket.destroy();
    }
  };

  /** Why it failed is known from what was under way; unheard, it would end the process. */
  readonly #onError = (): void => {};

  readonly #onClose = (): void => {
    const trace = this.#trace;
    this.#leave();
    this.#cancelHold?.();
    this.#giveUpPod();
    this.#trace = undefined;
    trace?.end(this.#headSent ? this.#status : 499, trace.reason ?? "client_closed");
  };

  #onHeadBytes(bytes: Buffer): void {
    const held = this.#held;
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
    while (this.#phase === "head" && this.#held !== undefined && this.#held.length !== this.#scanned) {
      this.#scanHead(this.#held.bytes, this.#held);
    }
    this.#advancing = false;
    if (this.#phase === "head") this.#resume();
  }

  /** `held`: where `bytes` are from, if they were held. */
  #scanHead(bytes: Buffer, held: GrowingBytes | undefined): void {
    const { requestFields, options } = this.#context;
    const length = bytes.length;
    let start = 0;
    // A server should skip an empty line before a request (RFC 9112 2.2).
    while (length - start >= 2 && bytes[start] === 13 && bytes[start + 1] === 10) start += 2;
    if (start === length) {
      this.#held = undefined;
      return;
    }
    const end = scanRequestHead(bytes, start, length, requestFields, scan);
    const size = (end > INCOMPLETE ? end : length) - start;
    if (end >= INCOMPLETE && size > options.maxHeaderBytes) {
      this.#refuseUnread("headers_too_large", "the request's header is too large");
      return;
    }
    if (end === INCOMPLETE) {
      if (held === undefined || start > 0) this.#held = GrowingBytes.of(bytes, start, length);
      if (this.#scanned === 0) this.deadlineMs = this.#context.deadlines.in(options.headerTimeoutMs);
      this.#scanned = length - start;
      return;
    }
    this.#held = undefined;
    this.#scanned = 0;
    if (end === UNUSUAL || (end > INCOMPLETE && (scan.traits & (TRAIT.upgrade | TRAIT.expect)) !== 0)) {
      this.#handOver(bytes, start);
    } else if (end < INCOMPLETE) {
      const { reason, message } = nameUnread(bytes.subarray(start));
      this.#refuseUnread(reason, message);
    } else {
      this.#begin(bytes, start, end);
    }
  }

  /**
   * Small pieces are sent at once, and clients that vanished are noticed. Not for a connection that one short exchange uses
   * up: it takes five system calls.
   */
  #guard(): void {
    if (this.#isGuarded) return;
    this.#isGuarded = true;
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, 30_000);
  }

  #handOver(bytes: Buffer, start: number): void {
    const socket = this.#socket;
    stopFeeding(socket);
    this.#guard();
    this.#leave();
    socket
      .off("data", this.#onData)
      .off("drain", this.#onDrain)
      .off("end", this.#onEnd)
      .off("error", this.#onError)
      .off("close", this.#onClose);
    // Paused while the readers change: what is put back must not be lost between them.
    socket.pause();
    // What the socket has read ahead goes with it, in one piece: node:http reads the handle itself, and may do so while
    // the stream is paused. A piece that still waited in the stream would then come after what followed it.
    const ahead: unknown = socket.read();
    const rest = bytes.subarray(start);
    // node:http knows no later version than the one as which it is taken.
    if (scan.minor > 1) rest[scan.targetEnd - start + VERSION_MINOR] = ONE;
    socket.unshift(Buffer.isBuffer(ahead) ? Buffer.concat([rest, ahead]) : Buffer.from(rest));
    this.#context.options.handOver(socket);
  }

  /** Begins the request whose head is `bytes` from `start` to `headEnd`. */
  #begin(bytes: Buffer, start: number, headEnd: number): void {
    const { options } = this.#context;
    const text = bytes.toString("latin1", start, headEnd);
    const head = new ScannedHead(text, start, scan);
    const begunMs = this.#heldSinceMs;
    const hold = options.held.mayHold && begunMs === undefined ? this.#holdBack(head, bytes, start) : "free";
    if (hold === "held") return;
    this.#heldSinceMs = undefined;
    const isPlain = this.#isPlain(head);
    this.#requests += 1;
    this.isHead = head.method === "HEAD";
    this.#headSent = false;
    this.#close = scan.close || this.#requests === options.maxRequestsPerConnection;
    this.#body.begin(scan);
    this.#phase = "leasing";
    this.#requestShare = undefined;
    options.requestStarted();
    const trace = new RequestTrace(
      {
        head,
        requestId: isPlain ? newRequestId() : requestIdOf(head.rawHeaders),
        clientAddress: this.#address,
        protocol: PROTOCOL,
        begunMs,
      },
      options,
    );
    this.#trace = trace;
    try {
      const admitted = admit(head, PROTOCOL, options.viaPseudonym);
      if (hold === "full") {
        this.#refusePassage("overloaded", undefined, bytes, headEnd);
      } else if (admitted instanceof NotAdmitted) {
        this.#refusePassage(admitted.reason, admitted.message, bytes, headEnd);
      } else if (isPlain) {
        this.#beginPlain(admitted, trace, bytes, start, headEnd, text);
      } else {
        this.#beginOrdered(admitted, trace, bytes, headEnd);
      }
    } catch (error) {
      options.log.error("a request failed with an exception", {
        requestId: trace.requestId,
        error: stackOf(error),
      });
      this.#refuse("internal_error");
    }
  }

  /** Keeps a request for later while its sandbox is in doubt. It is read again then: nearly no request comes here. */
  #holdBack(head: ScannedHead, bytes: Buffer, start: number): Hold["kind"] {
    const { held, parseTarget, clock } = this.#context.options;
    const hold = held.hold(parseTarget(head), () => this.#goOn());
    if (hold.kind !== "held") return hold.kind;
    this.#cancelHold = hold.cancel;
    this.#heldSinceMs = clock.monotonicMs();
    this.#held = GrowingBytes.of(bytes, start, bytes.length);
    this.#phase = "doubt";
    this.deadlineMs = Infinity;
    return "held";
  }

  #goOn(): void {
    this.#cancelHold = undefined;
    if (this.#phase !== "doubt") return;
    this.#phase = "head";
    this.#advance();
  }

  /** Nothing in the head needs more than its bytes passed on. Then the same comes out as for any other, for less. */
  #isPlain(head: ScannedHead): boolean {
    const { parseTarget, tracing } = this.#context.options;
    const { pathPrefix } = parseTarget;
    if (!head.isPlain || scan.hostStart < 0 || tracing !== undefined) return false;
    return pathPrefix === "" || !head.targetStartsWith(pathPrefix);
  }

  #beginPlain(
    admitted: AdmittedHead,
    trace: RequestTrace,
    bytes: Buffer,
    start: number,
    headEnd: number,
    text: string,
  ): void {
    const { hosts, options } = this.#context;
    const known = this.#hostTarget;
    const hostLength = scan.hostEnd - scan.hostStart;
    const hostStart = scan.hostStart - start;
    let hostTarget: HostTarget;
    // Nearly always the Host of the request before.
    if (known !== undefined && known.host.length === hostLength && text.startsWith(known.host, hostStart)) {
      hostTarget = known;
    } else {
      hostTarget = hosts.of(text.slice(hostStart, hostStart + hostLength));
      this.#hostTarget = hostTarget;
      this.#forwarded = forwardedFields({
        clientAddress: this.#address,
        host: hostTarget.host,
        via: viaOf(PROTOCOL, options),
      });
    }
    const verdict = judge(admitted, trace, hostTarget.target, options);
    if (verdict.kind === "refuse") {
      this.#refusePassage(verdict.reason, verdict.message, bytes, headEnd);
      return;
    }
    const head = plainRequestHead(text, start, scan, this.#forwarded, trace.requestId);
    this.#dispatch(verdict.incarnation, verdict.port, head, bytes, headEnd);
  }

  #beginOrdered(head: AdmittedHead, trace: RequestTrace, bytes: Buffer, headEnd: number): void {
    if ((scan.traits & TRAIT.connection) !== 0) {
      const options = allValues(head.rawHeaders, "connection").join(",").toLowerCase().split(",");
      this.#close ||= options.some((option) => option.trim() === "close");
    }
    const passage = findPassage(head, trace, this.#context.options);
    if (passage.kind === "refuse") {
      this.#refusePassage(passage.reason, passage.message, bytes, headEnd);
      return;
    }
    const { incarnation, port } = passage.verdict;
    const authority = authorityOf({ ip: incarnation.ip, port });
    this.#dispatch(incarnation, port, orderedRequestHead(passage.head, authority), bytes, headEnd);
  }

  /** Refused for what its head says. A body that came with it whole is passed over, and the connection goes on. */
  #refusePassage(reason: RefusalReason, message: string | undefined, bytes: Buffer, headEnd: number): void {
    const { refusals } = this.#context.options;
    if (this.#trace) refusals.tell(this.#trace, reason);
    const bodyEnd = this.#takeBody(bytes, headEnd);
    if (bodyEnd >= 0 && this.#body.done) this.#hold(bytes, bodyEnd, bytes.length);
    this.#refuse(reason, message);
  }

  /** Sends a request, or reads its body first when it is small. */
  #dispatch(incarnation: Incarnation, port: number, head: string, bytes: Buffer, headEnd: number): void {
    const { options } = this.#context;
    const bodyEnd = this.#takeBody(bytes, headEnd);
    if (bodyEnd === -1) {
      this.#refuse("bad_request", MALFORMED_MESSAGE);
      return;
    }
    if (!this.#body.done && options.smallBodies.reserve(scan.contentLength)) {
      this.#outbound = { incarnation, port, text: head };
      this.#collected = { held: GrowingBytes.of(bytes, headEnd, bodyEnd), reserved: scan.contentLength };
      this.#phase = "collecting";
      this.#resume();
      this.#expectBody();
      this.#touch();
      return;
    }
    const text = bodyEnd === headEnd ? head : head + bytes.toString("latin1", headEnd, bodyEnd);
    this.#hold(bytes, bodyEnd, bytes.length);
    this.#acquire({ incarnation, port, text });
  }

  /** A client that sends a small body slowly holds no connection to the pod meanwhile. */
  #onCollecting(bytes: Buffer): void {
    const { deadlines, options } = this.#context;
    const { held } = this.#collected ?? {};
    const outbound = this.#outbound;
    if (held === undefined || outbound === undefined) return;
    const end = this.#takeBody(bytes, 0);
    held.append(bytes, 0, end);
    this.#hold(bytes, end, bytes.length);
    if (!this.#body.done) {
      this.#paceMs = options.uploadRate.sent(this.#paceMs, end, deadlines.nowMs);
      this.#touch();
      return;
    }
    this.#paceMs = Infinity;
    this.#phase = "leasing";
    const text = outbound.text + held.bytes.toString("latin1");
    this.#dropCollected();
    try {
      this.#acquire({ ...outbound, text });
    } catch (error) {
      const requestId = this.#trace?.requestId;
      options.log.error("a request failed with an exception", { requestId, error: String(error) });
      this.#refuse("internal_error");
    }
  }

  #dropCollected(): void {
    if (this.#collected === undefined) return;
    this.#context.options.smallBodies.release(this.#collected.reserved);
    this.#collected = undefined;
  }

  /** Takes a kept connection to the pod, or asks for one. */
  #acquire(outbound: Outbound): void {
    const { options, pods } = this.#context;
    const { incarnation, port } = outbound;
    this.#outbound = outbound;
    const pod = options.upstreams.take(incarnation, pods, port, this);
    if (pod === undefined) this.#lease("kept");
    else this.granted(pod);
  }

  #send(pod: FastPod, outbound: Outbound): void {
    const { socket, used } = pod;
    if (!pod.usable) {
      this.#retry(pod);
      return;
    }
    this.#trace?.sentOn(pod);
    this.#delimited = true;
    pod.begin(this);
    const flows = socket.write(outbound.text, "latin1");
    if (used && socket.errored !== null && this.#trace?.retried === false) {
      // The kernel did not take a byte: the pod had closed the connection before.
      this.#retry(pod);
      return;
    }
    this.#outbound = undefined;
    if (this.#body.done || flows) this.#resume();
    this.#expectBody();
    this.#nextOfBody();
  }

  /**
   * The client is to send what is left of the body from now on, no slower than the least rate. Once the pod has begun to
   * answer, the two talk to each other at whatever pace the pod puts up with.
   */
  #expectBody(): void {
    if (this.#headSent) return;
    const { deadlines, options } = this.#context;
    const isExpected = this.#isUploading && !this.#paused;
    this.#paceMs = isExpected ? options.uploadRate.begin(deadlines.nowMs) : Infinity;
  }

  /** Of the response, `bytes` more were written. What of it waits in the socket is to be taken, no slower than the least rate. */
  #written(bytes: number, flows: boolean): void {
    if (this.writeIsPending) this.#expectToTake(bytes, flows);
    else this.#paceMs = Infinity;
    this.#touch();
  }

  #expectToTake(bytes: number, flows: boolean): void {
    const { deadlines, options } = this.#context;
    const { writableLength } = this.#socket;
    // All that was written before has been taken, if no more waits than was written now.
    const isFirst = writableLength <= bytes || this.#paceMs === Infinity;
    this.#paceMs = isFirst
      ? options.downloadRate.take(writableLength, deadlines.nowMs)
      : options.downloadRate.more(this.#paceMs, bytes);
    // A long write is above the high-water mark by itself: what counts is whether the kernel took it.
    if (!flows) this.#pausePod();
  }

  #lease(want: "kept" | "new"): void {
    const outbound = this.#outbound;
    if (outbound === undefined) return;
    const { options, pods } = this.#context;
    const { incarnation, port } = outbound;
    this.#phase = "leasing";
    this.deadlineMs = Infinity;
    // What more of the body comes is left in the kernel until there is where it goes.
    if (!this.#body.done) this.#pause();
    const cancel = options.upstreams.lease(incarnation, { kind: pods, port, want }, this);
    if (this.#phase === "leasing") this.#cancelLease = cancel;
  }

  #retry(pod: FastPod): void {
    this.#pod = undefined;
    pod.forsake();
    pod.discard();
    if (this.#trace) this.#trace.retried = true;
    this.#context.options.upstreams.observer.retried();
    this.#lease("new");
  }

  /** How far `bytes`, from `start` on, are body of this request; -1 when the body is not well formed. */
  #takeBody(bytes: Buffer, start: number): number {
    const end = this.#body.take(bytes, start);
    if (this.#trace) this.#trace.bytesIn += this.#body.taken;
    return end;
  }

  #onBody(bytes: Buffer): void {
    const end = this.#takeBody(bytes, 0);
    if (end === -1) {
      this.#broken();
      return;
    }
    if (this.#paceMs !== Infinity && !this.#headSent) {
      const { deadlines, options } = this.#context;
      this.#paceMs = options.uploadRate.sent(this.#paceMs, this.#body.taken, deadlines.nowMs);
    }
    const podSocket = this.#pod?.socket;
    if (end > 0 && podSocket) {
      this.#pod?.sendPromptly();
      const flows =
        this.#sharesBuffer && end <= SMALL_READ_BYTES
          ? podSocket.write(bytes.toString("latin1", 0, end), "latin1")
          : podSocket.write(end === bytes.length ? bytes : bytes.subarray(0, end));
      if (!flows && podSocket.writableLength > 0 && !this.#body.done) {
        this.#pause();
        // It is the pod that is waited for.
        this.#expectBody();
      }
    }
    this.#hold(bytes, end, bytes.length);
    this.#nextOfBody();
  }

  /** Chooses the phase by what of the body is still to come, and goes on with what was held. */
  #nextOfBody(): void {
    this.#phase = this.#body.done ? "answer" : this.#body.atTrailers ? "trailers" : "body";
    if (this.#body.done && !this.#headSent) this.#paceMs = Infinity;
    this.#touch();
    if (this.#phase === "trailers") {
      this.#onTrailers();
    } else if (this.#phase === "body" && this.#held !== undefined) {
      const { bytes } = this.#held;
      this.#held = undefined;
      this.#onBody(bytes);
    }
  }

  /** Trailers are read whole: some of them must not be passed on. */
  #onTrailers(): void {
    const held = this.#held;
    if (held === undefined) return;
    const section = readTrailers(
      held.bytes,
      this.#context.options.maxHeaderBytes,
      this.#scanned,
      this.#context.options.parseTarget.fields,
    );
    this.#scanned = section.kind === "incomplete" ? held.length : 0;
    if (section.kind === "incomplete") return;
    if (section.kind === "malformed") {
      this.#broken();
      return;
    }
    this.#pod?.sendPromptly();
    this.#pod?.socket.write(section.text, "latin1");
    this.#held = undefined;
    this.#body.end();
    this.#hold(held.bytes, section.length, held.length);
    this.#nextOfBody();
  }

  /** What came in place of a body is none; what follows can't be told. */
  #broken(): void {
    this.#giveUpPod();
    if (!this.#headSent) {
      this.#refuse("bad_request", MALFORMED_MESSAGE);
      return;
    }
    if (this.#trace) this.#trace.reason = "bad_request";
    this.#socket.destroy();
  }

  #answered(atMs?: Milliseconds): void {
    const trace = this.#trace;
    const uploading = this.#isUploading;
    this.#trace = undefined;
    trace?.end(this.#status, "ok", atMs);
    if (uploading) this.#overrun();
    else if (this.#close) this.#finish();
    else this.#next();
  }

  /** The connection is free for a next request. */
  #next(): void {
    const { deadlines, options } = this.#context;
    if (options.draining() && this.#held === undefined) {
      this.#finish();
      return;
    }
    this.#phase = "head";
    this.#scanned = 0;
    this.#paceMs = Infinity;
    this.deadlineMs = deadlines.in(options.keepAliveTimeoutMs);
    this.#advance();
  }

  /**
   * Reads on for a moment: closing while the client still sends would make the kernel answer with a RST, which can destroy
   * the response before the client has read it (RFC 9112 9.6).
   */
  #overrun(): void {
    this.#phase = "overrun";
    this.#held = undefined;
    this.deadlineMs = this.#context.deadlines.in(LINGER_MS);
    this.#resume();
  }

  /** Says that nothing more will come, and waits a moment for the client to say so too (RFC 9112 9.6). */
  #finish(): void {
    this.#phase = "ended";
    this.#held = undefined;
    this.deadlineMs = this.#context.deadlines.in(LINGER_MS);
    this.#socket.end();
    this.#resume();
  }

  #fail(error: UpstreamError): void {
    const trace = this.#trace;
    if (trace === undefined) return;
    const reason = exchangeFailure(error);
    // The pod is told at once, whatever is still on its way to it.
    if (reason === "client_too_slow") this.#pod?.reset();
    this.#giveUpPod();
    if (!this.#headSent) {
      this.#context.options.refusals.tell(trace, reason, error);
      this.#refuse(reason);
      return;
    }
    trace.reason = reason;
    // Never a clean end: without a length or chunks a FIN would look like the end of the body.
    if (this.#delimited && reason !== "request_timeout" && reason !== "client_too_slow")
      this.#socket.destroy();
    else resetSocket(this.#socket);
  }

  /** Refuses what never became a request: no more of the connection is read. */
  #refuseUnread(reason: RefusalReason, message?: string): void {
    const { options } = this.#context;
    options.requestStarted();
    this.#trace = new RequestTrace(tracedRequest({ socket: this.#socket }), options);
    this.isHead = false;
    this.#headSent = false;
    this.#body.end();
    this.#close = true;
    this.#held = undefined;
    options.refusals.tell(this.#trace, reason);
    this.#refuse(reason, message);
  }

  #refuse(reason: RefusalReason, message?: string): void {
    const trace = this.#trace;
    if (trace === undefined) return;
    this.#giveUpPod();
    const reply = replyFor(reason, trace.replyContext(message));
    const { closes = false }: ReasonSpec = REASONS[reason];
    const close = this.mustClose || closes;
    trace.bytesOut = reply.body.length;
    this.#socket.write(replyBytes(reply, close, this.#context.options.clock));
    this.#trace = undefined;
    trace.end(reply.status, reason);
    // What is not well formed has no end to wait for.
    if (!this.#body.done && reason !== "bad_request") this.#overrun();
    else if (close) this.#finish();
    else if (this.writeIsPending) this.#flush();
    else this.#next();
  }

  /** Takes no further request before the client has taken this answer: else those who read none would fill the memory. */
  #flush(): void {
    this.#phase = "flushing";
    this.#touch();
    this.#socket.write("", (error) => {
      // When the connection is cut, its close tells the record.
      if (!error && !this.#socket.destroyed) this.#answered();
    });
  }

  #giveUpPod(): void {
    const pod = this.#pod;
    this.#pod = undefined;
    this.#outbound = undefined;
    this.#dropCollected();
    pod?.forsake();
    pod?.discard();
    this.#cancelLease?.();
    this.#cancelLease = undefined;
  }

  #timeoutError(nowMs: Milliseconds): UpstreamError {
    if (this.#paceMs <= nowMs) {
      const verb = this.#headSent ? "reads its answer" : "sends its request";
      return new UpstreamError("client_too_slow", `the client ${verb} too slowly`);
    }
    if (this.#phase === "answer" && !this.#headSent) {
      return new UpstreamError("first_byte_timeout", "the pod did not answer in time");
    }
    const clientStalls = this.#isUploading
      ? this.#pod === undefined || !this.#pod.socket.writableNeedDrain
      : this.#socket.writableLength > 0;
    return clientStalls
      ? new UpstreamError("request_timeout", "the client stalled")
      : new UpstreamError("upstream_idle_timeout", "the pod fell silent");
  }

  /** The request has a body, and it is not here whole. */
  get #isUploading(): boolean {
    return this.#trace !== undefined && !this.#body.done;
  }

  /** Something moved. */
  #touch(): void {
    const { deadlines, options } = this.#context;
    const awaitsHead = this.#phase === "answer" && !this.#headSent;
    const silentMs = deadlines.in(awaitsHead ? options.firstByteTimeoutMs : options.idleTimeoutMs);
    this.deadlineMs = silentMs < this.#paceMs ? silentMs : this.#paceMs;
  }

  #hold(bytes: Buffer, start: number, end: number): void {
    if (start === end) return;
    if (this.#held === undefined) this.#held = GrowingBytes.of(bytes, start, end);
    else this.#held.append(bytes, start, end);
    if (this.#held.length > MAX_AHEAD_BYTES) this.#pause();
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  #pausePod(): void {
    this.#podPaused = true;
    this.#pod?.socket.pause();
  }

  #resumePod(pod: FastPod): void {
    if (!this.#podPaused) return;
    this.#podPaused = false;
    pod.socket.resume();
  }

  /** A long body is read into a buffer of its own, which is written to the pod as it is. */
  #chooseBuffer(): void {
    const isLong = this.#phase === "body" && this.#body.isLong;
    this.#reads.choose(isLong ? "long" : "short", (this.#pod?.socket.writableLength ?? 1) > 0);
  }

  #leave(): void {
    this.#reads.letGo(true);
    this.#phase = "gone";
    this.#context.clients.delete(this);
    this.#context.deadlines.delete(this);
  }
}
