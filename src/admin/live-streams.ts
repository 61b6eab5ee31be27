import type { ServerResponse } from "node:http";
import type { Log } from "../system/log.ts";
import type { AdminSource } from "./admin-source.ts";
import type { Status } from "./status-types.ts";

/** Streams at one time: each costs a second's status, and connections are few. */
const MAX_STREAMS = 16;
const EVERY_MS = 1_000;
/** What a slow reader may leave unread before it misses a status. */
const MAX_UNREAD_BYTES = 256 * 1024;

interface Stream {
  readonly response: ServerResponse;
  /** The last point that it was sent. */
  sinceMs: number;
}

/**
 * `GET /api/live`: server-sent events (WHATWG HTML 9.2). An event `status` at once and each second, its data a
 * {@link Status}; the first has all points, the others what is new.
 */
export class LiveStreams {
  readonly #source: AdminSource;
  readonly #log: Log;
  readonly #streams = new Set<Stream>();
  #timer: NodeJS.Timeout | undefined;

  constructor(source: AdminSource, log: Log) {
    this.#source = source;
    this.#log = log;
  }

  get isFull(): boolean {
    return this.#streams.size >= MAX_STREAMS;
  }

  /** Sends events to `response` until its reader goes away. */
  open(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
    const stream: Stream = { response, sinceMs: 0 };
    this.#streams.add(stream);
    response.on("close", () => this.#remove(stream));
    response.writeHead(200, { ...headers, "content-type": "text/event-stream; charset=utf-8" });
    this.#timer ??= setInterval(() => this.#sendAll(), EVERY_MS).unref();
    this.#send(stream).catch((error: unknown) => this.#fail(stream, error));
  }

  /** Ends all streams. */
  close(): void {
    for (const { response } of this.#streams) response.end();
  }

  #sendAll(): void {
    for (const stream of this.#streams) {
      this.#send(stream).catch((error: unknown) => this.#fail(stream, error));
    }
  }

  async #send(stream: Stream): Promise<void> {
    const { response, sinceMs } = stream;
    if (response.writableLength > MAX_UNREAD_BYTES) return;
    const status = await this.#source.status(sinceMs);
    if (response.destroyed || response.writableEnded) return;
    stream.sinceMs = Math.max(sinceMs, status.traffic.points.at(-1)?.atMs ?? 0);
    response.write(eventOf(status));
  }

  #fail({ response }: Stream, error: unknown): void {
    this.#log.error("making a live status failed", { error });
    response.end();
  }

  #remove(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** JSON has no line breaks, so it is one line of data. */
function eventOf(status: Status): string {
  return `event: status\ndata: ${JSON.stringify(status)}\n\n`;
}
