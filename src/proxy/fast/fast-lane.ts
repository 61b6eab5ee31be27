import type { Socket } from "node:net";

import type { AcceptedConnection } from "../client/accepted.ts";
import { Deadlines } from "../limits/deadlines.ts";
import { FastClient } from "./fast-client.ts";
import type { FastLaneContext, FastLaneOptions } from "./fast-lane-context.ts";
import { fastPods } from "./fast-pod.ts";
import { RESPONSE_FIELDS } from "../forwarding/field-rules.ts";
import { NOTE, requestFields } from "../forwarding/request-fields.ts";
import { hostFields } from "../forwarding/request-text.ts";
import { HostTargets } from "../target/host-targets.ts";
import { FieldIndex } from "../http1/field-index.ts";
import { HeadScan } from "../http1/head-scan.ts";
import { viaOf } from "../passage/lane.ts";
import { PROTOCOL } from "./fast-outbound.ts";

/**
 * The way of plain HTTP/1.1: bytes of one socket are parsed and written to another, without a stream or a message object
 * for each request (docs/architecture.md#lanes). What is legal but out of the ordinary is handed over to the full lane, and
 * what is not legal is refused. Target, verdict, pools, forwarding rules, records and replies are those of all lanes.
 */
export class FastLane {
  readonly #context: FastLaneContext;

  constructor(options: FastLaneOptions) {
    const { access, clock, parseTarget, transport, upstreams } = options;
    const limitsMs = [
      options.headerTimeoutMs,
      options.keepAliveTimeoutMs,
      options.firstByteTimeoutMs,
      options.idleTimeoutMs,
      options.uploadRate.windowMs,
      options.downloadRate.windowMs,
      upstreams.settings.keepAliveTimeoutMs,
      upstreams.settings.connectTimeoutMs,
    ];
    const deadlines = new Deadlines(clock, Math.min(...limitsMs.filter((limitMs) => limitMs > 0)));
    const { keepAliveTimeoutMs, maxResponseHeaderBytes } = upstreams.settings;
    const { credentials, withheld } = access;
    const { index, routing } = requestFields({
      ...options,
      routing: parseTarget.fields,
      credentials,
      withheld,
    });
    const via = viaOf(PROTOCOL, options);
    this.#context = {
      options,
      deadlines,
      transport,
      hosts: new HostTargets({
        parseTarget,
        routing,
        firstNote: NOTE.routing,
        hostFields: (host) => hostFields(host, via, "http"),
      }),
      via,
      requestFields: index,
      scan: new HeadScan(),
      pods: fastPods({
        deadlines,
        transport,
        responseFields: new FieldIndex(RESPONSE_FIELDS),
        keepAliveTimeoutMs,
        maxResponseHeaderBytes,
        httpDate: httpDates(options, deadlines),
      }),
      clients: new Set(),
    };
  }

  /** What another lane needs to keep time with this one, and to use its connections to pods. */
  get shared(): Pick<FastLaneContext, "deadlines" | "pods"> {
    return this.#context;
  }

  /** Client connections that are in this lane now. */
  get size(): number {
    return this.#context.clients.size;
  }

  /** Takes a new connection. `first`: what was read of it already; it is paused then. */
  add(socket: Socket, accepted: AcceptedConnection, first?: Buffer): void {
    new FastClient(socket, this.#context, accepted).start(first);
  }

  /** Closes what waits for a request; the rest is closed by its own `Connection: close`. */
  drain(): void {
    for (const client of this.#context.clients) client.drain();
  }

  /** Cuts everything at once. */
  cut(): void {
    for (const client of this.#context.clients) client.destroy();
  }
}

/** The value of `Date` (RFC 9110 5.6.7), made anew when the time that is kept for deadlines has moved. */
function httpDates({ clock }: FastLaneOptions, deadlines: Deadlines): () => string {
  let madeAtMs = Number.NaN;
  let text = "";
  return () => {
    if (deadlines.nowMs !== madeAtMs) {
      madeAtMs = deadlines.nowMs;
      text = new Date(clock.nowMs()).toUTCString();
    }
    return text;
  };
}
