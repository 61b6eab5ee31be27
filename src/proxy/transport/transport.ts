import type { Server, Socket } from "node:net";

import { ReadBuffers } from "./read-buffers.ts";
import { SocketWriter } from "./socket-writer.ts";
import { acceptWithSharedBuffer, findShortcuts, hasSharedBuffer, NO_SHORTCUTS } from "./undocumented-node.ts";
import type { Shortcuts } from "./undocumented-node.ts";

/** `auto` and `on`: what this Node was found to do (`on` tells what it can't). `off`: the documented ways alone. */
export type SharedReadBuffer = "auto" | "on" | "off";

/** How bytes get from and to the sockets of one server: with the shortcuts that were found to work, or without. */
export class Transport {
  readonly buffers: ReadBuffers = new ReadBuffers();
  #shortcuts: Shortcuts = NO_SHORTCUTS;

  /** To be awaited before anything is accepted. Resolves with what works from now on. */
  async prepare(mode: SharedReadBuffer): Promise<Shortcuts> {
    if (mode !== "off") this.#shortcuts = await findShortcuts();
    return this.#shortcuts;
  }

  /** To be called when `server` listens. Its connections read as {@link feedFrom} says. */
  accept(server: Server): void {
    if (this.#shortcuts.reads) acceptWithSharedBuffer(server, this.buffers.small);
  }

  /** For a socket that was accepted. A socket has at most one writer at a time. */
  clientWriter(socket: Socket): SocketWriter {
    // Others may be of TLS, where the handle is not what is written to.
    return new SocketWriter(socket, this.#shortcuts.writes && hasSharedBuffer(socket));
  }

  /** For a TCP socket that was connected to a pod. */
  podWriter(socket: Socket): SocketWriter {
    return new SocketWriter(socket, this.#shortcuts.writes);
  }
}
