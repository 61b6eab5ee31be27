import { Socket } from "node:net";
import type { Server, SocketConstructorOpts } from "node:net";

/*
 * The one place where Lychgate uses what Node does not document (docs/architecture.md#undocumented-node), and only when it
 * is asked to: `onread`, which `net.connect` has, for sockets that a server accepts. Node's own server is asked for the raw
 * connection before it makes a socket of it. Found to work on Node 24; elsewhere {@link acceptWithSharedBuffer} says that it
 * can't.
 */

/** Where the bytes of an accepted connection go. */
export interface ReadFeed {
  /** Where the next bytes are read to. */
  buffer(): Buffer;
  /** `length` bytes of `bytes` are there; they may be overwritten as soon as this returns. */
  onRead(bytes: Buffer, length: number): void;
}

interface RawServer {
  readonly _handle?: { onconnection?: (this: unknown, status: number, connection: unknown) => void };
  _connections: number;
}

const feeds = new WeakMap<Socket, { feed: ReadFeed | undefined }>();

/**
 * Makes a listening server accept its connections with a read buffer of the caller's. `buffer`: where the first bytes of a
 * connection are read to. False when this Node can't do that; then nothing has changed.
 */
export function acceptWithSharedBuffer(server: Server, buffer: Buffer): boolean {
  const raw = server as unknown as RawServer;
  const handle = raw._handle;
  const accept = handle?.onconnection;
  if (handle === undefined || typeof accept !== "function" || typeof raw._connections !== "number")
    return false;
  handle.onconnection = function onconnection(status, connection) {
    if (status !== 0 && status !== undefined) {
      accept.call(this, status, connection);
      return;
    }
    const slot: { feed: ReadFeed | undefined } = { feed: undefined };
    const options = {
      handle: connection,
      allowHalfOpen: true,
      onread: {
        buffer: () => slot.feed?.buffer() ?? buffer,
        callback(length: number, bytes: Buffer): boolean {
          if (slot.feed) {
            slot.feed.onRead(bytes, length);
            return true;
          }
          // Nobody takes bytes: from here on it is a stream like any other.
          return socket.push(Buffer.from(bytes.subarray(0, length)));
        },
      },
    };
    const socket = new Socket(options as unknown as SocketConstructorOpts);
    // As Node does it: the server is closed when its connections are.
    raw._connections += 1;
    Object.assign(socket, { server, _server: server });
    feeds.set(socket, slot);
    server.emit("connection", socket);
    socket.read(0);
  };
  return true;
}

/** Has the bytes of `socket` told to `feed`. False when it was not accepted with a shared buffer: then it has `data` events. */
export function feedFrom(socket: Socket, feed: ReadFeed): boolean {
  const slot = feeds.get(socket);
  if (slot === undefined) return false;
  slot.feed = feed;
  return true;
}

/** Makes `socket` a stream with `data` events again, if it was not one. */
export function stopFeeding(socket: Socket): void {
  const slot = feeds.get(socket);
  if (slot) slot.feed = undefined;
}
