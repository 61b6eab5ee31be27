import type { Socket } from "node:net";

import { GuardedSocket } from "./guarded-socket.ts";

/** The end of a chunked body as undici writes it, which knows no trailers (RFC 9112 7.1). */
const LAST_CHUNK = "\r\n0\r\n\r\n";

/**
 * A TCP socket to a pod. Besides, it puts a request's trailer fields between the last chunk and the end of the
 * message, since undici has no way to send them. Should a later undici write the last chunk in another form, the
 * trailers are dropped, as RFC 9112 7.1.2 allows; nothing else changes.
 */
export class PodSocket extends GuardedSocket {
  /** Complete field lines, each with its CRLF, for the message that is being written. Used once. */
  requestTrailers = "";

  override write(...args: unknown[]): boolean {
    if (this.requestTrailers !== "" && args[0] === LAST_CHUNK) {
      args[0] = `\r\n0\r\n${this.requestTrailers}\r\n`;
      this.requestTrailers = "";
    }
    return super.write(...(args as Parameters<Socket["write"]>));
  }
}
