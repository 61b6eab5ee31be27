import type { Clock, Milliseconds } from "../../system/clock.ts";
import { authorityOf } from "../target/pod-address.ts";
import type { PodAddress, UsedConnection } from "../target/pod-address.ts";
import { resetSocket } from "./reset-socket.ts";
import { connectFailure, UpstreamError } from "./upstream-error.ts";
import type { SocketOwner, UpstreamSocket } from "./upstream-socket.ts";

/** How HTTP is spoken on a connection. */
export interface HttpSettings {
  /** How long the connection is kept idle; a shorter `Keep-Alive: timeout=` of the pod is honoured. */
  readonly keepAliveTimeoutMs: Milliseconds;
  /** Largest response head in bytes. */
  readonly maxResponseHeaderBytes: number;
}

/** Who has a connection. */
export interface Holder {
  /** Whose share of the sandbox it uses (`client-share.ts`). Does not change while it waits for or has a connection. */
  readonly client: string;
  /** The incarnation ended; the connection is reset right after this call. Must not throw. */
  cut(error: UpstreamError): void;
}

/** Where connections come from and go back to. */
export interface ConnectionHome {
  /** It is connected. At most one of this and `openFailed` is called, later than the opening, and neither after `destroy`. */
  opened(connection: PooledConnection): void;
  openFailed(connection: PooledConnection, error: UpstreamError): void;
  /** The socket of a connection that was opened is closed, whoever closed it. */
  closed(connection: PooledConnection): void;
  release(connection: PooledConnection): void;
  discard(connection: PooledConnection): void;
}

/** What a connection is opened with. */
export interface ConnectSettings {
  readonly address: PodAddress;
  /** Then it has failed with `connect_timeout`. */
  readonly connectTimeoutMs: Milliseconds;
  readonly clock: Clock;
  readonly home: ConnectionHome;
}

/** Opens connections of one kind. Kept ones are lent to those who ask for the same kind. */
export interface ConnectionKind<C extends PooledConnection> {
  /** Begins to connect; its home is told what becomes of it. Nothing is ever sent to the address after `destroy`. */
  open(settings: ConnectSettings): C;
}

/** One connection to one pod, from its first SYN: what a pool knows of it. How it is spoken on is the subclass's matter. */
export abstract class PooledConnection implements UsedConnection, SocketOwner {
  readonly address: PodAddress;
  readonly socket: UpstreamSocket;
  /** How long connecting took; 0 before. */
  connectMs: Milliseconds = 0;
  /** Who has it now, `undefined` while it is idle. Set by the pool alone. */
  holder: Holder | undefined;
  /** What it was asked for as. Set by the pool alone. */
  kind: ConnectionKind<PooledConnection> | undefined;
  /** It is a tunnel's. Set by the pool alone. */
  isTunnel = false;
  readonly #home: ConnectionHome;
  #authority: string | undefined;
  readonly #clock: Clock;
  readonly #startedMs: Milliseconds;
  #state: "connecting" | "open" | "given up" = "connecting";

  /** The subclass calls {@link connect} when it is complete itself. */
  constructor(socket: UpstreamSocket, { address, clock, home }: ConnectSettings) {
    this.socket = socket;
    this.address = address;
    this.#home = home;
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
    socket.owner = this;
  }

  get authority(): string {
    this.#authority ??= authorityOf(this.address);
    return this.#authority;
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
    if (this.#state === "connecting") this.#state = "given up";
    this.socket.destroy();
  }

  /** Closes the connection with a TCP RST, so that the pod, and whoever has its address now, drops it at once. */
  reset(): void {
    resetSocket(this.socket);
  }

  connected(): void {
    if (this.#state !== "connecting") return;
    this.#state = "open";
    this.connectMs = this.#clock.monotonicMs() - this.#startedMs;
    this.onOpen();
    this.#home.opened(this);
  }

  errored(error: Error): void {
    if (this.#state !== "connecting") return;
    this.#failToOpen(
      new UpstreamError(connectFailure(error), `${this.#connecting} failed`, { cause: error }),
    );
  }

  ended(): void {}

  drained(): void {}

  closed(): void {
    if (this.#state === "open") this.#home.closed(this);
  }

  /** Sends the SYN. Call once. */
  protected connect(): void {
    const { ip, port } = this.address;
    this.socket.connect({ host: ip, port, lookup: refuseNames });
  }

  /** `connectTimeoutMs` is over. Without effect on a connection that is open. */
  protected connectTimedOut(connectTimeoutMs: Milliseconds): void {
    if (this.#state !== "connecting") return;
    this.#failToOpen(
      new UpstreamError("connect_timeout", `${this.#connecting}: no answer in ${connectTimeoutMs} ms`),
    );
    this.socket.destroy();
  }

  /** Connecting is over, well or not; its home is told next. */
  protected onOpen(): void {}

  protected onOpenFailed(): void {}

  get #connecting(): string {
    return `connecting to ${this.address.ip} port ${this.address.port}`;
  }

  #failToOpen(error: UpstreamError): void {
    this.#state = "given up";
    this.onOpenFailed();
    this.#home.openFailed(this, error);
  }
}

/** A pod's address is never a name: nothing is resolved. */
function refuseNames(
  name: string,
  _options: object,
  callback: (error: Error, address: string) => void,
): void {
  queueMicrotask(() => callback(new Error(`${JSON.stringify(name)} is not an IP address`), ""));
}
