import type { Socket } from "node:net";

import type { Clock, Milliseconds } from "../clock.ts";
import { authorityOf } from "./pod-address.ts";
import type { PodAddress, UsedConnection } from "./pod-address.ts";
import { resetSocket } from "./reset-socket.ts";
import type { UpstreamError } from "./upstream-error.ts";

/** How HTTP is spoken on a connection. */
export interface HttpSettings {
  /** How long the connection is kept idle; a shorter `Keep-Alive: timeout=` of the pod is honoured. */
  readonly keepAliveTimeoutMs: Milliseconds;
  /** Largest response head in bytes. */
  readonly maxResponseHeaderBytes: number;
}

/** Who has a connection. */
export interface Holder {
  /** The incarnation ended; the connection is reset right after this call. Must not throw. */
  cut(error: UpstreamError): void;
}

/** Where connections come from and go back to. */
export interface ConnectionHome {
  release(connection: PooledConnection): void;
  discard(connection: PooledConnection): void;
}

/** A TCP connection to a pod that is ready, as it was opened. */
export interface OpenedSocket<S extends Socket = Socket> {
  readonly socket: S;
  readonly address: PodAddress;
  readonly connectMs: Milliseconds;
}

/** Opens connections of one kind. Kept ones are lent to those who ask for the same kind. */
export interface ConnectionKind<C extends PooledConnection> {
  /**
   * Exactly one of the callbacks is called, later, unless the returned function was called before: that gives up at
   * once, and nothing is ever sent to the address.
   */
  open(
    address: PodAddress,
    connectTimeoutMs: Milliseconds,
    clock: Clock,
    home: ConnectionHome,
    opened: (connection: C) => void,
    failed: (error: UpstreamError) => void,
  ): () => void;
}

/** One connection to one pod: what a pool knows of it. How HTTP is spoken on it is the subclass's matter. */
export abstract class PooledConnection implements UsedConnection {
  readonly address: PodAddress;
  readonly authority: string;
  readonly connectMs: Milliseconds;
  readonly socket: Socket;
  /** Who has it now, `undefined` while it is idle. Set by the pool alone. */
  holder: Holder | undefined;
  /** What it was asked for as. Set by the pool alone. */
  kind: object | undefined;
  readonly #home: ConnectionHome;

  constructor({ socket, address, connectMs }: OpenedSocket, home: ConnectionHome) {
    this.socket = socket;
    this.address = address;
    this.authority = authorityOf(address);
    this.connectMs = connectMs;
    this.#home = home;
  }

  /** It has carried a request. */
  abstract get used(): boolean;

  /** A next request may be tried on it. */
  get usable(): boolean {
    return !this.socket.destroyed && this.socket.readyState === "open";
  }

  /** It is kept from now on, until it is lent again. */
  rest(): void {}

  /** Gives the connection back after a complete exchange; it is kept if the pod and the pool keep it. */
  release(): void {
    this.#home.release(this);
  }

  /** Gives the connection back to be closed: it must not be used again. */
  discard(): void {
    this.#home.discard(this);
  }

  /** Closes the connection; a request on it fails. */
  destroy(): void {
    this.socket.destroy();
  }

  /** Closes the connection with a TCP RST, so that the pod, and whoever has its address now, drops it at once. */
  reset(): void {
    resetSocket(this.socket);
  }
}
