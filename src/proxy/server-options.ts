import type { AddressInfo } from "node:net";
import type { Clock, Milliseconds } from "../system/clock.ts";
import type { Log } from "../system/log.ts";
import type { RouteLookup } from "../routes/lookup.ts";
import type { ConnectionLimit, ConnectionLimitOptions } from "./limits/connection-limits.ts";
import type { Http2Settings } from "./h2/h2-context.ts";
import type { HeldRequests } from "./limits/held-requests.ts";
import type { WakingRequests } from "./limits/waking-requests.ts";
import type { ReplyPage } from "./reply/reply-page.ts";
import type { RequestObserver } from "./record/request-record.ts";
import type { RequestTracing } from "./record/request-spans.ts";
import type { TargetParser } from "./target/target.ts";
import type { HandshakeResult } from "./tls/handshake-result.ts";
import type { TlsMaterial, TlsSettings } from "./tls/tls-acceptor.ts";
import type { SharedReadBuffer } from "./transport/transport.ts";
import type { Upstreams } from "./upstream/upstreams.ts";
import type { AccessGate, ClientGate } from "./passage/access-gate.ts";
/** Who is told of requests and client connections. Called synchronously; must not throw. */
export interface ProxyObserver {
  /** A request's head arrived, or something in its place that can't be parsed. Exactly one `requestEnded` follows. */
  requestStarted?(): void;
  readonly requestEnded?: RequestObserver;
  /** A client connection was refused, since there were `maxConnections` or `maxConnectionsPerAddress`. */
  connectionDropped?(limit: ConnectionLimit): void;
  /** A TLS handshake is over. */
  handshakeEnded?(result: HandshakeResult): void;
}

/** Where a server accepts connections. Port 0 takes a free one; without a host, all interfaces. */
export interface ProxyListen {
  readonly host?: string | undefined;
  readonly port: number;
  /** Other processes that ask for the same may listen on the port too; the system spreads connections. Default false. */
  readonly reusePort?: boolean;
}

/** A second listener, for TLS. */
export interface ProxyTlsOptions extends TlsSettings {
  readonly listen: ProxyListen;
  readonly material: TlsMaterial;
}

/**
 * Options of {@link createProxyServer}. Those that are settings (named in brackets) have their defaults and ranges in
 * docs/reference/configuration.md alone; the rest are for tests.
 */
