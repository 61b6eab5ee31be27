import { Client } from "undici";
import type { Dispatcher } from "undici";

import { FullLaneConnection } from "./full-lane-connection.ts";
import { PodSocket } from "./pod-socket.ts";
import type { ConnectionKind, ConnectSettings, HttpSettings } from "../upstream/pooled-connection.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";

/** Close this much before the pod says it will, so that no request crosses its FIN on the way. */
const KEEP_ALIVE_MARGIN_MS = 1000;

/**
 * One TCP connection to one pod, and the undici `Client` that speaks on it. One client per connection, and not an
 * undici `Pool`, for four reasons: a `Pool` can be wedged for good by requests that undici refuses (a `Client`
 * can't: it holds no other requests); which connection carries which request must be known, to reset exactly those
 * of an ended incarnation; a client must never reconnect by itself, since the address may have a new tenant by
 * then; and whether a byte was sent decides whether a request may be retried.
 */
export class PodConnection extends FullLaneConnection {
  declare readonly socket: PodSocket;
  readonly #settings: HttpSettings;
  #client: Client | undefined;
  #dispatches = 0;

  constructor(settings: HttpSettings, connect: ConnectSettings) {
    super(new PodSocket(settings.maxResponseHeaderBytes), connect);
    this.#settings = settings;
    this.socket.spoilt = () => {
      // Who has it gives it back when the answer is read, and it is not kept then.
      if (this.holder === undefined) this.destroy();
    };
  }

  override get used(): boolean {
    return this.#dispatches > 0;
  }

  /** Bytes given to the connection so far, those that still wait in memory included. */
  get bytesWritten(): number {
    return this.socket.bytesWritten;
  }

  override get usable(): boolean {
    return super.usable && !this.socket.guard.isSpoilt;
  }

  /** Of the last final response, a character for a byte. */
  get reasonPhrase(): string {
    return this.socket.guard.phrase;
  }

  /**
   * Sends a request. The handler is told of everything but 1xx responses, a refusal of undici included; nothing is thrown.
   * `informational` gets those, as the client may have them.
   */
  dispatch(
    request: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
    informational: (head: string) => void,
  ): void {
    this.#dispatches += 1;
    this.socket.requestTrailers = "";
    this.socket.guard.begin({ method: request.method, informational });
    this.#client ??= this.#createClient();
    this.#client.dispatch(request, handler);
  }

  /** Trailer fields of the request that is being sent, to be told before its body ends. Dropped unless it is chunked. */
  sendTrailers(trailers: readonly (readonly [string, string])[]): void {
    this.socket.requestTrailers = trailers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

  protected override onOpen(): void {
    super.onOpen();
    // `connect` has put Socket's own `write` on the instance, in front of the class's.
    Reflect.deleteProperty(this.socket, "write");
  }

  override destroy(): void {
    this.#client?.destroy().catch(() => {});
    super.destroy();
  }

  override reset(): void {
    super.reset();
    this.#client?.destroy().catch(() => {});
  }

  #createClient(): Client {
    let socket: PodSocket | undefined = this.socket;
    return new Client(`http://${this.authority}`, {
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

/** Connections that undici speaks on. */
export function podConnections(settings: HttpSettings): ConnectionKind<PodConnection> {
  return { open: (connect) => new PodConnection(settings, connect) };
}
