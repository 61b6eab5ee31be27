import { Socket } from "node:net";
import type { SocketConstructorOpts } from "node:net";

/** What becomes of an {@link UpstreamSocket}, in node:net's words. Must not throw. */
export interface SocketOwner {
  connected(): void;
  errored(error: Error): void;
  ended(): void;
  drained(): void;
  closed(): void;
}

/**
 * A TCP socket to a pod that tells one owner of its events. Its listeners are the same functions for all sockets: closures for
 * each cost memory and time where a connection serves one request.
 */
export class UpstreamSocket extends Socket {
  /** Set once, by the owner, before anything can happen. */
  owner: SocketOwner | undefined;

  constructor(options?: SocketConstructorOpts) {
    super(options);
    this.on("connect", onConnect)
      .on("error", onError)
      .on("end", onEnd)
      .on("drain", onDrain)
      .on("close", onClose);
  }
}

function onConnect(this: UpstreamSocket): void {
  this.owner?.connected();
}

function onError(this: UpstreamSocket, error: Error): void {
  this.owner?.errored(error);
}

function onEnd(this: UpstreamSocket): void {
  this.owner?.ended();
}

function onDrain(this: UpstreamSocket): void {
  this.owner?.drained();
}

function onClose(this: UpstreamSocket): void {
  this.owner?.closed();
}
