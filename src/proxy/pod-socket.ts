import { isIP, Socket } from "node:net";

import type { Clock, Milliseconds } from "../clock.ts";
import { connectFailure, UpstreamError } from "./upstream-error.ts";

/** The end of a chunked body as undici writes it, which knows no trailers (RFC 9112 7.1). */
const LAST_CHUNK = "\r\n0\r\n\r\n";

/**
 * A TCP socket to a pod. Besides, it puts a request's trailer fields between the last chunk and the end of the
 * message, since undici has no way to send them. Should a later undici write the last chunk in another form, the
 * trailers are dropped, as RFC 9112 7.1.2 allows; nothing else changes.
 */
export class PodSocket extends Socket {
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

/** Where to connect, and how long to try. */
export interface PodAddress {
  /** IPv4, or IPv6 without brackets. Never a name: nothing is resolved. */
  readonly ip: string;
  readonly port: number;
}

/**
 * Opens a connection. Exactly one of the callbacks is called, later, unless the returned function was called
 * before: that gives up at once, and nothing is ever sent to the address.
 */
export function openPodSocket(
  address: PodAddress,
  connectTimeoutMs: Milliseconds,
  clock: Clock,
  opened: (socket: PodSocket, tookMs: Milliseconds) => void,
  failed: (error: UpstreamError) => void,
): () => void {
  const where = `connecting to ${address.ip} port ${address.port}`;
  if (isIP(address.ip) === 0) {
    let given = false;
    queueMicrotask(() => {
      if (!given) failed(new UpstreamError("upstream_unreachable", `${where}: not an IP address`));
    });
    return () => {
      given = true;
    };
  }
  const startedMs = clock.monotonicMs();
  const socket = new PodSocket();
  socket.setNoDelay(true);
  const timer = clock.setTimeout(() => {
    settle();
    socket.destroy();
    failed(new UpstreamError("connect_timeout", `${where}: no answer in ${connectTimeoutMs} ms`));
  }, connectTimeoutMs);
  const onConnect = () => {
    settle();
    // `connect` has put Socket's own `write` on the instance, in front of the class's.
    Reflect.deleteProperty(socket, "write");
    // Pods behind a NAT or on a lost node are noticed while a stream is silent.
    socket.setKeepAlive(true, 30_000);
    opened(socket, clock.monotonicMs() - startedMs);
  };
  const onError = (error: Error) => {
    settle();
    failed(new UpstreamError(connectFailure(error), `${where} failed`, { cause: error }));
  };
  const settle = () => {
    timer.clear();
    socket.off("connect", onConnect);
    socket.off("error", onError);
  };
  // Errors after the connection was settled are told by 'close'; unheard they would end the process.
  socket.on("error", () => {});
  socket.once("connect", onConnect);
  socket.once("error", onError);
  socket.connect({ host: address.ip, port: address.port });
  return () => {
    settle();
    socket.destroy();
  };
}
