import type { RefusalReason } from "../reply/reasons.ts";
import { requestFraming } from "../http1/request-framing.ts";
import { allValues } from "../http1/request-head.ts";
import type { RequestHead } from "../http1/request-head.ts";

declare const admitted: unique symbol;

/**
 * A head that {@link admit} let pass. Nothing else makes one, and without one there is no verdict: so no lane can pass
 * admission by.
 */
export type AdmittedHead<H extends RequestHead = RequestHead> = H & { readonly [admitted]: true };

/** A request that no lane may take. */
export class NotAdmitted {
  readonly reason: RefusalReason;
  /** What is wrong, for a reason that leaves it open. */
  readonly message: string | undefined;

  constructor(reason: RefusalReason, message?: string) {
    this.reason = reason;
    this.message = message;
  }
}

/** What is wrong with a request that is none. */
export const MALFORMED_REQUEST = "the request is not valid HTTP/1.1";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]);
/**
 * CONNECT makes a tunnel of the connection when it is answered with 2xx (RFC 9110 9.3.6): a kept connection to a pod would
 * carry the next request into it. TRACE makes a pod tell a script what it must not read: cookies, and what proxies added.
 */
const REFUSED_METHODS = new Set(["CONNECT", "TRACE"]);

/**
 * Says whether any lane may take a request (docs/architecture.md#admission): by its method, its version, how it is framed,
 * and whether it was here before (RFC 9110 7.6.3). Every lane asks it before anything else. What sandbox the request is for,
 * and whether that may be reached, is the verdict's to say. Pure. `protocol`: `HTTP/1.1` and so on; `viaPseudonym`: see
 * `ProxyServerOptions`.
 *
 * Methods are told apart by case (RFC 9110 9.1), but not here: a pod that is less strict would take `connect` for CONNECT.
 * The reply is 405 as with nginx, which refuses both too. An OPTIONS with `Max-Forwards: 0` is answered in place of the
 * pod (RFC 9110 7.6.2).
 */
export function admit<H extends RequestHead>(
  head: H,
  protocol: string,
  viaPseudonym: string,
): AdmittedHead<H> | NotAdmitted {
  const { method } = head;
  if (!METHODS.has(method) && REFUSED_METHODS.has(method.toUpperCase())) {
    return new NotAdmitted("method_not_allowed");
  }
  // Version, framing and fields are in order: the scanner has seen to it.
  if (head.isPlain === true) return head as AdmittedHead<H>;
  return faultOf(head, protocol, viaPseudonym) ?? (head as AdmittedHead<H>);
}

function faultOf(
  { method, rawHeaders, isStream }: RequestHead,
  protocol: string,
  viaPseudonym: string,
): NotAdmitted | undefined {
  // Not by the version that a request line claims: node:http passes on one of 2.0.
  if (isStream !== true && !protocol.startsWith("HTTP/1.")) {
    // A request line without a version is HTTP/0.9, where nothing tells it from what is no HTTP at all.
    return protocol.startsWith("HTTP/0.")
      ? new NotAdmitted("bad_request", MALFORMED_REQUEST)
      : new NotAdmitted("version_not_supported");
  }
  const framing = requestFraming(rawHeaders, protocol === "HTTP/1.0");
  if (framing.kind === "malformed") return new NotAdmitted("bad_request", framing.message);
  // Nobody can have it by chance, so how the list around it is written does not matter.
  if (allValues(rawHeaders, "via").some((value) => value.includes(viaPseudonym))) {
    return new NotAdmitted("loop_detected");
  }
  if (method === "OPTIONS" && allValues(rawHeaders, "max-forwards").some((value) => /^0+$/.test(value))) {
    return new NotAdmitted("max_forwards");
  }
  return undefined;
}
