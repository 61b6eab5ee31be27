import type { Socket } from "node:net";

/**
 * Reads the first bytes of a connection, or its next ones, and leaves it paused: `taken` gets all that has arrived. What is to be
 * read again is put back by `socket.unshift`. The caller listens for `error` and `close`; without bytes nothing is called.
 */
export function readFirstBytes(socket: Socket, taken: (bytes: Buffer) => void): void {
  socket.once("data", (bytes: Buffer) => {
    // Paused while the readers change: what is put back must not be lost between them.
    socket.pause();
    const ahead: unknown = socket.read();
    taken(Buffer.isBuffer(ahead) ? Buffer.concat([bytes, ahead]) : bytes);
  });
  socket.resume();
}
