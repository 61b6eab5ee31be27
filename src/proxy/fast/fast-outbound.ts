import type { Incarnation } from "../../routes/lookup.ts";
import type { Sleeper } from "../../routes/sleeper.ts";
import { forwardedFields, orderedRequestHead, plainRequestHead } from "../forwarding/request-text.ts";
import { allValues } from "../http1/request-head.ts";
import type { ScannedHead } from "../http1/scanned-head.ts";
import type { AdmittedHead } from "../passage/admission.ts";
import { findPassage, judge, type Passage, viaOf } from "../passage/lane.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { HostTarget } from "../target/host-targets.ts";
import { authorityOf } from "../target/pod-address.ts";
import type { FastLaneContext } from "./fast-lane-context.ts";
import type { FastPod } from "./fast-pod.ts";
import { type HeadOutcome, RepeatedHead } from "./repeated-head.ts";

/** Of the requests in the fast lane: the scanner takes no other version for a usual one. */
export const PROTOCOL = "HTTP/1.1";

/** Why a request goes nowhere. */
export interface Refused {
  readonly reason: RefusalReason;
  readonly message?: string | undefined;
  /** See `Verdict`. */
  readonly sleeper?: Sleeper | undefined;
}

/** Where a client's present request goes, and what of it is ready to be sent. Reused for each request. */
export class FastOutbound {
  /** `undefined`: nothing is to be sent. */
  incarnation: Incarnation | undefined;
  port = 0;
  /** The head as the pod gets it, and what of the body is sent with it: one character per byte. */
  text = "";
  /** The connection on which it is sent, from when there is one to the end of the response. */
  pod: FastPod | undefined;
  readonly #context: FastLaneContext;
  readonly #address: string;
  readonly #repeated = new RepeatedHead();
  #hostTarget: HostTarget | undefined;
  /** What is added to each request with the Host of `#hostTarget`. */
  #fields = "";

  constructor(context: FastLaneContext, address: string) {
    this.#context = context;
    this.#address = address;
  }

  /** Nothing in the head needs more than its bytes passed on. Then the same comes out as for any other, for less. */
  isPlain(head: ScannedHead): boolean {
    return head.isPlain && this.#context.scan.hostStart >= 0 && this.#hasOwnPath(head);
  }

  /** The pod gets the request-target as it is, and no span has to look at the fields. */
  #hasOwnPath(head: ScannedHead): boolean {
    const { parseTarget, tracing } = this.#context.options;
    const { pathPrefix } = parseTarget;
    return tracing === undefined && (pathPrefix === "" || !head.targetStartsWith(pathPrefix));
  }

  /** What came of the head before, if this one differs in its path alone. Asked for a head that is not plain. */
  repeated(head: ScannedHead): HeadOutcome | undefined {
    return this.#hasOwnPath(head) ? this.#repeated.of(head) : undefined;
  }

  /** Sets what is to be sent where, for the head that was just scanned. Returns why not, if not. */
  find(
    head: AdmittedHead<ScannedHead>,
    trace: RequestTrace,
    start: number,
    isPlain: boolean,
    known: HeadOutcome | undefined,
  ): Refused | undefined {
    if (isPlain) return this.#findPlain(head, trace, start);
    return known === undefined ? this.#findOrdered(head, trace) : this.#findAgain(head, trace, known);
  }

  /** It was sent, or will not be. */
  clear(): void {
    this.incarnation = undefined;
    this.text = "";
  }

  #findPlain(head: AdmittedHead<ScannedHead>, trace: RequestTrace, start: number): Refused | undefined {
    const { options, scan } = this.#context;
    const { target } = this.#targetOf(head.text, scan.hostStart - start, scan.hostEnd - start);
    const verdict = judge(head, trace, target, options);
    if (verdict.kind === "refuse") return verdict;
    this.incarnation = verdict.incarnation;
    this.port = verdict.port;
    this.text = plainRequestHead(head.text, start, scan, this.#fields, trace.requestId);
    return undefined;
  }

  /** What the Host says, which is nearly always that of the request before. */
  #targetOf(text: string, hostStart: number, hostEnd: number): HostTarget {
    const known = this.#hostTarget;
    if (known?.host.length === hostEnd - hostStart && text.startsWith(known.host, hostStart)) return known;
    const { hosts, options } = this.#context;
    const found = hosts.of(text.slice(hostStart, hostEnd));
    this.#hostTarget = found;
    this.#fields = forwardedFields({
      clientAddress: this.#address,
      host: found.host,
      via: viaOf(PROTOCOL, options),
    });
    return found;
  }

  #findOrdered(head: AdmittedHead<ScannedHead>, trace: RequestTrace): Refused | undefined {
    const { options } = this.#context;
    const passage = findPassage(head, trace, options);
    if (passage.kind === "refuse") return passage;
    const { incarnation, port } = passage.verdict;
    this.incarnation = incarnation;
    this.port = port;
    this.text = orderedRequestHead(passage.head, authorityOf({ ip: incarnation.ip, port }));
    this.#remember(head, trace, passage);
    return undefined;
  }

  /** Everything but the verdict is as for the head before. */
  #findAgain(
    head: AdmittedHead<ScannedHead>,
    trace: RequestTrace,
    { target, requestId, before, after }: HeadOutcome,
  ): Refused | undefined {
    const verdict = judge(head, trace, target, this.#context.options);
    if (verdict.kind === "refuse") return verdict;
    this.incarnation = verdict.incarnation;
    this.port = verdict.port;
    const id = requestId === undefined ? trace.requestId : "";
    this.text = `${head.method} ${head.target} HTTP/1.1\r\n${before}${id}${after}`;
    return undefined;
  }

  #remember(
    head: AdmittedHead<ScannedHead>,
    { requestId }: RequestTrace,
    { target }: Extract<Passage, { kind: "forward" }>,
  ): void {
    // Without a Host the pod's own address stands there, which may be another one next time. Max-Forwards of OPTIONS is counted.
    if (!this.#hasOwnPath(head) || this.#context.scan.hostStart < 0 || head.method === "OPTIONS") return;
    const { text } = this;
    const fieldsStart = text.indexOf("\r\n") + 2;
    const own = allValues(head.rawHeaders, "x-request-id").includes(requestId);
    const line = `\r\nX-Request-Id: ${requestId}\r\n`;
    const at = own ? text.length : text.lastIndexOf(line) + line.length - requestId.length - 2;
    this.#repeated.remember({
      admitted: head,
      target,
      requestId: own ? requestId : undefined,
      before: text.slice(fieldsStart, at),
      after: own ? "" : text.slice(at + requestId.length),
      closes: asksToClose(head),
    });
  }
}

/** `close` is among several options of `Connection` (RFC 9110 7.6.1). */
export function asksToClose(head: ScannedHead): boolean {
  const options = allValues(head.rawHeaders, "connection").join(",").toLowerCase().split(",");
  return options.some((option) => option.trim() === "close");
}
