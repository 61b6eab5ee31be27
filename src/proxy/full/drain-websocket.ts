import type { Duplex } from "node:stream";

import { CLOSE_GOING_AWAY } from "./websocket-frames.ts";
import type { FrameBoundaryTracker } from "./websocket-frames.ts";

/**
 * Takes over the pod-to-client half of an open WebSocket: passes on what is left of the frame on its way, then a
 * close frame 1001, then nothing more. The client's own close frame reaches the pod through the other half, and the
 * pod then ends the connection as it would for any client that leaves (RFC 6455 7.1). `podSocket` must have been
 * unpiped, and the tracker must have seen every byte that was passed on.
 */
export function sayGoingAway(podSocket: Duplex, client: Duplex, frames: FrameBoundaryTracker): void {
  let said = false;
  const sayIfAtBoundary = () => {
    if (said || frames.closeSeen || !frames.atBoundary) return;
    said = true;
    if (client.writable) client.write(CLOSE_GOING_AWAY);
  };
  const onData = (chunk: Buffer) => {
    if (frames.closeSeen) {
      // The pod was first: its close frame and its bytes are all that the client gets.
      if (client.writable) client.write(chunk);
      return;
    }
    // Nothing once 1001 is said: then the tracker stays at its boundary.
    const rest = frames.pushToBoundary(chunk);
    if (rest > 0 && client.writable && !client.write(chunk.subarray(0, rest))) {
      podSocket.pause();
      client.once("drain", () => podSocket.resume());
    }
    sayIfAtBoundary();
  };
  podSocket.on("data", onData);
  sayIfAtBoundary();
  podSocket.resume();
}
