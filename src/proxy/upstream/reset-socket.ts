import type { Socket } from "node:net";

import { transportOf } from "../client/accepted.ts";

/**
 * Closes a connection with a RST, or without where that can't be: while a FIN waits to be sent libuv refuses to
 * reset, and `resetAndDestroy` would then neither close the socket nor ever emit `close`; on a socket that connects
 * it would wait for the connection first. Of an encrypted connection the one below is reset: the client must see that what it
 * got was cut.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  const ending = socket.writableEnded && !socket.writableFinished;
  if (ending || socket.connecting) socket.destroy();
  else transportOf(socket).resetAndDestroy();
}
