import type { IncomingMessage } from "node:http";

import type { Milliseconds } from "../../system/clock.ts";
import { acceptedOf, schemeOf } from "../client/accepted.ts";
import type { RequestHead } from "../http1/request-head.ts";
import { requestIdOf } from "./request-id.ts";

/** What a lane knows of a request when it begins. */
export interface TracedRequest {
  /** May be made of the bytes only when it is read. */
  readonly head: RequestHead;
  readonly requestId: string;
  /** See `AcceptedConnection`. */
  readonly clientAddress: string;
  readonly scheme: "http" | "https";
  /** `HTTP/1.1` and so on. */
  readonly protocol: string;
  /** When it began, on the monotonic clock, if that was before now: it was held (`HeldRequests`). */
  readonly begunMs?: Milliseconds | undefined;
}

/** What the trace of a request of node:http begins with. Of a request that could not be parsed only the socket is known. */
export function tracedRequest(
  request: Pick<IncomingMessage, "socket"> & Partial<IncomingMessage>,
): TracedRequest {
  const { method = "", url: target = "", rawHeaders = [], httpVersion = "1.1" } = request;
  const accepted = acceptedOf(request.socket);
  return {
    head: { method, target, rawHeaders },
    requestId: requestIdOf(rawHeaders),
    clientAddress: accepted.clientAddress,
    scheme: schemeOf(accepted),
    protocol: `HTTP/${httpVersion}`,
  };
}
