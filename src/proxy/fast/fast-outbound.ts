import { schemeOf } from "../client/accepted.ts";
import type { AcceptedConnection } from "../client/accepted.ts";
import type { Incarnation } from "../../routes/lookup.ts";
import type { Sleeper } from "../../routes/sleeper.ts";
import {
  type AddedFields,
  addedFields,
  orderedRequestHead,
  plainRequestHead,
} from "../forwarding/request-text.ts";
import { allValues } from "../http1/request-head.ts";
import type { ScannedHead } from "../http1/scanned-head.ts";
import type { AdmittedHead } from "../passage/admission.ts";
import { findPassage, judge } from "../passage/lane.ts";
import type { RequestTrace } from "../record/request-trace.ts";
import type { RefusalReason } from "../reply/reasons.ts";
import type { AccessGate } from "../passage/access-gate.ts";
import type { Withheld } from "../forwarding/forwarding.ts";
import { NOTE } from "../forwarding/request-fields.ts";
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
  readonly #client: AcceptedConnection;
  /** Of the request before. */
  #hostTarget: HostTarget | undefined;
  /** For `#hostTarget`. */
  #added: AddedFields | undefined;

  constructor(context: FastLaneContext, client: AcceptedConnection) {
    this.#context = context;
    this.#client = client;
  }

  /** Nothing in the head needs more than its bytes passed on. Then the same comes out as for any other, for less. */
  isPlain(head: ScannedHead): boolean {
    return head.isPlain && this.#context.scan.hostStart >= 0 && this.#hasOwnPath(head);
  }

  /** The pod gets the request-target and the Host as they are, and no span has to look at the fields. */
  #hasOwnPath(head: ScannedHead): boolean {
    const { parseTarget, tracing, maskHost } = this.#context.options;
    const { pathPrefix } = parseTarget;
    return (
      tracing === undefined &&
      maskHost === undefined &&
      (pathPrefix === "" || !head.targetStartsWith(pathPrefix))
    );
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
    const { hosts, options, scan, via } = this.#context;
    const { credentials } = options.access;
    const found = hosts.of(head.text, start, scan, this.#hostTarget);
    if (credentials.length > 0) head.takeNotes(credentials, NOTE.credentials, scan, start);
    let added = this.#added;
    if (added === undefined || found !== this.#hostTarget) {
      const scheme = schemeOf(this.#client);
      // What is known of the Host is for plain HTTP.
      const ofHost = scheme === "http" ? found.hostFields : undefined;
      added = addedFields(this.#client.clientAddress, scheme, found.host, via, ofHost);
      this.#added = added;
      this.#hostTarget = found;
    }
    const verdict = judge(head, trace, found.target, options);
    if (verdict.kind === "refuse") return verdict;
    if (isWithheldByPort(head, verdict.withheld, options.access)) return this.#findOrdered(head, trace);
    this.incarnation = verdict.incarnation;
    this.port = verdict.port;
    this.text = plainRequestHead(head.text, start, scan, added, trace.requestId);
    return undefined;
  }

  #findOrdered(head: AdmittedHead<ScannedHead>, trace: RequestTrace): Refused | undefined {
    const { options } = this.#context;
    const passage = findPassage(head, trace, options);
    if (passage.kind === "refuse") return passage;
    const { incarnation, port } = passage.verdict;
    this.incarnation = incarnation;
    this.port = port;
    this.text = orderedRequestHead(passage.head, authorityOf({ ip: incarnation.ip, port }));
    return undefined;
  }
}

/** It has a field that this pod must not get at this port, and others may. */
function isWithheldByPort(head: ScannedHead, withheld: Withheld | undefined, access: AccessGate): boolean {
  const name = access.withheldByPort;
  return name !== undefined && withheld?.fields.has(name) === true && head.all(name).length > 0;
}

/** `close` is among several options of `Connection` (RFC 9110 7.6.1). */
export function asksToClose(head: ScannedHead): boolean {
  const options = allValues(head.rawHeaders, "connection").join(",").toLowerCase().split(",");
  return options.some((option) => option.trim() === "close");
}
