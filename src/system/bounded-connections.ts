import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

import type { Clock, Milliseconds } from "./clock.ts";
import type { Log } from "./log.ts";
import { remoteAddressOf } from "./ip-address.ts";
import { PacedLog } from "./paced-log.ts";

/** How many connections a server may have, and who is told when there were more. */
export interface ConnectionBounds {
  /** In all, at least 1. */
  readonly maxConnections: number;
  /** From one address, at least 1. */
  readonly maxConnectionsPerAddress: number;
  /** A connection was closed to make room for a newer one. Must not throw. */
  evicted(): void;
  readonly clock: Clock;
  readonly log: Log;
}

/** The connections of a server now. */
export interface ConnectionCounts {
  readonly open: number;
  /** Addresses that have any. */
  readonly addresses: number;
}

/** A connection that counts, for who answers its requests without node:http. */
export interface BoundedConnection {
  /** A whole request of it waits for its answer: others are closed first. */
  isBusy: boolean;
  /** It got an answer: it has been of use just now. */
  answered(): void;
}

interface Connection extends BoundedConnection {
  readonly socket: Socket;
  readonly address: string;
  /** Its last request of those that node:http reads, until that is answered. */
  request: IncomingMessage | undefined;
}

/** How often the log tells of evictions. */
const LOG_INTERVAL_MS: Milliseconds = 60_000;

/**
 * Bounds the connections of a server that must answer probes and scrapes while it is flooded. The newest connection is always
 * taken: refusing it, as `server.maxConnections` does, would refuse the probe. Another one is closed for it, from its own
 * address when that has too many, else from the address that has most: the one that has been of no use for longest, counted
 * from its begin or from its last answer. Half a request is of no use. A connection whose request is whole and is being
 * answered is spared while there are others. So whoever sends a whole request gets its answer, unless `maxConnections` newer
 * connections come in between. Call once, before the server listens. Returns what it counts.
 */
export function boundConnections(server: Server, bounds: ConnectionBounds): ConnectionCounts {
  const connections = new BoundedConnections(bounds);
  server.on("connection", (socket) => connections.add(socket));
  server.on("request", (request, response) => connections.requested(request, response));
  return connections;
}

/** What {@link boundConnections} does, for a server that is told of connections and requests in another way. */
export class BoundedConnections implements ConnectionCounts {
  readonly #bounds: ConnectionBounds;
  /** By address; the one that has been of no use for longest is first. */
  readonly #byAddress = new Map<string, Set<Connection>>();
  readonly #bySocket = new WeakMap<Socket, Connection>();
  readonly #log: PacedLog;
  #open = 0;

  constructor(bounds: ConnectionBounds) {
    this.#bounds = bounds;
    this.#log = new PacedLog(bounds.log, bounds.clock, LOG_INTERVAL_MS);
  }

  get open(): number {
    return this.#open;
  }

  get addresses(): number {
    return this.#byAddress.size;
  }

  /** A connection was accepted. It may be closed at once. */
  add(socket: Socket): BoundedConnection {
    const { maxConnections, maxConnectionsPerAddress } = this.#bounds;
    const connection: Connection = {
      socket,
      address: remoteAddressOf(socket),
      request: undefined,
      isBusy: false,
      answered: () => this.#used(connection),
    };
    let itsOwn = this.#byAddress.get(connection.address);
    if (itsOwn === undefined) {
      itsOwn = new Set();
      this.#byAddress.set(connection.address, itsOwn);
    }
    itsOwn.add(connection);
    this.#bySocket.set(socket, connection);
    this.#open += 1;
    socket.once("close", () => this.#remove(connection));
    if (itsOwn.size > maxConnectionsPerAddress) this.#evict([itsOwn], connection);
    else if (this.#open > maxConnections) this.#evict(this.#byAddress.values(), connection);
    return connection;
  }

  /** node:http has read the head of a request of a connection that was added. */
  requested(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#bySocket.get(request.socket);
    if (connection === undefined) return;
    connection.request = request;
    response.once("close", () => {
      if (connection.request !== request) return;
      connection.request = undefined;
      this.#used(connection);
    });
  }

  /** Puts a connection behind the others of its address. */
  #used(connection: Connection): void {
    const itsOwn = this.#byAddress.get(connection.address);
    if (itsOwn?.delete(connection)) itsOwn.add(connection);
  }

  /** Closes one connection of the largest of `sets`, and not `newest`. */
  #evict(sets: Iterable<ReadonlySet<Connection>>, newest: Connection): void {
    let idle: Connection | undefined;
    let idleOf = 0;
    let busy: Connection | undefined;
    let busyOf = 0;
    for (const set of sets) {
      if (set.size > idleOf) {
        for (const connection of set) {
          if (connection === newest || connection.isBusy || connection.request?.complete === true) continue;
          idle = connection;
          idleOf = set.size;
          break;
        }
      }
      if (set.size > busyOf) {
        for (const connection of set) {
          if (connection === newest) continue;
          busy = connection;
          busyOf = set.size;
          break;
        }
      }
    }
    const victim = idle ?? busy;
    if (victim === undefined) return;
    this.#remove(victim);
    victim.socket.destroy();
    this.#bounds.evicted();
    this.#log.tell("warn", "too many connections: those without use for longest are closed", () => ({
      from: victim.address,
    }));
  }

  #remove(connection: Connection): void {
    const itsOwn = this.#byAddress.get(connection.address);
    if (!itsOwn?.delete(connection)) return;
    if (itsOwn.size === 0) this.#byAddress.delete(connection.address);
    this.#open -= 1;
  }
}
