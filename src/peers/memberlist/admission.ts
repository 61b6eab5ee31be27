import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { Log } from "../../system/log.ts";
import type { RefusalReason } from "./refused.ts";
import type { Bounds } from "./settings.ts";
import { TokenBucket } from "./token-bucket.ts";

/** What {@link Admission} needs. */
export interface AdmissionOptions {
  readonly allows: (host: string) => boolean;
  readonly bounds: Bounds;
  /** Called for each refusal, for counting. */
  readonly refused: (reason: RefusalReason) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Log lines about what is not taken: at most one in this time. */
const COMPLAINT_MS = 60_000;

/** What is read at all, and what becomes of a refusal: it is counted, and now and then logged. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #packets: TokenBucket;
  readonly #streams: TokenBucket;
  #complainedMs: Milliseconds = Number.NEGATIVE_INFINITY;

  constructor(options: AdmissionOptions) {
    const { packetsPerSecond, streamsPerSecond, streamBurst } = options.bounds;
    this.#options = options;
    this.#packets = new TokenBucket(packetsPerSecond, packetsPerSecond);
    this.#streams = new TokenBucket(streamsPerSecond, streamBurst);
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
    const { refused, clock, log } = this.#options;
    refused(reason);
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#complainedMs < COMPLAINT_MS) return;
    this.#complainedMs = nowMs;
    log.warn("a packet or stream from other members was not taken", { reason });
  }

  #admits(host: string, bucket: TokenBucket): boolean {
    const { allows, clock } = this.#options;
    const refusal = !allows(host) ? "forbidden" : bucket.take(clock.monotonicMs()) ? undefined : "flood";
    if (refusal) this.refuse(refusal);
    return refusal === undefined;
  }
}
