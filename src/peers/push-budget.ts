import type { Milliseconds } from "../system/clock.ts";
import { TokenBucket } from "../system/token-bucket.ts";

/** What may come to `/refresh` in a second. 0 is no limit. */
export interface PushRates {
  /** Pushes and bytes of bodies from one address. */
  readonly pushesPerSender: number;
  readonly bytesPerSender: number;
  /** The same from all addresses together. */
  readonly pushesInAll: number;
  readonly bytesInAll: number;
}

/** Whether a push may go on: `sender` has used up what one may send, or all together have (`all`). */
export type Admission = "admitted" | "sender" | "all";

/** Senders whose use is remembered; above, the one that was silent for longest begins again with a full budget. */
const MAX_SENDERS = 1_024;

/** Two buckets: a push costs one of the first, its body's bytes of the second. */
interface Use {
  readonly pushes: TokenBucket;
  readonly bytes: TokenBucket;
}

/**
 * Keeps senders of pushes from taking the event loop that serves traffic. A push is admitted before its body is read, and
 * the body before it is parsed, which is what costs most: bodies of unknown length, and many that are read at a time, meet
 * the budget too. The body that uses a budget up is still taken; then its sender waits until time has paid the debt. One
 * second's worth may come at once. What is refused costs nothing.
 *
 * Memory is bounded, whatever the number of senders: who has so many addresses as to be forgotten still meets the budget of
 * all.
 */
export class PushBudget {
  readonly #rates: PushRates;
  readonly #all: Use;
  /** In the order of their last push. */
  readonly #senders = new Map<string, Use>();
  /** The last of them, who is most likely to push next. */
  #last: { readonly sender: string; readonly use: Use } | undefined;

  /** Times are of the monotonic clock. */
  constructor(rates: PushRates, nowMs: Milliseconds) {
    this.#rates = rates;
    this.#all = newUse(rates.pushesInAll, rates.bytesInAll, nowMs);
  }

  /** How many senders are remembered. */
  get senders(): number {
    return this.#senders.size;
  }

  /** May a push be read whose head is in? Counts it if so. */
  admitPush(sender: string, nowMs: Milliseconds): Admission {
    const use = this.#useOf(sender, nowMs);
    if (!use.pushes.hasAny(nowMs) || !use.bytes.hasAny(nowMs)) return "sender";
    if (!this.#all.pushes.hasAny(nowMs) || !this.#all.bytes.hasAny(nowMs)) return "all";
    use.pushes.charge(1, nowMs);
    this.#all.pushes.charge(1, nowMs);
    return "admitted";
  }

  /** May a body of so many bytes be parsed that has been read, of an admitted push? Counts them if so. */
  admitBody(sender: string, bytes: number, nowMs: Milliseconds): Admission {
    const use = this.#useOf(sender, nowMs);
    if (!use.bytes.hasAny(nowMs)) return "sender";
    if (!this.#all.bytes.hasAny(nowMs)) return "all";
    use.bytes.charge(bytes, nowMs);
    this.#all.bytes.charge(bytes, nowMs);
    return "admitted";
  }

  #useOf(sender: string, nowMs: Milliseconds): Use {
    if (this.#last?.sender === sender) return this.#last.use;
    const { pushesPerSender, bytesPerSender } = this.#rates;
    const use = this.#senders.get(sender) ?? newUse(pushesPerSender, bytesPerSender, nowMs);
    // A Map keeps the order of insertion: the first is the one that was silent for longest.
    this.#senders.delete(sender);
    this.#senders.set(sender, use);
    this.#last = { sender, use };
    if (this.#senders.size > MAX_SENDERS) {
      const [longestSilent] = this.#senders.keys();
      if (longestSilent !== undefined) this.#senders.delete(longestSilent);
    }
    return use;
  }
}

function newUse(pushesPerSecond: number, bytesPerSecond: number, nowMs: Milliseconds): Use {
  return {
    pushes: oneSecondsWorth(pushesPerSecond || Infinity, nowMs),
    bytes: oneSecondsWorth(bytesPerSecond || Infinity, nowMs),
  };
}

function oneSecondsWorth(perSecond: number, nowMs: Milliseconds): TokenBucket {
  return new TokenBucket(perSecond, perSecond, nowMs);
}
