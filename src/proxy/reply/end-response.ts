import type { IncomingMessage, ServerResponse } from "node:http";

import type { Clock } from "../../system/clock.ts";

/** How long a client that still uploads may take to notice that it was answered. */
const LINGER_MS = 1000;

/**
 * The client still has body to send. `IncomingMessage.complete` alone does not tell: it is false for every request in
 * the very moment that its head arrives.
 */
export function isUploading(request: IncomingMessage): boolean {
  if (request.complete) return false;
  const { headers } = request;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/**
 * Ends a response. When the client is still uploading, its bytes are read and dropped for a while first: closing at
 * once would make the kernel answer them with a RST, which can destroy the response before the client has read it
 * (RFC 9112 9.6). Such a response must carry `Connection: close`. A response with a Content-Length is complete for
 * the client before that.
 */
export function endResponse(request: IncomingMessage, response: ServerResponse, clock: Clock): void {
  if (response.destroyed || !isUploading(request)) {
    response.end();
    return;
  }
  // Alone, flushHeaders() would write bytes above ASCII as UTF-8; it is for responses that have no body.
  response.write("", "latin1");
  response.flushHeaders();
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    timer.clear();
    response.end();
  };
  const timer = clock.setTimeout(end, LINGER_MS);
  request.once("end", end);
  response.once("close", end);
  request.resume();
}
