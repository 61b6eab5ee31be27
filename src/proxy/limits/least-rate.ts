import type { Milliseconds } from "../../system/clock.ts";

/** The slowest that a client may be. */
export interface LeastRateOptions {
  /** 0: no limit. */
  readonly bytesPerSecond: number;
  /** How long a client may stall, and the time over which its rate is averaged. */
  readonly windowMs: Milliseconds;
}

/**
 * The rule that ends a client which moves bytes so slowly that it must mean to hold what it uses (compare
 * `MinRequestBodyDataRate` of Kestrel, `RequestReadTimeout` of Apache). A client has a deadline. Each byte pushes it back by
 * the time that a byte may take, but never further away than the window. So whoever moves at least `bytesPerSecond` on average
 * never meets it, a stall of up to the window is forgiven to all who moved well before, and bytes sent ahead buy no more
 * than one window. Pure: times come in, deadlines go out, on one monotonic time line; `Infinity` is no deadline.
 */
export class LeastRate {
  readonly #windowMs: Milliseconds;
  readonly #msPerByte: number;

  constructor({ bytesPerSecond, windowMs }: LeastRateOptions) {
    this.#windowMs = bytesPerSecond > 0 ? windowMs : Infinity;
    this.#msPerByte = bytesPerSecond > 0 ? 1000 / bytesPerSecond : 0;
  }

  /** The shortest time after which a client may be cut; `Infinity` without a limit. */
  get windowMs(): Milliseconds {
    return this.#windowMs;
  }

  /** The deadline of a client that is expected to send from now on. */
  begin(nowMs: Milliseconds): Milliseconds {
    return nowMs + this.#windowMs;
  }

  /** Its next deadline, after it has sent `bytes`. */
  sent(deadlineMs: Milliseconds, bytes: number, nowMs: Milliseconds): Milliseconds {
    return Math.min(nowMs + this.#windowMs, deadlineMs + bytes * this.#msPerByte);
  }

  /**
   * The deadline by which a client has to take all of `bytes` that wait in its socket. A socket tells when it has taken a
   * whole write, not how much of one: so all of them together get the window and the time that they may take.
   */
  take(bytes: number, nowMs: Milliseconds): Milliseconds {
    return nowMs + this.#windowMs + bytes * this.#msPerByte;
  }

  /** Its next deadline, when `bytes` more wait before it has taken the others. */
  more(deadlineMs: Milliseconds, bytes: number): Milliseconds {
    return deadlineMs + bytes * this.#msPerByte;
  }
}
