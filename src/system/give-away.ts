import type { Socket } from "node:net";

/**
 * Gives a socket, with `rest` of what was read of it put back, to whoever reads it from now on. Nobody may read it any more when this is
 * called, but for its errors, which are the caller's until `take`.
 */
export function giveAway(socket: Socket, rest: Buffer, take: (socket: Socket) => void): void {
  // Paused while the readers change: what is put back must not be lost between them.
  socket.pause();
  // Not within the event that told of these bytes: a stream that comes to be full there has its handle stopped behind our
  // back when the event is over, and is not read on by whoever gets it.
  process.nextTick(() => {
    if (socket.destroyed) return;
    // What the socket has read ahead goes with it, in one piece: node:http reads the handle itself, and may do so while
    // the stream is paused. A piece that still waited in the stream would then come after what followed it. `read` gives
    // one piece at a time since Node 26.
    const pieces: Buffer[] = [rest];
    for (let ahead: unknown = socket.read(); Buffer.isBuffer(ahead); ahead = socket.read())
      pieces.push(ahead);
    socket.unshift(pieces.length === 1 ? rest : Buffer.concat(pieces));
    take(socket);
  });
}
