import type { Socket } from "node:net";

import type { Clock, Milliseconds } from "../../system/clock.ts";
import { readFirstBytes } from "../../system/first-bytes.ts";
import { readProxyHeader } from "./proxy-header.ts";
import type { ProxyHeader } from "./proxy-header.ts";

/** What came of it. */
export interface HeaderRead {
  readonly header: Exclude<ProxyHeader, { kind: "incomplete" }>;
  /** What came behind a header, or all that came in its place. */
  readonly rest: Buffer;
}

/** How {@link awaitProxyHeader} waits. */
export interface HeaderWait {
  readonly clock: Clock;
  /** Longest time until the header is whole; then the connection is closed without a word. */
  readonly timeoutMs: Milliseconds;
  /** Gets the paused connection. Not called when it closes before. */
  readonly done: (read: HeaderRead) => void;
}

/** Reads the PROXY protocol header that a new connection must begin with. */
export function awaitProxyHeader(socket: Socket, { clock, timeoutMs, done }: HeaderWait): void {
  const timer = clock.setTimeout(() => socket.destroy(), timeoutMs);
  const onClose = (): void => timer.clear();
  const onEnd = (): void => void socket.destroy();
  // `close` follows; whoever takes the connection listens for errors of its own.
  socket.on("error", () => {});
  socket.once("close", onClose);
  socket.once("end", onEnd);
  let held: Buffer = Buffer.alloc(0);
  const taken = (bytes: Buffer): void => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    const header = readProxyHeader(held);
    if (header.kind === "incomplete") {
      // A header is a few thousand bytes at most, and who sends it is one of ours.
      readFirstBytes(socket, taken);
      return;
    }
    timer.clear();
    socket.off("close", onClose).off("end", onEnd);
    done({ header, rest: header.kind === "header" ? held.subarray(header.length) : held });
  };
  readFirstBytes(socket, taken);
}
