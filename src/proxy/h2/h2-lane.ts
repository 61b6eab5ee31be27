import type { Socket } from "node:net";

import type { FastLaneContext } from "../fast/fast-lane-context.ts";
import { tunnelConnections } from "../full/tunnel-connection.ts";
import type { NotAdmitted } from "../passage/admission.ts";
import { H2Connection } from "./h2-connection.ts";
import type { H2Context, H2LaneOptions } from "./h2-context.ts";

/**
 * The way of HTTP/2 (RFC 9113): node:http2 in front, the fast lane's connections to pods behind. Each stream is a request of
 * its own: one target and one verdict, whatever else its connection carries. Target, verdict, pools, forwarding rules, records
 * and replies are those of all lanes.
 */
export class H2Lane {
  readonly #context: H2Context;
  readonly #connections = new Set<H2Connection>();

  /** `shared`: the fast lane's. */
  constructor(options: H2LaneOptions, shared: Pick<FastLaneContext, "deadlines" | "pods">) {
    const { deadlines, pods } = shared;
    this.#context = { options, deadlines, pods, tunnels: tunnelConnections(options.upstreams.settings) };
  }

  /** WebSockets that are open. */
  get tunnels(): number {
    let tunnels = 0;
    for (const each of this.#connections) tunnels += each.tunnels;
    return tunnels;
  }

  /**
   * Takes a connection, for good: what was read of it is put back, and it does not flow. `refusal`: what its requests are
   * refused with, whatever they ask for.
   */
  take(socket: Socket, refusal?: NotAdmitted): void {
    // A client that ends its side is gone: it could not open a window any more.
    socket.allowHalfOpen = false;
    // Small frames are sent at once, and a client that vanishes is noticed.
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    const connection = new H2Connection(socket, refusal, this.#context);
    this.#connections.add(connection);
    socket.once("close", () => this.#connections.delete(connection));
    if (this.#context.options.draining()) connection.drain();
  }

  /** Says GOAWAY to all: what is under way is answered, and nothing more is taken. */
  drain(): void {
    for (const each of this.#connections) each.drain();
  }

  /** Cuts everything at once. */
  cut(): void {
    for (const each of this.#connections) each.cut();
  }
}
