import type { ServerResponse } from "node:http";
import type { Clock, Milliseconds, TimerHandle } from "../../src/system/clock.ts";
import type { ApiError } from "./api-error.ts";
import type { StoredSandbox } from "./sandbox.ts";
import type { Selector } from "./selector.ts";
import type { StoreEvent } from "./store-history.ts";

/** One line of a watch, before it is written. */
export type WatchEvent =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: StoredSandbox }
  | { readonly type: "BOOKMARK"; readonly version: bigint; readonly endsInitialEvents?: boolean }
  | { readonly type: "ERROR"; readonly error: ApiError };

/** How a {@link WatchStream} behaves. */
export interface WatchStreamOptions {
  readonly clock: Clock;
  /** The text of an event, without the newline. */
  readonly encode: (event: WatchEvent) => string;
  /** The server ends the watch after so long, as a client asks with `timeoutSeconds`. */
  readonly timeoutMs: Milliseconds;
  /** Events reach the client so much later. */
  readonly delayMs: Milliseconds;
  /** A watcher that lets more than this wait is cut off; the backlog that it asked for is not counted. */
  readonly maxBufferedBytes: number;
  /** Told once, when the stream is over for whatever reason. */
  readonly onEnd: () => void;
}

/**
 * The selector's view of a change: an object that comes to match is ADDED, one that no longer does is DELETED
 * (shown as it last matched, at the version of the change), one that never did is nothing.
 */
export function selectEvent(event: StoreEvent, selects: Selector): WatchEvent | undefined {
  const matches = event.type !== "DELETED" && selects(event.object);
  const matched = event.previous !== undefined && selects(event.previous);
  if (matches) return { type: matched ? "MODIFIED" : "ADDED", object: event.object };
  if (!matched) return undefined;
  // A deletion shows the final object; a departure shows the last one that the client was allowed to see.
  const last = event.type === "DELETED" ? event.object : event.previous;
  const metadata = { ...last.metadata, resourceVersion: String(event.version) };
  return { type: "DELETED", object: { ...last, metadata } };
}

/** The response of one watch: newline-delimited events in order, each held back by the current delay. */
export class WatchStream {
  readonly #response: ServerResponse;
  readonly #options: WatchStreamOptions;
  readonly #timeout: TimerHandle;
  #queue: { readonly line: string; readonly queuedAtMs: Milliseconds }[] = [];
  #queuedBytes = 0;
  #backlogBytes = 0;
  #delayMs: Milliseconds;
  #held = false;
  #over = false;
  #wake: TimerHandle | undefined;

  constructor(response: ServerResponse, options: WatchStreamOptions) {
    this.#response = response;
    this.#options = options;
    this.#delayMs = options.delayMs;
    response.writeHead(200, { "content-type": "application/json", "cache-control": "no-cache, private" });
    response.flushHeaders();
    response.once("close", () => this.#end());
    this.#timeout = options.clock.setTimeout(() => this.finish(), options.timeoutMs);
  }

  /** Writes the event, now or when its delay is over. Nothing after the end. */
  send(event: WatchEvent, isBacklog = false): void {
    if (this.#over) return;
    const line = `${this.#options.encode(event)}\n`;
    if (isBacklog) this.#backlogBytes += line.length;
    this.#queue.push({ line, queuedAtMs: this.#options.clock.monotonicMs() });
    this.#queuedBytes += line.length;
    this.#pump();
    // Cutting is what an API server does to a watcher that can't keep up: it may resume from its version.
    const waitingBytes = this.#queuedBytes + this.#response.writableLength - this.#backlogBytes;
    if (waitingBytes > this.#options.maxBufferedBytes) this.cut();
  }

  /** Changes the delay, for what already waits too. */
  setDelayMs(delayMs: Milliseconds): void {
    this.#delayMs = delayMs;
    this.#pump();
  }

  /** While held, nothing is written and the connection stays open: a server that stalls. */
  setHeld(held: boolean): void {
    this.#held = held;
    this.#pump();
  }

  /** Ends the response cleanly, as a server does on a timeout. What still waits is not sent. */
  finish(): void {
    if (this.#over) return;
    this.#response.end();
    this.#end();
  }

  /** Breaks the connection. */
  cut(): void {
    this.#response.destroy();
    this.#end();
  }

  #pump(): void {
    this.#wake?.clear();
    this.#wake = undefined;
    if (this.#over || this.#held) return;
    const nowMs = this.#options.clock.monotonicMs();
    let due = 0;
    for (const { line, queuedAtMs } of this.#queue) {
      const waitMs = queuedAtMs + this.#delayMs - nowMs;
      if (waitMs > 0) {
        this.#wake = this.#options.clock.setTimeout(() => this.#pump(), waitMs);
        break;
      }
      due++;
      this.#queuedBytes -= line.length;
      this.#response.write(line);
    }
    this.#queue.splice(0, due);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#timeout.clear();
    this.#wake?.clear();
    this.#queue = [];
    this.#options.onEnd();
  }
}
