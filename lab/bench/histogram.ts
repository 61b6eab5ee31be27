/** Latencies of one measurement, as a log-linear histogram: constant memory, values kept within 1.6 %. */
export interface Histogram {
  /** Counts one latency in microseconds. Negative counts as 0, above 17 minutes as 17 minutes. */
  record(us: number): void;
  /** How many latencies it holds. */
  count(): number;
  /**
   * The latency in microseconds that `share` (0 to 1) of all are not above; 0 when it is empty. It is the upper
   * end of its bucket, so it never flatters.
   */
  quantile(share: number): number;
  reset(): void;
}

/** Buckets per power of two are 2^6, so a bucket is at most 1/64 of its value wide. */
const SUB_BITS = 6;
const SUB_COUNT = 1 << SUB_BITS;
/** 2^30 µs. */
const MAX_US = 2 ** 30 - 1;

export function createHistogram(): Histogram {
  const counts = new Uint32Array((30 - SUB_BITS + 1) * SUB_COUNT);
  let total = 0;
  return {
    record(us) {
      counts[bucketOf(us)]! += 1;
      total += 1;
    },
    count: () => total,
    quantile(share) {
      if (total === 0) return 0;
      const rank = Math.max(1, Math.ceil(share * total));
      let seen = 0;
      for (let bucket = 0; bucket < counts.length; bucket += 1) {
        seen += counts[bucket]!;
        if (seen >= rank) return upperEnd(bucket);
      }
      return MAX_US;
    },
    reset() {
      counts.fill(0);
      total = 0;
    },
  };
}

/** Below 64 µs a bucket is one microsecond; from there each power of two has 64. */
function bucketOf(us: number): number {
  const value = Math.min(MAX_US, Math.max(0, Math.trunc(us)));
  if (value < SUB_COUNT) return value;
  const shift = 31 - Math.clz32(value) - SUB_BITS;
  return (shift + 1) * SUB_COUNT + ((value >>> shift) - SUB_COUNT);
}

function upperEnd(bucket: number): number {
  if (bucket < SUB_COUNT) return bucket;
  const shift = Math.trunc(bucket / SUB_COUNT) - 1;
  const sub = (bucket % SUB_COUNT) + SUB_COUNT;
  return (sub + 1) * 2 ** shift - 1;
}
