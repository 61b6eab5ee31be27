import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

import type { Clock } from "../clock.ts";
import type { Reply } from "./reply.ts";

/** How long a client may take to read a reply and close, before its connection is cut. */
const LINGER_MS = 1000;

/**
 * Writes a reply to a connection that node:http has let go of (a refused upgrade, a request it could not parse), and
 * closes it: a FIN after the reply, all else when the client closes too or after a second.
 */
export function closeWithReply(socket: Duplex, reply: Reply, clock: Clock): void {
  let head = `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ""}\r\n`;
  for (let i = 0; i + 1 < reply.headers.length; i += 2)
    head += `${reply.headers[i]}: ${reply.headers[i + 1]}\r\n`;
  head += `Date: ${new Date(clock.nowMs()).toUTCString()}\r\nConnection: close\r\n\r\n`;
  const timer = clock.setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => timer.clear());
  socket.once("end", () => socket.destroy());
  socket.end(Buffer.concat([Buffer.from(head, "latin1"), reply.body]));
  // What the client still sends is dropped, so that its end is seen.
  socket.resume();
}
