import type { Socket } from "node:net";

import type { FullLaneServer, FullLaneServerOptions } from "./full-lane-server.ts";

/**
 * The full lane, loaded when the first connection comes to it: undici and http-proxy-3 cost 40 MB, which a router of plain
 * requests need not have. That connection waits until it is loaded, once.
 */
export class LazyFullLane {
  readonly #options: FullLaneServerOptions;
  #isLoading = false;
  #server: FullLaneServer | undefined;
  /** Connections that came while it was being loaded. */
  readonly #waiting = new Set<Socket>();
  #closed = false;

  constructor(options: FullLaneServerOptions) {
    this.#options = options;
  }

  get tunnels(): number {
    return this.#server?.tunnels ?? 0;
  }

  /** Takes a connection that is paused. */
  take(socket: Socket): void {
    if (this.#server) {
      this.#server.take(socket);
      socket.resume();
      return;
    }
    this.#waiting.add(socket);
    socket.once("close", this.#forget).on("error", ignore);
    if (!this.#isLoading) void this.#load();
  }

  /** See {@link FullLaneServer.drain}. */
  drain(): void {
    this.#server?.drain();
  }

  cut(): void {
    for (const socket of this.#waiting) socket.destroy();
    this.#server?.cut();
  }

  /** To be called when all connections are gone. */
  close(): void {
    this.#closed = true;
    this.#server?.close();
  }

  async #load(): Promise<void> {
    this.#isLoading = true;
    try {
      const { FullLaneServer } = await import("./full-lane-server.ts");
      this.#server = new FullLaneServer(this.#options);
      if (this.#closed) this.#server.close();
    } catch (error) {
      this.#options.log.error("the full lane can't be loaded: reinstall lychgate", {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
      // The next connection tries again.
      this.#isLoading = false;
    }
    for (const socket of this.#waiting) this.#takeWaiting(socket);
  }

  #takeWaiting(socket: Socket): void {
    this.#waiting.delete(socket);
    socket.off("error", ignore);
    if (socket.destroyed) return;
    if (this.#server) this.take(socket);
    else socket.destroy();
  }

  readonly #forget = (): void => {
    for (const socket of this.#waiting) if (socket.destroyed) this.#waiting.delete(socket);
  };
}

function ignore(): void {}
