import type { Milliseconds } from "../../system/clock.ts";
import type { TunnelConnection } from "../full/tunnel-connection.ts";
import type { Deadlines } from "../limits/deadlines.ts";
import type { LaneOptions } from "../passage/lane.ts";
import type { ConnectionKind } from "../upstream/pooled-connection.ts";
import type { PodLegContext } from "./pod-leg.ts";

/** How HTTP/2 is spoken with clients: the settings `http2.…`, whose defaults and ranges are there alone. */
export interface Http2Settings {
  /** Off: neither the preface nor ALPN begins HTTP/2. */
  readonly enabled: boolean;
  /** Requests of one connection at a time. */
  readonly maxConcurrentStreams: number;
  /** What a client may send of one request's body before the pod takes it. */
  readonly streamWindowBytes: number;
  /** What a client may have under way of all bodies together. */
  readonly connectionWindowBytes: number;
}

/** What the lane works with beside {@link LaneOptions}. */
export interface H2LaneOptions extends LaneOptions {
  readonly http2: Http2Settings;
  readonly headerTimeoutMs: Milliseconds;
  readonly keepAliveTimeoutMs: Milliseconds;
  readonly maxHeaderBytes: number;
  /** 0: no limit. */
  readonly maxRequestsPerConnection: number;
  /** From an extended CONNECT to the pod's answer. 0: no limit. */
  readonly handshakeTimeoutMs: Milliseconds;
  /** How long one side of a WebSocket may take to close after the other did. */
  readonly closeTimeoutMs: Milliseconds;
  /** See `ProxyObserver.requestStarted`. */
  readonly requestStarted: () => void;
}

/** What all streams share. */
export interface H2Context extends PodLegContext {
  readonly options: H2LaneOptions;
  /** The fast lane's. */
  readonly deadlines: Deadlines;
  readonly tunnels: ConnectionKind<TunnelConnection>;
}
