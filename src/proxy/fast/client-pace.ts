import type { Milliseconds } from "../../system/clock.ts";
import type { Deadlines } from "../limits/deadlines.ts";
import type { LaneOptions } from "../passage/lane.ts";

/** What paces are kept with. */
export interface PaceContext {
  readonly deadlines: Deadlines;
  readonly options: Pick<LaneOptions, "uploadRate" | "downloadRate">;
}

/** How slow one client may be just now: while it sends a body, and while it takes a response (see `LeastRate`). */
export class ClientPace {
  /** Then the client is too slow; `Infinity` while it is not expected to send or to take anything. */
  deadlineMs: Milliseconds = Infinity;
  readonly #context: PaceContext;

  constructor(context: PaceContext) {
    this.#context = context;
  }

  /** The client is to send what is left of its body from now on. */
  mustSend(): void {
    const { deadlines, options } = this.#context;
    this.deadlineMs = options.uploadRate.begin(deadlines.nowMs);
  }

  /** The client has sent `bytes` of its body. */
  sent(bytes: number): void {
    if (this.deadlineMs === Infinity) return;
    const { deadlines, options } = this.#context;
    this.deadlineMs = options.uploadRate.sent(this.deadlineMs, bytes, deadlines.nowMs);
  }

  /** `written` bytes more were written to the client, and all that waits for it in its socket now is `waiting`. */
  mustTake(written: number, waiting: number): void {
    const { deadlines, options } = this.#context;
    // All that was written before has been taken, if no more waits than was written now.
    const isFirst = waiting <= written || this.deadlineMs === Infinity;
    this.deadlineMs = isFirst
      ? options.downloadRate.take(waiting, deadlines.nowMs)
      : options.downloadRate.more(this.deadlineMs, written);
  }

  /** Nothing is expected of the client. */
  rest(): void {
    this.deadlineMs = Infinity;
  }
}
