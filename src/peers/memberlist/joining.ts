import type { Clock, Milliseconds, TimerHandle } from "../../system/clock.ts";
import { type Endpoint, endpointText } from "./endpoint.ts";

/**
 * Addresses of members that may exist; how often it is called is up to the caller. Rejects when they can't be found now.
 */
export type FindMembers = () => Promise<readonly Endpoint[]>;

/** When to look again. */
export interface JoinPolicy {
  /** Longest wait after the first failure; it doubles with each. */
  readonly baseMs: Milliseconds;
  /** Longest wait while no other member is known. */
  readonly maxAloneMs: Milliseconds;
  /** Longest wait otherwise, and the wait after success. */
  readonly maxMs: Milliseconds;
}

/** Addresses are tried this many at a time, and so many of one answer at most. */
const TRIED_AT_ONCE = 3;
const MAX_ADDRESSES = 1_000;

/** From one second up to 10 seconds when alone, up to 30 otherwise. */
export const DEFAULT_JOIN_POLICY: JoinPolicy = { baseMs: 1_000, maxAloneMs: 10_000, maxMs: 30_000 };

/** What came of one round of {@link Joining}. */
export interface JoinRound {
  /** The addresses were found. */
  readonly found: boolean;
  /** Addresses that were tried and did not answer. */
  readonly failed: number;
  /** No other member is known. */
  readonly alone: boolean;
}

/**
 * The wait after a round, and the failures in a row that it makes. Pure; `random` is in [0, 1) and takes away up to half
 * of the wait, so that members that lost each other do not all come back in the same moment.
 */
export function afterRound(
  round: JoinRound,
  failures: number,
  random: number,
  policy: JoinPolicy,
): { readonly failures: number; readonly delayMs: Milliseconds } {
  const isFailure = !round.found || round.failed > 0 || round.alone;
  const longestMs = round.alone ? policy.maxAloneMs : policy.maxMs;
  const ceilingMs = isFailure ? Math.min(longestMs, policy.baseMs * 2 ** Math.min(failures, 30)) : longestMs;
  return { failures: isFailure ? failures + 1 : 0, delayMs: ceilingMs * (0.5 + random / 2) };
}

/** What {@link Joining} needs. */
export interface JoiningOptions {
  readonly find: FindMembers;
  /** Joins through one address; resolves false when that failed. */
  readonly join: (endpoint: Endpoint) => Promise<boolean>;
  /** True for an address that needs no joining: this side's own, or a living member's. */
  readonly isKnown: (endpoint: Endpoint) => boolean;
  readonly alone: () => boolean;
  /** The addresses could not be found. */
  readonly findFailed: (error: unknown) => void;
  readonly policy?: JoinPolicy;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * Joins for ever: looks for members again and again and joins through every address where no living member is known.
 * memberlist joins once; a cluster that was split for longer than the dead are remembered then stays split.
 */
export class Joining {
  readonly #options: JoiningOptions;
  #failures = 0;
  #timer: TimerHandle | undefined;
  #stopped = true;

  constructor(options: JoiningOptions) {
    this.#options = options;
  }

  /** Begins with a round at once. */
  start(): void {
    this.#stopped = false;
    void this.#round();
  }

  /** Begins no further round. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.clear();
  }

  async #round(): Promise<void> {
    const { find, findFailed, alone, clock, random, policy = DEFAULT_JOIN_POLICY } = this.#options;
    let found = true;
    let failed = 0;
    try {
      failed = await this.#joinThrough(await find());
    } catch (error) {
      found = false;
      if (!this.#stopped) findFailed(error);
    }
    if (this.#stopped) return;
    const next = afterRound({ found, failed, alone: alone() }, this.#failures, random(), policy);
    this.#failures = next.failures;
    this.#timer = clock.setTimeout(() => void this.#round(), next.delayMs);
  }

  /** Returns how many failed. */
  async #joinThrough(found: readonly Endpoint[]): Promise<number> {
    const { join, isKnown } = this.#options;
    const endpoints = new Map(found.slice(0, MAX_ADDRESSES).map((to) => [endpointText(to), to])).values();
    let failed = 0;
    const tryNext = async (): Promise<void> => {
      for (const endpoint of endpoints) {
        if (this.#stopped) return;
        // The members found through an earlier address are known by now.
        if (!isKnown(endpoint) && !(await join(endpoint))) failed += 1;
      }
    };
    // All take from one iterator.
    await Promise.all(Array.from({ length: TRIED_AT_ONCE }, tryNext));
    return failed;
  }
}
