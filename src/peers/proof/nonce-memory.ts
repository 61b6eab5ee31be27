import type { Milliseconds } from "../../system/clock.ts";

/** Options of {@link NonceMemory}. */
export interface NonceMemoryOptions {
  /** How long a nonce is remembered. */
  readonly forMs: Milliseconds;
  /** The most that are remembered, at least 1. */
  readonly max: number;
}

/**
 * Remembers which nonces were used. Only those of signatures that are right get in, so that nobody without a key can fill it.
 * When it is full nothing is forgotten early, since that would let a push be replayed: `full` until time has made room.
 */
export class NonceMemory {
  readonly #options: NonceMemoryOptions;
  /** Until when, on the monotonic clock. All are kept for the same time, so the first is the first to leave. */
  readonly #usedUntil = new Map<string, Milliseconds>();

  constructor(options: NonceMemoryOptions) {
    this.#options = options;
  }

  /** Remembered now, and some whose time is over. */
  get size(): number {
    return this.#usedUntil.size;
  }

  /** Uses a nonce: `fresh` once, `replayed` afterwards. `nowMs` is of the monotonic clock. */
  use(nonce: string, nowMs: Milliseconds): "fresh" | "replayed" | "full" {
    for (const [oldest, untilMs] of this.#usedUntil) {
      if (untilMs > nowMs) break;
      this.#usedUntil.delete(oldest);
    }
    if (this.#usedUntil.has(nonce)) return "replayed";
    if (this.#usedUntil.size >= this.#options.max) return "full";
    this.#usedUntil.set(nonce, nowMs + this.#options.forMs);
    return "fresh";
  }
}
