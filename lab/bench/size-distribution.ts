import { randomInteger, seededRandom } from "../devcluster/random.ts";
import type { Random } from "../devcluster/random.ts";

/**
 * Classes of sizes with their share of all requests, those of SPECweb96 and SPECweb99: half of all are for 1 to 9 KB, 35 % for 100
 * to 900 bytes, 14 % for 10 to 90 KB and 1 % for 100 to 900 KB
 * (https://www.usenix.org/legacy/events/usenix06/tech/full_papers/ruan/ruan_html/node5.html).
 */
const CLASSES: readonly { readonly share: number; readonly stepBytes: number }[] = [
  { share: 0.35, stepBytes: 100 },
  { share: 0.5, stepBytes: 1000 },
  { share: 0.14, stepBytes: 10_000 },
  { share: 0.01, stepBytes: 100_000 },
];
/** A class has the sizes of 1 to 9 steps, here all as likely. */
const STEPS = 9;

/**
 * `count` sizes of responses as the web has them: many small, few large. The same `seed` gives the same sizes, in bytes, none
 * above `largestBytes`.
 */
export function drawnSizes(count: number, seed: number, largestBytes = Number.POSITIVE_INFINITY): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => Math.min(largestBytes, drawnSize(random)));
}

function drawnSize(random: Random): number {
  let left = random.next();
  const drawn = CLASSES.find(({ share }) => (left -= share) < 0) ?? CLASSES.at(-1);
  return (drawn?.stepBytes ?? 0) * randomInteger(random, 1, STEPS);
}
