import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ReadHandler } from "./shared-buffer-server.ts";

/** All client connections read into this one. */
const shared = Buffer.allocUnsafeSlow(262_144);

/** Called for a connection's end, whoever ended it. */
export interface LoadSocketEvents {
  readonly read: ReadHandler;
  readonly closed: (error: Error | undefined) => void;
}

/** Connects to the proxy. What is written before it is connected waits in the socket. */
export function connectToProxy(port: number, { read, closed }: LoadSocketEvents): Socket {
  let failure: Error | undefined;
  const socket = connect({
    host: "127.0.0.1",
    port,
    noDelay: true,
    onread: {
      buffer: shared,
      callback(length) {
        read(shared, length);
        return true;
      },
    },
  });
  socket.on("error", (error) => (failure = error));
  socket.on("close", () => closed(failure));
  return socket;
}

/** The same with TLS, without a session of an earlier connection. The certificate is not looked at: that is the load's own CPU. */
export function connectByTls(port: number, { read, closed }: LoadSocketEvents): Socket {
  let failure: Error | undefined;
  const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
  socket.setNoDelay(true);
  socket.on("data", (bytes: Buffer) => read(bytes, bytes.length));
  socket.on("error", (error) => (failure = error));
  socket.on("close", () => closed(failure));
  return socket;
}
