import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import { TokenBucket } from "../../system/token-bucket.ts";
import type { MemberlistObserver } from "./parts.ts";
import type { RefusalReason } from "./refused.ts";
import type { Bounds } from "./settings.ts";

/** Log lines about what is not taken: at most one in this time. */
const COMPLAINT_MS = 60_000;

/** What is read at all, and what becomes of a refusal: it is counted, and now and then logged. */
export class Admission {
  readonly #allows: (host: string) => boolean;
  readonly #observer: MemberlistObserver;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #packets: TokenBucket;
  readonly #streams: TokenBucket;
  #complainedMs: Milliseconds = Number.NEGATIVE_INFINITY;

  /** `allows`: whether an address may take part. */
  constructor(
    { packetsPerSecond, streamsPerSecond, streamBurst }: Bounds,
    allows: (host: string) => boolean,
    observer: MemberlistObserver,
    clock: Clock,
    log: Log,
  ) {
    this.#allows = allows;
    this.#observer = observer;
    this.#clock = clock;
    this.#log = log;
    const nowMs = clock.monotonicMs();
    this.#packets = new TokenBucket(packetsPerSecond, packetsPerSecond, nowMs);
    this.#streams = new TokenBucket(streamsPerSecond, streamBurst, nowMs);
  }

  /** True when a packet from `host` may be read now; else it is refused. */
  packetFrom(host: string): boolean {
    return this.#admits(host, this.#packets);
  }

  /** The same for a stream. */
  streamFrom(host: string): boolean {
    return this.#admits(host, this.#streams);
  }

  /** Something that arrived is not taken. */
  refuse(reason: RefusalReason): void {
    this.#observer.refused(reason);
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#complainedMs < COMPLAINT_MS) return;
    this.#complainedMs = nowMs;
    this.#log.warn("a packet or stream from other members was not taken", { reason });
  }

  #admits(host: string, bucket: TokenBucket): boolean {
    const nowMs = this.#clock.monotonicMs();
    const refusal = !this.#allows(host) ? "forbidden" : bucket.take(nowMs) ? undefined : "flood";
    if (refusal) this.refuse(refusal);
    return refusal === undefined;
  }
}
