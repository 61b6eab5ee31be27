import type { Socket } from "node:net";

import { remoteAddressOf } from "../../system/ip-address.ts";

/** How many connections clients may have. 0: no limit. */
export interface ConnectionLimitOptions {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
}

/** What there are too many connections of: `maxConnections` in all, or `maxConnectionsPerAddress` from one. */
export type ConnectionLimit = "total" | "address";

/** Counts the open connections from clients, all of them and by the client's address. */
export class ConnectionLimits {
  #options: ConnectionLimitOptions;
  readonly #byAddress = new Map<string, number>();
  #open = 0;

  constructor(options: ConnectionLimitOptions) {
    this.#options = options;
  }

  /** Other limits from now on. Connections that are open stay. */
  change(options: ConnectionLimitOptions): void {
    this.#options = options;
  }

  get open(): number {
    return this.#open;
  }

  /** Addresses that have connections now: nothing is kept of others. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /** Counts a new connection until it is closed, or says which limit it is above; then it is not counted. */
  admit(socket: Socket): "admitted" | ConnectionLimit {
    if (this.#isFull) return "total";
    const admitted = this.assign(socket, remoteAddressOf(socket));
    if (admitted === "admitted") this.#count(socket);
    return admitted;
  }

  /** The same for one whose client is not known yet: {@link assign} follows. */
  admitUnknown(socket: Socket): "admitted" | "total" {
    if (this.#isFull) return "total";
    this.#count(socket);
    return "admitted";
  }

  /** Counts a connection among those of `address` until it is closed, or says that there are too many. */
  assign(socket: Socket, address: string): "admitted" | "address" {
    const { maxConnectionsPerAddress } = this.#options;
    const fromAddress = this.#byAddress.get(address) ?? 0;
    if (maxConnectionsPerAddress > 0 && fromAddress >= maxConnectionsPerAddress) return "address";
    this.#byAddress.set(address, fromAddress + 1);
    socket.on("close", () => this.#left(address));
    return "admitted";
  }

  get #isFull(): boolean {
    const { maxConnections } = this.#options;
    return maxConnections > 0 && this.#open >= maxConnections;
  }

  #count(socket: Socket): void {
    this.#open += 1;
    socket.once("close", () => {
      this.#open -= 1;
    });
  }

  #left(address: string): void {
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
  }
}
