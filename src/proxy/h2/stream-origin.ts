import { schemeOf } from "../client/accepted.ts";
import type { AcceptedConnection } from "../client/accepted.ts";
import { firstValue } from "../http1/request-head.ts";
import type { RequestHead } from "../http1/request-head.ts";
import { NotAdmitted } from "../passage/admission.ts";
import { requestIdOf } from "../record/request-id.ts";
import type { TracedRequest } from "../record/traced-request.ts";
import { isMeantFor } from "./misdirected.ts";
import type { StreamHead } from "./stream-head.ts";

/** Where streams come from: what is known of their connection. */
export interface StreamOrigin {
  readonly accepted: AcceptedConnection;
  /** What all its requests are refused with, if they are. */
  readonly refusal: NotAdmitted | undefined;
  /** Ends the connection at once, by a RST: it takes nothing, not even that a stream was reset. */
  readonly abort: () => void;
}

/** As access logs and traces have it. */
const PROTOCOL = "HTTP/2.0";

/** What the trace of a stream begins with. */
export function tracedStream(head: RequestHead, { accepted }: StreamOrigin): TracedRequest {
  return {
    head,
    requestId: requestIdOf(head.rawHeaders),
    clientAddress: accepted.clientAddress,
    scheme: schemeOf(accepted),
    protocol: PROTOCOL,
  };
}

/**
 * Why a stream goes nowhere, before it is looked at as a request. Clients put requests for all names of a certificate on one
 * connection (RFC 9113 9.1.1); one for a name that is neither the certificate's nor the one that the client asked for (SNI) is
 * sent elsewhere by a 421 (9.1.2).
 */
export function faultOf(
  { fault, head }: StreamHead,
  { accepted, refusal }: StreamOrigin,
): NotAdmitted | undefined {
  if (refusal !== undefined) return refusal;
  if (fault !== undefined || accepted.tls === undefined) return fault;
  return isMeantFor(accepted.tls, firstValue(head.rawHeaders, "host") ?? "")
    ? undefined
    : new NotAdmitted("misdirected_request");
}
