import type { Socket } from "node:net";

import type { InFlight } from "./full-lane.ts";
import type { OpenTunnel } from "./upgrade-lane.ts";

/** What a client connection carries. */
export interface ClientConnection {
  /** Requests whose responses are not over, pipelined ones included. */
  readonly inFlight: Set<InFlight>;
  /** Requests so far. */
  requests: number;
  tunnel: OpenTunnel | undefined;
  /** Called when the last request is answered, if the connection is still open. */
  whenIdle: (() => void) | undefined;
}

/** The client connections that are in the full lane, and the end of them. */
export class ClientConnections {
  readonly #open = new Map<Socket, ClientConnection>();
  #draining = false;

  /** Those that are tunnels. */
  get tunnels(): number {
    let tunnels = 0;
    for (const { tunnel } of this.#open.values()) if (tunnel) tunnels += 1;
    return tunnels;
  }

  /** Keeps track of a connection until it is closed. */
  add(socket: Socket): ClientConnection {
    const connection: ClientConnection = {
      inFlight: new Set(),
      requests: 0,
      tunnel: undefined,
      whenIdle: undefined,
    };
    this.#open.set(socket, connection);
    socket.once("close", () => this.#open.delete(socket));
    if (this.#draining) socket.destroy();
    return connection;
  }

  of(socket: Socket): ClientConnection {
    return this.#open.get(socket) ?? this.add(socket);
  }

  /** Closes what never carried a request and tells tunnels; the rest is closed by its own `Connection: close`. */
  drain(): void {
    this.#draining = true;
    for (const [socket, { inFlight, tunnel }] of this.#open) {
      if (tunnel) tunnel.drain();
      else if (inFlight.size === 0 && socket.bytesRead === 0) socket.destroy();
    }
  }

  /** Cuts everything at once. */
  cut(): void {
    this.#draining = true;
    for (const [socket, { tunnel }] of this.#open) {
      if (tunnel) tunnel.abort("draining");
      else socket.destroy();
    }
  }
}
