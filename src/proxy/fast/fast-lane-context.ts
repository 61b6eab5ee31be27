import type { Socket } from "node:net";

import type { Milliseconds } from "../../system/clock.ts";
import type { Deadlines } from "../limits/deadlines.ts";
import type { FastPod } from "./fast-pod.ts";
import type { HostTargets } from "../target/host-targets.ts";
import type { HeadScan } from "../http1/head-scan.ts";
import type { FieldIndex } from "../http1/field-index.ts";
import type { LaneOptions } from "../passage/lane.ts";
import type { ConnectionKind } from "../upstream/pooled-connection.ts";
import type { Transport } from "../transport/transport.ts";

/** What the fast lane works with beside {@link LaneOptions}. */
export interface FastLaneOptions extends LaneOptions {
  /** How long a client may take to send a head; then 408. */
  readonly headerTimeoutMs: Milliseconds;
  /** How long an idle client connection is kept. */
  readonly keepAliveTimeoutMs: Milliseconds;
  /** Above, 431. */
  readonly maxHeaderBytes: number;
  /** 0: no limit. */
  readonly maxRequestsPerConnection: number;
  /** See `ProxyObserver.requestStarted`. */
  readonly requestStarted: () => void;
  /** How bytes get from and to sockets. */
  readonly transport: Transport;
  /** Takes a connection whose next request is not for this lane: paused, and what was read of it put back. */
  readonly handOver: (socket: Socket) => void;
  /** Takes a connection that began with HTTP/2, in the same way; absent: such a client is told that it is not spoken. */
  readonly handOverHttp2: ((socket: Socket) => void) | undefined;
}

/** A client connection as the lane sees it. */
export interface LaneClient {
  /** The router drains: a connection that waits for a request is closed; others close after their next response. */
  drain(): void;
  /** Closes the connection at once. */
  destroy(): void;
}

/** What all connections of the fast lane share. */
export interface FastLaneContext {
  readonly options: FastLaneOptions;
  readonly deadlines: Deadlines;
  readonly transport: Transport;
  readonly hosts: HostTargets;
  /** See `RequestForwarding.via`. */
  readonly via: string;
  readonly requestFields: FieldIndex;
  /** Of the request head that is being looked at. One for all connections: it holds for the length of a call. */
  readonly scan: HeadScan;
  readonly pods: ConnectionKind<FastPod>;
  readonly clients: Set<LaneClient>;
}
