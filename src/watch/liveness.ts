import type { Clock, Milliseconds, TimerHandle } from "../system/clock.ts";

/**
 * Whether the informer hears the API server, as the table needs to know it (docs/route-table.md#rule-6: while it does
 * not, nothing expires).
 *
 * - A taken list makes it live, and so does a watch that is answered: the server sends what came after the
 *   watermark at once.
 * - A watch that ends leaves it live for a grace, since the next is usually open within milliseconds.
 * - A stall ends it at once, and then an answer is no proof: only bytes of a watch, or a list, are.
 */
export class Liveness {
  readonly #clock: Clock;
  readonly #graceMs: Milliseconds;
  readonly #onChange: (live: boolean) => void;
  #live = false;
  #connected = false;
  #needsProof = false;
  #grace: TimerHandle | undefined;

  /** `onChange` is called synchronously whenever {@link live} changes. It begins as false. */
  constructor(clock: Clock, graceMs: Milliseconds, onChange: (live: boolean) => void) {
    this.#clock = clock;
    this.#graceMs = graceMs;
    this.#onChange = onChange;
  }

  get live(): boolean {
    return this.#live;
  }

  /** A watch is open and was answered. */
  get connected(): boolean {
    return this.#connected;
  }

  /** A list was taken; a watch must follow within the grace. */
  listed(): void {
    this.#needsProof = false;
    this.#set(true);
    this.#beginGrace();
  }

  /** A watch was answered with 200. */
  answered(): void {
    this.#connected = true;
    this.#endGrace();
    if (!this.#needsProof) this.#set(true);
  }

  /** Bytes came on a watch. */
  heard(): void {
    this.#needsProof = false;
    this.#set(true);
  }

  /** A watch ended, or was not answered. */
  disconnected(): void {
    this.#connected = false;
    if (this.#live && this.#grace === undefined) this.#beginGrace();
  }

  /** A watch was silent for too long. */
  stalled(): void {
    this.#connected = false;
    this.#needsProof = true;
    this.#endGrace();
    this.#set(false);
  }

  /** Not live, and no timer is left. */
  stop(): void {
    this.#endGrace();
    this.#set(false);
  }

  #set(live: boolean): void {
    if (live === this.#live) return;
    this.#live = live;
    this.#onChange(live);
  }

  #beginGrace(): void {
    this.#endGrace();
    this.#grace = this.#clock.setTimeout(() => this.#set(false), this.#graceMs);
  }

  #endGrace(): void {
    this.#grace?.clear();
    this.#grace = undefined;
  }
}
