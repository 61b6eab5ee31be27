import { destination } from "pino";
import { createAccessLog } from "../proxy/record/access-log.ts";
import type { RequestObserver } from "../proxy/record/request-record.ts";

/** The most that waits for a slow reader; what comes above it is dropped, so that a stuck pipe costs no memory. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** Lines are written in pieces of at most this size, or after {@link FLUSH_EVERY_MS}. */
const PIECE_BYTES = 32 * 1024;
const FLUSH_EVERY_MS = 200;
/**
 * What a pipe takes in one piece whoever else writes to it (PIPE_BUF of Linux, pipe(7)): processes that share one write
 * no more at a time, and whole lines only, so that no line is torn. Lines are far shorter.
 */
const SHARED_PIECE_BYTES = 4_096;

/** How long {@link AccessLogFile.close} waits for a reader that does not read. */
const CLOSE_TIMEOUT_MS = 1_000;

/** An access log that writes to a file descriptor. */
export interface AccessLogFile {
  readonly record: RequestObserver;
  /** Writes what is left, or gives up after a second; to be called before the process ends. */
  close(): Promise<void>;
  /** Drops what is left: for a process that ends at once. Without it the end would wait for a reader that is gone. */
  abandon(): void;
}

/**
 * Opens the access log on `fd` (1 is standard output). `text` is written at once, `json` in larger pieces. `shared` when
 * other processes write to the same pipe or file.
 */
export function openAccessLog(format: "json" | "text", fd: number, shared = false): AccessLogFile {
  const pieceBytes = shared ? SHARED_PIECE_BYTES : PIECE_BYTES;
  const stream = destination({
    fd,
    sync: false,
    minLength: 0,
    maxWrite: shared ? SHARED_PIECE_BYTES : 2 * PIECE_BYTES,
    maxLength: MAX_WAITING_BYTES,
  });
  // A reader that has gone away ends the log, not the router.
  stream.on("error", () => {});
  // Lines are ASCII for the most part. Measuring each costs a third of what making it does; only who shares must be exact.
  const bytesOf = shared ? (line: string) => Buffer.byteLength(line) : (line: string) => line.length;
  const write = (piece: string) => void stream.write(piece);
  const pieces = new Pieces(format === "json" ? pieceBytes : 0, bytesOf, write);
  const timer = setInterval(() => pieces.flush(), FLUSH_EVERY_MS).unref();
  return {
    record: createAccessLog({ format, write: (line) => pieces.add(line) }),
    close: () =>
      // Not flushSync: with a reader that is gone it tries for ever.
      new Promise((resolve) => {
        clearInterval(timer);
        pieces.flush();
        const giveUp = setTimeout(resolve, CLOSE_TIMEOUT_MS);
        const done = (): void => {
          clearTimeout(giveUp);
          resolve();
        };
        stream.once("close", done);
        stream.once("error", done);
        stream.end();
      }),
    abandon() {
      clearInterval(timer);
      stream.destroy();
    },
  };
}

/**
 * Puts lines together to pieces of whole lines. The stream would do so too, but measures all that waits again for each
 * line that it is given.
 */
class Pieces {
  readonly #pieceBytes: number;
  readonly #bytesOf: (line: string) => number;
  readonly #write: (piece: string) => void;
  #piece = "";
  #bytes = 0;

  /** `pieceBytes` 0: each line by itself. */
  constructor(pieceBytes: number, bytesOf: (line: string) => number, write: (piece: string) => void) {
    this.#pieceBytes = pieceBytes;
    this.#bytesOf = bytesOf;
    this.#write = write;
  }

  add(line: string): void {
    const bytes = this.#bytesOf(line);
    if (this.#bytes + bytes > this.#pieceBytes) this.flush();
    this.#piece += line;
    this.#bytes += bytes;
    if (this.#bytes >= this.#pieceBytes) this.flush();
  }

  flush(): void {
    if (this.#bytes === 0) return;
    const piece = this.#piece;
    this.#piece = "";
    this.#bytes = 0;
    this.#write(piece);
  }
}
