import type { Milliseconds } from "../system/clock.ts";
import { NOTHING_SEEN, type ResourceVersion } from "./resource-version.ts";

/**
 * How far ahead of the watermark a push may be in a cluster of which nothing better is known: about three hours of a busy
 * etcd. A quiet cluster may become busy while the informer is cut off.
 */
const FLOOR = 10_000_000n;
const SAMPLE_EVERY_MS: Milliseconds = 60_000;
const MAX_SAMPLES = 61;

interface Sample {
  readonly version: ResourceVersion;
  readonly atMs: Milliseconds;
}

/**
 * How fast a scope's watermark moves, over the last hour, and how far ahead of it a version may be before nobody can have
 * seen it yet (docs/route-table.md#rule-13). Versions are of any length, so they are reckoned with as big integers; that
 * happens at most once for each version of the watermark at which a push comes.
 */
export class WatermarkPace {
  readonly #maxAheadHours: number;
  readonly #samples: Sample[] = [];
  #heardAtMs: Milliseconds = 0;

  /** `maxAheadHours`: 0 believes any version. */
  constructor(maxAheadHours: number) {
    this.#maxAheadHours = maxAheadHours;
  }

  /** To be called when the informer speaks; `version` is the watermark before it did. */
  note(version: ResourceVersion, nowMs: Milliseconds): void {
    this.#heardAtMs = nowMs;
    const last = this.#samples.at(-1);
    if (last !== undefined && nowMs - last.atMs < SAMPLE_EVERY_MS) return;
    if (this.#maxAheadHours === 0 || version === NOTHING_SEEN) return;
    this.#samples.push({ version, atMs: nowMs });
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
  }

  /** The cluster was restored from a backup: its versions begin again. */
  reset(): void {
    this.#samples.length = 0;
  }

  /**
   * The newest version that is believed now, or `undefined` when any is: the watermark, and as much as it moves in
   * `maxAheadHours` and in the time since it was last heard of, at least 10 million.
   */
  ceiling(watermark: ResourceVersion, nowMs: Milliseconds): ResourceVersion | undefined {
    if (this.#maxAheadHours === 0 || watermark === NOTHING_SEEN) return undefined;
    const base = BigInt(watermark);
    const oldest = this.#samples[0];
    let ahead = FLOOR;
    const measuredMs = oldest === undefined ? 0 : this.#heardAtMs - oldest.atMs;
    if (oldest !== undefined && measuredMs >= SAMPLE_EVERY_MS) {
      const moved = base - BigInt(oldest.version);
      const spanMs = this.#maxAheadHours * 3_600_000 + Math.max(0, nowMs - this.#heardAtMs);
      const paced = (moved * BigInt(Math.ceil(spanMs))) / BigInt(Math.ceil(measuredMs));
      if (paced > ahead) ahead = paced;
    }
    return String(base + ahead) as ResourceVersion;
  }
}
