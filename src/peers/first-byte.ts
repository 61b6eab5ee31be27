import { createServer, type Server, type Socket } from "node:net";
import type { Clock, Milliseconds } from "../system/clock.ts";
import { readFirstBytes } from "../system/first-bytes.ts";

/** Options of {@link createFirstByteServer}. */
export interface FirstByteOptions {
  /** Gets a connection whose first byte is that of a TLS handshake. */
  readonly tls: (socket: Socket) => void;
  /** Gets every other one. */
  readonly plain: (socket: Socket) => void;
  /** Longest time until the first byte comes; then the connection is closed. */
  readonly timeoutMs: Milliseconds;
  /** Connections that have not sent a byte yet; above, the one that is silent for longest is closed. */
  readonly maxSilent: number;
  /** A connection was closed to make room for a newer one. Must not throw. */
  readonly evicted: () => void;
  readonly clock: Clock;
}

/** A server that looks at the first byte. */
export interface FirstByteServer {
  readonly server: Server;
  /**
   * Accepts no more, and closes the connections that have not sent a byte yet. The others are whose they were handed to;
   * `closed` is called when they are gone too.
   */
  close(closed: () => void): void;
}

/** The record type of a handshake (RFC 8446 5.1). No method of HTTP begins with it. */
const HANDSHAKE = 22;

/**
 * A server whose port speaks TLS and plain HTTP: the first byte decides. So probes, and managers that know no TLS, need no port of
 * their own. What was read is put back before the connection is handed on.
 */
export function createFirstByteServer(options: FirstByteOptions): FirstByteServer {
  const silent = new Set<Socket>();
  const server = createServer((socket) => {
    silent.add(socket);
    const timer = options.clock.setTimeout(() => socket.destroy(), options.timeoutMs);
    const onGone = (): void => {
      silent.delete(socket);
      timer.clear();
    };
    // `close` follows; whoever takes the connection listens for errors of its own.
    socket.on("error", ignore);
    socket.once("close", onGone);
    readFirstBytes(socket, (bytes) => {
      onGone();
      socket.off("close", onGone);
      socket.unshift(bytes);
      if (bytes[0] === HANDSHAKE) {
        options.tls(socket);
      } else {
        options.plain(socket);
        socket.resume();
      }
    });
    if (silent.size <= options.maxSilent) return;
    const [longest] = silent;
    if (longest) silent.delete(longest);
    longest?.destroy();
    options.evicted();
  });
  return {
    server,
    close(closed) {
      server.close(() => closed());
      for (const socket of silent) socket.destroy();
    },
  };
}

function ignore(): void {}
