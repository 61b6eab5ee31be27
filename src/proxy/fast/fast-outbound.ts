import type { Incarnation } from "../../routes/lookup.ts";
import { forwardedFields, orderedRequestHead, plainRequestHead } from "../forwarding/request-text.ts";
import type { ScannedHead } from "../http1/scanned-head.ts";
import type { AdmittedHead } from "../passage/admission.ts";
import { findPassage, judge, viaOf } from "../passage/lane.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { HostTarget } from "../target/host-targets.ts";
import { authorityOf } from "../target/pod-address.ts";
import type { FastLaneContext } from "./fast-lane-context.ts";
import type { FastPod } from "./fast-pod.ts";

/** Of the requests in the fast lane: the scanner takes no other version for a usual one. */
export const PROTOCOL = "HTTP/1.1";

/** Why a request goes nowhere. */
export interface Refused {
  readonly reason: RefusalReason;
  readonly message?: string | undefined;
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
  #hostTarget: HostTarget | undefined;
  /** What is added to each request with the Host of `#hostTarget`. */
  #fields = "";

  constructor(context: FastLaneContext, address: string) {
    this.#context = context;
    this.#address = address;
  }

  /** Nothing in the head needs more than its bytes passed on. Then the same comes out as for any other, for less. */
  isPlain(head: ScannedHead): boolean {
    const { options, scan } = this.#context;
    const { pathPrefix } = options.parseTarget;
    if (!head.isPlain || scan.hostStart < 0 || options.tracing !== undefined) return false;
    return pathPrefix === "" || !head.targetStartsWith(pathPrefix);
  }

  /** Sets what is to be sent where, for the head that was just scanned. Returns why not, if not. */
  find(
    head: AdmittedHead<ScannedHead>,
    trace: RequestTrace,
    start: number,
    isPlain: boolean,
  ): Refused | undefined {
    return isPlain ? this.#findPlain(head, trace, start) : this.#findOrdered(head, trace);
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

  #findOrdered(head: AdmittedHead, trace: RequestTrace): Refused | undefined {
    const passage = findPassage(head, trace, this.#context.options);
    if (passage.kind === "refuse") return passage;
    const { incarnation, port } = passage.verdict;
    this.incarnation = incarnation;
    this.port = port;
    this.text = orderedRequestHead(passage.head, authorityOf({ ip: incarnation.ip, port }));
    return undefined;
  }
}
