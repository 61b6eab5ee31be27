import { createServer, Socket } from "node:net";
import type { Server, SocketConstructorOpts } from "node:net";

/** Takes the first `length` bytes of `buffer`, which is used again for the next read. */
export type ReadHandler = (buffer: Buffer, length: number) => void;

/** What Node's server calls for a connection. Not documented, so each piece is looked for before it is used. */
interface ServerHandle {
  onconnection?: (error: number, handle: ClientHandle) => void;
}
interface ClientHandle {
  setNoDelay?(on: boolean): void;
  close?(): void;
}

const READ_BYTES = 262_144;

/**
 * A server whose connections all read into one buffer. Node offers that (`onread`) for outgoing connections only;
 * this takes the accepted handle before Node wraps it. It makes the load cheap, which matters since it must not be
 * the limit; where Node lacks the hook, plain `data` events do.
 */
export function createSharedBufferServer(accept: (socket: Socket) => ReadHandler): Server {
  const shared = Buffer.allocUnsafeSlow(READ_BYTES);
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    const read = accept(socket);
    socket.on("data", (chunk: Buffer) => read(chunk, chunk.length));
  });
  server.on("listening", () => {
    const { _handle: handle } = server as unknown as { _handle?: ServerHandle };
    if (typeof handle?.onconnection !== "function") return;
    const original = handle.onconnection;
    handle.onconnection = function onconnection(error, client) {
      if (error !== 0 || typeof client?.setNoDelay !== "function") return original.call(this, error, client);
      const onread = {
        buffer: shared,
        callback(length: number) {
          read(shared, length);
          return true;
        },
      };
      const socket = new Socket({ handle: client, onread } as unknown as SocketConstructorOpts);
      client.setNoDelay(true);
      socket.on("error", () => socket.destroy());
      const read = accept(socket);
      socket.read(0);
    };
  });
  return server;
}
