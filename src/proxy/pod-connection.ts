import { isIPv6 } from "node:net";

import { Client } from "undici";
import type { Dispatcher } from "undici";

import type { Milliseconds } from "../clock.ts";
import type { PodAddress, PodSocket } from "./pod-socket.ts";
import { resetSocket } from "./reset-socket.ts";
import { UpstreamError } from "./upstream-error.ts";

/** How HTTP is spoken on a connection. */
export interface PodConnectionSettings {
  /** How long the connection is kept idle; a shorter `Keep-Alive: timeout=` of the pod is honoured. */
  readonly keepAliveTimeoutMs: Milliseconds;
  /** Largest response head in bytes. */
  readonly maxResponseHeaderBytes: number;
}

/** Where connections come from and go back to. */
export interface ConnectionHome {
  release(connection: PodConnection): void;
  discard(connection: PodConnection): void;
}

/** Close this much before the pod says it will, so that no request crosses its FIN on the way. */
const KEEP_ALIVE_MARGIN_MS = 1000;

/**
 * One TCP connection to one pod, and the undici `Client` that speaks on it. One client per connection, and not an
 * undici `Pool`, for four reasons: a `Pool` can be wedged for good by requests that undici refuses (a `Client`
 * can't: it holds no other requests); which connection carries which request must be known, to reset exactly those
 * of an ended incarnation; a client must never reconnect by itself, since the address may have a new tenant by
 * then; and whether a byte was sent decides whether a request may be retried.
 */
export class PodConnection {
  readonly address: PodAddress;
  readonly socket: PodSocket;
  /** How long connecting took. */
  readonly connectMs: Milliseconds;
  readonly #settings: PodConnectionSettings;
  readonly #home: ConnectionHome;
  #client: Client | undefined;
  #dispatches = 0;

  constructor(
    address: PodAddress,
    socket: PodSocket,
    connectMs: Milliseconds,
    settings: PodConnectionSettings,
    home: ConnectionHome,
  ) {
    this.address = address;
    this.socket = socket;
    this.connectMs = connectMs;
    this.#settings = settings;
    this.#home = home;
  }

  /** It has carried a request. */
  get used(): boolean {
    return this.#dispatches > 0;
  }

  /** Bytes given to the connection so far, those that still wait in memory included. */
  get bytesWritten(): number {
    return this.socket.bytesWritten;
  }

  /** A next request may be tried on it. */
  get usable(): boolean {
    return !this.socket.destroyed && this.socket.readyState === "open";
  }

  /** Sends a request. The handler is told of everything, a refusal of undici included; nothing is thrown. */
  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#dispatches += 1;
    this.socket.requestTrailers = "";
    this.#client ??= this.#createClient();
    this.#client.dispatch(request, handler);
  }

  /** Trailer fields of the request that is being sent, to be told before its body ends. Dropped unless it is chunked. */
  sendTrailers(trailers: readonly (readonly [string, string])[]): void {
    this.socket.requestTrailers = trailers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

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
    this.#client?.destroy().catch(() => {});
    this.socket.destroy();
  }

  /** Closes the connection with a TCP RST, so that the pod, and whoever has its address now, drops it at once. */
  reset(): void {
    resetSocket(this.socket);
    this.#client?.destroy().catch(() => {});
  }

  #createClient(): Client {
    const { ip, port } = this.address;
    let socket: PodSocket | undefined = this.socket;
    return new Client(`http://${isIPv6(ip) ? `[${ip}]` : ip}:${port}`, {
      connect: (_options, callback) => {
        const mine = socket;
        socket = undefined;
        // undici does not expect an answer before its call has returned.
        queueMicrotask(() => {
          if (mine) callback(null, mine);
          else callback(new UpstreamError("upstream_reset", "the kept connection was closed"), null);
        });
      },
      allowH2: false,
      pipelining: 1,
      strictContentLength: true,
      // Lychgate has its own timers, which count both directions of a stream.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: this.#settings.keepAliveTimeoutMs,
      keepAliveMaxTimeout: this.#settings.keepAliveTimeoutMs,
      keepAliveTimeoutThreshold: KEEP_ALIVE_MARGIN_MS,
      maxHeaderSize: this.#settings.maxResponseHeaderBytes,
    });
  }
}
