import { LRUCache } from "lru-cache";

import { addressIn } from "../system/cidrs.ts";
import type { Clock } from "../system/clock.ts";
import { TokenBucket } from "../system/token-bucket.ts";

/** What {@link ClientLimits} goes by. */
export interface ClientLimitOptions {
  /** CIDRs; empty: every client. */
  readonly allowFrom: readonly string[];
  /** Requests of one client in a second, and as many more at once. 0: no limit. */
  readonly perClient: number;
  /** The same for one sandbox, whoever asks. 0: no limit. */
  readonly perSandbox: number;
  readonly clock: Clock;
}

/** Above, the one without requests for longest is forgotten, which gives it a full bucket again. */
const MAX_BUCKETS = 100_000;
const MAX_ADDRESSES = 10_000;

/** Which clients may ask at all, and how often (docs/access.md#limits). In each process by itself. */
export class ClientLimits {
  readonly #options: ClientLimitOptions;
  readonly #isAllowed: ((address: string) => boolean) | undefined;
  readonly #addresses = new LRUCache<string, boolean>({ max: MAX_ADDRESSES });
  readonly #clients = new LRUCache<string, TokenBucket>({ max: MAX_BUCKETS });
  readonly #sandboxes = new LRUCache<string, TokenBucket>({ max: MAX_BUCKETS });

  constructor(options: ClientLimitOptions) {
    this.#options = options;
    this.#isAllowed = options.allowFrom.length > 0 ? addressIn(options.allowFrom) : undefined;
  }

  /** Why a client may not ask now; undefined: it may. `share`: what its requests are counted by, see `shareOf`. */
  refusalOf(address: string, share: string): "address_not_allowed" | "rate_limited" | undefined {
    if (!this.#allows(address)) return "address_not_allowed";
    return this.#takes(this.#clients, share, this.#options.perClient) ? undefined : "rate_limited";
  }

  /** Why a sandbox is asked too often; undefined: it is not. `key`: of the object. */
  refusalFor(key: string): "rate_limited" | undefined {
    return this.#takes(this.#sandboxes, key, this.#options.perSandbox) ? undefined : "rate_limited";
  }

  #allows(address: string): boolean {
    if (this.#isAllowed === undefined) return true;
    const known = this.#addresses.get(address);
    if (known !== undefined) return known;
    const allowed = this.#isAllowed(address);
    this.#addresses.set(address, allowed);
    return allowed;
  }

  #takes(buckets: LRUCache<string, TokenBucket>, key: string, perSecond: number): boolean {
    if (perSecond === 0) return true;
    const nowMs = this.#options.clock.monotonicMs();
    let bucket = buckets.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket(perSecond, perSecond, nowMs);
      buckets.set(key, bucket);
    }
    return bucket.take(nowMs);
  }
}
