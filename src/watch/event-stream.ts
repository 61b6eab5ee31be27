import { ApiFault } from "./fault.ts";
import { parseWatchEvent, type WatchEvent } from "./watch-event.ts";
import { LineSplitter } from "./watch-lines.ts";

/**
 * The events of one watch response, read by one reader after another: who reads the list of a stream stops at its end, and who
 * reads the watch goes on from there.
 */
export class EventStream {
  readonly #chunks: AsyncGenerator<Uint8Array, void, undefined>;
  readonly #lines: LineSplitter;
  /** What is left of the chunk at hand. */
  #rest: Generator<string, void, undefined> | undefined;

  /** `maxEventBytes`: see {@link LineSplitter}. */
  constructor(chunks: AsyncGenerator<Uint8Array, void, undefined>, maxEventBytes: number) {
    this.#chunks = chunks;
    this.#lines = new LineSplitter(maxEventBytes);
  }

  /**
   * Reads until `take` returns true, or until the server ends the response in good order. `heard` is called after each chunk whose
   * events were all taken. Resolves with true when `take` has ended it.
   * @throws {ApiFault} what reading and parsing throw; `reset` for an end within an event.
   * @throws what `take` throws.
   */
  async read(take: (event: WatchEvent) => boolean, heard: () => void): Promise<boolean> {
    for (;;) {
      if (this.#rest !== undefined) {
        for (let line = this.#rest.next(); !line.done; line = this.#rest.next()) {
          if (take(parseWatchEvent(line.value))) return true;
        }
        this.#rest = undefined;
        heard();
      }
      const { done, value: chunk } = await this.#chunks.next();
      if (done === true) {
        if (this.#lines.pendingBytes === 0) return false;
        throw new ApiFault("reset", "the API server's answer was cut within an event");
      }
      this.#rest = this.#lines.push(chunk);
    }
  }

  /** Leaves the response. May be called at any time, and again. */
  async close(): Promise<void> {
    this.#rest = undefined;
    await this.#chunks.return();
  }
}
