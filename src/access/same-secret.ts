import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** Longer secrets are compared by digests. */
const MAX_COMPARED = 256;
const given = Buffer.alloc(MAX_COMPARED);
const expected = Buffer.alloc(MAX_COMPARED);
/** Makes digests of one length that nobody outside can predict, so that comparing them tells nothing of the secrets. */
const comparisonKey = randomBytes(32);

/**
 * Whether two texts are the same. Takes the same time wherever they differ. (To compare buffers takes 0.4 µs, and digests 30: they
 * would be most of what a request costs.)
 */
export function isSameSecret(a: string, b: string): boolean {
  if (a.length > MAX_COMPARED || b.length > MAX_COMPARED) return timingSafeEqual(digest(a), digest(b));
  given.fill(0).write(a, "latin1");
  expected.fill(0).write(b, "latin1");
  return timingSafeEqual(given, expected) && a.length === b.length;
}

function digest(secret: string): Buffer {
  return createHmac("sha256", comparisonKey).update(secret, "latin1").digest();
}
