import { isIP } from "node:net";
import type { Socket } from "node:net";

import type { Clock, Milliseconds } from "../clock.ts";
import type { PodAddress } from "./pod-address.ts";
import { connectFailure, UpstreamError } from "./upstream-error.ts";

/**
 * Connects `makeSocket()` to a pod. Exactly one of the callbacks is called, later, unless the returned function was
 * called before: that gives up at once, and nothing is ever sent to the address.
 */
export function connectSocket<S extends Socket>(
  makeSocket: () => S,
  address: PodAddress,
  connectTimeoutMs: Milliseconds,
  clock: Clock,
  opened: (socket: S, tookMs: Milliseconds) => void,
  failed: (error: UpstreamError) => void,
): () => void {
  const where = () => `connecting to ${address.ip} port ${address.port}`;
  if (isIP(address.ip) === 0) {
    let given = false;
    queueMicrotask(() => {
      if (!given) failed(new UpstreamError("upstream_unreachable", `${where()}: not an IP address`));
    });
    return () => {
      given = true;
    };
  }
  const startedMs = clock.monotonicMs();
  const socket = makeSocket();
  const timer = clock.setTimeout(() => {
    settle();
    socket.destroy();
    failed(new UpstreamError("connect_timeout", `${where()}: no answer in ${connectTimeoutMs} ms`));
  }, connectTimeoutMs);
  const onConnect = () => {
    settle();
    opened(socket, clock.monotonicMs() - startedMs);
  };
  const onError = (error: Error) => {
    settle();
    failed(new UpstreamError(connectFailure(error), `${where()} failed`, { cause: error }));
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
