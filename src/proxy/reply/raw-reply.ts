import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

import type { Clock } from "../../system/clock.ts";
import type { Reply } from "./reply.ts";

/** How long a client may take to read a last reply and close, before its connection is cut. */
export const LINGER_MS = 1000;

/** A reply as it goes over the wire. `close`: it is the last on its connection. */
export function replyBytes(reply: Reply, close: boolean, clock: Clock): Buffer {
  let head = `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ""}\r\n`;
  for (let i = 0; i + 1 < reply.headers.length; i += 2)
    head += `${reply.headers[i]}: ${reply.headers[i + 1]}\r\n`;
  head += `Date: ${new Date(clock.nowMs()).toUTCString()}\r\n${close ? "Connection: close\r\n" : ""}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), reply.body]);
}

/**
 * Writes a reply to a connection that node:http has let go of (a refused upgrade, a request it could not parse), and
 * closes it: a FIN after the reply, all else when the client closes too or after a second.
 */
export function closeWithReply(socket: Duplex, reply: Reply, clock: Clock): void {
  const timer = clock.setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => timer.clear());
  socket.once("end", () => socket.destroy());
  socket.end(replyBytes(reply, true, clock));
  // What the client still sends is dropped, so that its end is seen.
  socket.resume();
}