export interface ProxyServerOptions {
  readonly listen: ProxyListen;
  /** Absent: plain HTTP alone. */
  readonly tls?: ProxyTlsOptions | undefined;
  /** Requests that came without TLS are sent to `https` at this port (`tls.redirect`, `tls.redirectPort`). Absent: they are served. */
  readonly redirect?: { readonly port: number } | undefined;
  /** Proxies whose connections begin with a PROXY protocol header: addresses or CIDRs (`client.proxyProtocol`). */
  readonly proxyProtocol?: readonly string[];
  readonly routes: RouteLookup;
  readonly parseTarget: TargetParser;
  /** Who may pass. */
  readonly access: AccessGate;
  /** Which clients may ask, and how often. Absent: all, as often as they like. */
  readonly clients?: ClientGate | undefined;
  /** Not closed by the server: it may outlive it. */
  readonly upstreams: Upstreams;
  /** Where requests wait whose sandbox is in doubt; it must listen to `routes`. Default: none are held. */
  readonly held?: HeldRequests;
  /** Where requests wait whose sandbox is woken for them; it must listen to `routes`. Default: none is woken. */
  readonly waking?: WakingRequests | undefined;
  /** From a request's last byte to the pod's response head; then 504. 0: no limit (`upstream.firstByteTimeoutMs`). */
  readonly firstByteTimeoutMs: Milliseconds;
  /** Longest silence of a request, a response or a tunnel, both directions counted. 0: no limit (`upstream.idleTimeoutMs`). */
  readonly idleTimeoutMs: Milliseconds;
  /** From an upgrade request to the pod's answer; then 504. 0: no limit. Default 30,000. */
  readonly handshakeTimeoutMs?: Milliseconds;
  /** How long one side of a WebSocket may take to close after the other did. Default 5,000. */
  readonly closeTimeoutMs?: Milliseconds;
  /** When a connection that does not begin its request is thrown away (see `Exchange`). Default 1,000. */
  readonly wedgeTimeoutMs?: Milliseconds;
  /** How long a client may take to send a request's head; then 408 (`client.headerTimeoutMs`). */
  readonly headerTimeoutMs: Milliseconds;
  /** How long an idle client connection is kept (`client.keepAliveTimeoutMs`). */
  readonly keepAliveTimeoutMs: Milliseconds;
  /** Size of a request's head; above, 431 (`client.maxHeaderBytes`). */
  readonly maxHeaderBytes: number;
  /** Client connections at a time; more are told 503 (`overloaded`) and closed (`client.maxConnections`). */
  readonly maxConnections: number;
  /** The same for connections from one address; 0: no limit (`client.maxConnectionsPerAddress`). */
  readonly maxConnectionsPerAddress: number;
  /** Requests on one client connection; the last is answered with `Connection: close`. 0: no limit (`client.maxRequestsPerConnection`). */
  readonly maxRequestsPerConnection: number;
  /** How HTTP/2 is spoken with clients. */
  readonly http2: Http2Settings;
  /** Off: every request of HTTP/1.1 goes through the full lane, and the preface of HTTP/2 is refused. The same comes out, at several times the cost. Default on. */
  readonly fastLane?: boolean;
  /** Whether what Node does not document is used where it was found to work (`client.sharedReadBuffer`). */
  readonly sharedReadBuffer: SharedReadBuffer;
  /** The least rate of a request body that the pod waits for; below it 408 (see `LeastRate`). 0: no limit (`client.minUploadBytesPerSecond`). */
  readonly minUploadBytesPerSecond: number;
  /** The least rate at which a client takes what waits for it; below it it is cut. 0: no limit (`client.minDownloadBytesPerSecond`). */
  readonly minDownloadBytesPerSecond: number;
  /** What both rates are averaged over, and how long a client may stall (`client.slowClientWindowMs`). */
  readonly slowClientWindowMs: Milliseconds;
  /** Request bodies of known length up to this are read before a connection to the pod is taken (`client.smallBodyBytes`). */
  readonly smallBodyBytes: number;
  /** See `RequestForwarding.trustForwarded` (`client.trustForwarded`). */
  readonly trustForwarded: boolean;
  /** The Host that pods get in place of the client's, with `{port}` for the sandbox's port (`target.maskHost`). Default: the client's. */
  readonly maskHost?: string | undefined;
  /**
   * Who this router is in `Via` fields: pods get it, and a request that has it is refused (`loop_detected`). A token, the
   * same for all processes of one router and nobody else's. Default: {@link newViaPseudonym}.
   */
  readonly viaPseudonym?: string;
  /** For browsers that open a page and get a reply of our own (`client.errorPageFile`). Default: the built-in page. */
  readonly replyPage?: ReplyPage | undefined;
  readonly observer?: ProxyObserver;
  /** Spans for each request; see `openTelemetry`. Default: none. */
  readonly tracing?: RequestTracing | undefined;
  readonly clock?: Clock;
  readonly log?: Log;
}

/** The server that clients talk to. */
export interface ProxyServer {
  /**
   * Begins to accept; rejects when it can't (`EADDRINUSE` and so on), or was drained or closed meanwhile. Resolves to the
   * address of the plain listener.
   */
  listen(): Promise<AddressInfo>;
  /** The address of the TLS listener, once it listens. */
  readonly tlsAddress: AddressInfo | undefined;
  /** Other certificates and keys for handshakes from now on. Connections that are open stay. */
  setTlsMaterial(material: TlsMaterial): void;
  /**
   * The last part of an ordered end (docs/architecture.md#drain): accepts no more, asks clients to close (`Connection:
   * close`), closes idle connections, tells WebSockets 1001, and resolves when all are gone, or cuts what is left after
   * `timeoutMs`. A second call changes nothing and resolves with the first.
   */
  drain(timeoutMs: Milliseconds): Promise<void>;
  /** Cuts everything at once and resolves when it is gone. */
  close(): Promise<void>;
  /** Other limits of client connections from now on. Connections that are open stay. */
  setConnectionLimits(limits: ConnectionLimitOptions): void;
  /** Client connections now, and those of them that are tunnels. */
  readonly connections: { readonly open: number; readonly tunnels: number };
}
