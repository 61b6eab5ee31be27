import type { IncomingMessage } from "node:http";

import { allValues } from "../http1/request-head.ts";

/** What a client asks to switch to. */
export interface UpgradeRequest {
  /** The value of `Upgrade` for the pod: what the client sent, without the protocols that are not tunnelled. */
  readonly protocols: string;
  readonly isWebSocket: boolean;
}

/** HTTP and TLS are hops of their own: tunnelled, they would carry requests that no verdict was made for. */
const NOT_TUNNELLED = /^(h2c?|http|tls)(\/|$)/i;

/**
 * The upgrade that is passed on, or `undefined` when the request is an ordinary one. A server may ignore `Upgrade`
 * (RFC 9110 7.8); it is ignored for HTTP/1.0 clients, on requests with a body (which would have to be passed on before
 * the protocol changes), for `h2c`, `HTTP/…` and `TLS/…`, and for WebSockets by any method but GET (RFC 6455 4.1).
 * Every other protocol is tunnelled like a WebSocket: SPDY/3.1 and `tcp` of container tools, for instance.
 */
export function upgradeRequestOf(request: IncomingMessage): UpgradeRequest | undefined {
  const { rawHeaders } = request;
  if (request.httpVersionMajor !== 1 || request.httpVersionMinor !== 1) return undefined;
  if (!listItems(rawHeaders, "connection").some((option) => option.toLowerCase() === "upgrade"))
    return undefined;
  if (allValues(rawHeaders, "transfer-encoding").length > 0) return undefined;
  if (allValues(rawHeaders, "content-length").some((length) => Number(length) !== 0)) return undefined;
  const protocols = listItems(rawHeaders, "upgrade").filter((protocol) => !NOT_TUNNELLED.test(protocol));
  if (protocols.length === 0) return undefined;
  const isWebSocket = protocols.some((protocol) => protocol.toLowerCase() === "websocket");
  if (isWebSocket && request.method !== "GET") return undefined;
  return { protocols: protocols.join(", "), isWebSocket };
}

function listItems(rawHeaders: readonly string[], name: string): string[] {
  return allValues(rawHeaders, name)
    .flatMap((value) => value.split(","))
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
