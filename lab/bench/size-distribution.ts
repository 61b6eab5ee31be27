import { seededRandom } from "../devcluster/random.ts";

/** Scale and shape of the Pareto distribution of {@link drawnSizes}. */
const SMALLEST_BYTES = 1000;
const SHAPE = 1;

/**
 * `count` sizes of responses as the web has them: many small, few large. The same `seed` gives the same sizes, in bytes,
 * none above `largestBytes`. The shape is that of the sizes transferred in SURGE (P. Barford and M. Crovella,
 * "Generating Representative Web Workloads", SIGMETRICS 1998): Pareto with k = 1,000 bytes and α = 1, so that half of all
 * are below 2,000 bytes and one in a hundred is above 100,000. Without a bound its mean would be infinite.
 */
export function drawnSizes(count: number, seed: number, largestBytes: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => paretoBytes(random.next(), largestBytes));
}

/** The size that the share `quantile` (0 to 1, not 1) of all sizes is below, cut at `largestBytes`. */
export function paretoBytes(quantile: number, largestBytes: number): number {
  return Math.min(largestBytes, Math.round(SMALLEST_BYTES / (1 - quantile) ** (1 / SHAPE)));
}
