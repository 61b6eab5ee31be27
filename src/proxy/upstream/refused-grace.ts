import type { Incarnation } from "../../routes/lookup.ts";
import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";

/** How long requests wait for a port of a young sandbox that nothing listens on yet. */
export interface GraceSettings {
  /** Longest wait of one request (`upstream.refusedGraceMs`). 0: none waits. */
  readonly refusedGraceMs: Milliseconds;
  /** A sandbox is young for so long after it became ready (`upstream.youngMs`). */
  readonly youngMs: Milliseconds;
}

/** Between two tries to connect: a program that has begun to listen is found soon, and a refusal costs the kernel little. */
const RETRY_MS: Milliseconds = 50;

interface Waiting<T> {
  readonly sinceMs: Milliseconds;
  /** What is tried again; `undefined` while it is. */
  next: { readonly what: T; readonly timer: TimerHandle } | undefined;
}

/**
 * Those whose connection was refused by a sandbox that has just become ready: its program may begin to listen in a moment. A sandbox
 * whose age is not known, or that is older, gets no grace. `L` wants a connection; `T` is what is tried again for it.
 */
export class RefusedGrace<L extends object, T> {
  readonly #settings: GraceSettings;
  readonly #clock: Clock;
  readonly #readyAtMs: Milliseconds | undefined;
  readonly #waiting = new Map<L, Waiting<T>>();

  constructor({ readyAtS }: Incarnation, settings: GraceSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    this.#readyAtMs = readyAtS === undefined ? undefined : readyAtS * 1_000;
  }

  /** Who waits now, or is just tried again. */
  get size(): number {
    return this.#waiting.size;
  }

  /** The connection for `lessee` was refused: whether `retry` is called with `what` in a moment. */
  mayTryAgain(lessee: L, what: T, retry: (what: T, lessee: L) => void): boolean {
    const { refusedGraceMs, youngMs } = this.#settings;
    if (refusedGraceMs === 0 || this.#readyAtMs === undefined) return false;
    const nowMs = this.#clock.monotonicMs();
    const waiting = this.#waiting.get(lessee) ?? { sinceMs: nowMs, next: undefined };
    const isYoung = this.#clock.nowMs() - this.#readyAtMs < youngMs;
    if (!isYoung || nowMs - waiting.sinceMs + RETRY_MS > refusedGraceMs) {
      this.#waiting.delete(lessee);
      return false;
    }
    const timer = this.#clock.setTimeout(() => {
      waiting.next = undefined;
      retry(what, lessee);
    }, RETRY_MS);
    waiting.next = { what, timer };
    this.#waiting.set(lessee, waiting);
    return true;
  }

  /** The lessee has its connection, or wants none any more. Returns what would have been tried for it, if it waited. */
  forget(lessee: L): T | undefined {
    const next = this.#waiting.get(lessee)?.next;
    this.#waiting.delete(lessee);
    next?.timer.clear();
    return next?.what;
  }

  /** Forgets all who wait, and returns them with what would have been tried. */
  forgetAll(): (readonly [L, T])[] {
    return [...this.#waiting.keys()].flatMap((lessee) => {
      const what = this.forget(lessee);
      return what === undefined ? [] : [[lessee, what] as const];
    });
  }
}
