import type { Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { eventually } from "../../support/eventually.ts";

const PIECE = Buffer.alloc(64 * 1024, "x");
/** The router, the client and the pod run in this process: each had so many chances to read and to write. */
const TURNS = 200;
const DEADLINE_MS = 100_000;

/** How far a writer is. */
export interface Progress {
  sent: number;
}

/** Sends `length` times `x`, in pieces that are counted when the kernel has taken them. Ends early when the socket is closed. */
export function sendInPieces(socket: Socket, length: number): Progress {
  const progress = { sent: 0 };
  const next = (): void => {
    if (progress.sent >= length || socket.destroyed) return;
    const piece = PIECE.subarray(0, Math.min(PIECE.length, length - progress.sent));
    socket.write(piece, (error) => {
      if (error) return;
      progress.sent += piece.length;
      next();
    });
  };
  next();
  return progress;
}

/**
 * Waits until the writer stands still: the buffers on its way are full. That is told by turns of the event loop, not by time, which passes on a busy
 * machine without anybody reading. Resolves to how much was sent.
 */
export async function untilStalled(progress: Readonly<Progress>): Promise<number> {
  let before = -1;
  await eventually(
    async () => {
      const began = progress.sent;
      for (let turn = 0; turn < TURNS && progress.sent === began; turn += 1) await nextTurn();
      const stalled = progress.sent > 0 && progress.sent === before;
      before = progress.sent;
      return stalled;
    },
    { everyMs: 50, timeoutMs: DEADLINE_MS },
  );
  return before;
}
