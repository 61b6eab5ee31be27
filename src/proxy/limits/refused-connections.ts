import type { Socket } from "node:net";

import type { Clock } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { PacedLog } from "../../system/paced-log.ts";
import type { ConnectionLimit } from "./connection-limits.ts";
import { closeWithReply } from "../reply/raw-reply.ts";
import { replyFor } from "../reply/reply.ts";
import { newRequestId } from "../record/request-id.ts";

/** What {@link RefusedConnections} works with. */
export interface RefusedConnectionsOptions {
  /** Connections that are told at a time; more are closed without a word. They come on top of those admitted. */
  readonly maxAtOnce: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Called for each refused connection. */
  readonly refused: (limit: ConnectionLimit) => void;
}

/** At most one line in this time: clients decide how many connections are refused. */
const LOG_INTERVAL_MS = 1000;

/** Connections above a limit: told 503 (`overloaded`), closed, counted, and logged once a second. */
export class RefusedConnections {
  readonly #options: RefusedConnectionsOptions;
  readonly #log: PacedLog;
  #open = 0;

  constructor(options: RefusedConnectionsOptions) {
    this.#options = options;
    this.#log = new PacedLog(options.log, options.clock, LOG_INTERVAL_MS);
  }

  /** Tells a client that there are too many, as long as they are not too many to be told. `mute`: it would not understand. */
  refuse(socket: Socket, limit: ConnectionLimit, mute: boolean): void {
    const { maxAtOnce, clock, refused } = this.#options;
    refused(limit);
    this.#log.tell("warn", "client connection refused: too many are open", () => ({
      limit: limit === "total" ? "client.maxConnections" : "client.maxConnectionsPerAddress",
    }));
    // Whoever is refused may leave in any way; unheard, the error would end the process.
    socket.on("error", () => {});
    if (mute || this.#open >= maxAtOnce) {
      socket.destroy();
      return;
    }
    this.#open += 1;
    socket.once("close", () => {
      this.#open -= 1;
    });
    closeWithReply(socket, replyFor("overloaded", { method: "", requestId: newRequestId() }), clock);
  }
}
