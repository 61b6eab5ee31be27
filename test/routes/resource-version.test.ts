import fc from "fast-check";
import { expect, test } from "vitest";
import {
  compareResourceVersions,
  newerResourceVersion,
  parseResourceVersion,
  type ResourceVersion,
} from "../../src/routes/resource-version.ts";

const digits = fc.bigInt({ min: 1n, max: 10n ** 40n });

test("versions compare as the integers that they spell, of any length", () => {
  fc.assert(
    fc.property(digits, digits, (a, b) => {
      const [va, vb] = [String(a) as ResourceVersion, String(b) as ResourceVersion];
      expect(Math.sign(compareResourceVersions(va, vb))).toBe(a < b ? -1 : a > b ? 1 : 0);
      expect(BigInt(newerResourceVersion(va, vb))).toBe(a > b ? a : b);
    }),
  );
});

test("only canonical positive decimal integers are versions", () => {
  fc.assert(
    fc.property(digits, (n) => {
      expect(parseResourceVersion(String(n))).toBe(String(n));
    }),
  );
  for (const bad of [
    "",
    "0",
    "01",
    "rv",
    "-1",
    "+1",
    "1.0",
    "1e3",
    " 1",
    "1 ",
    "1\n",
    "٣",
    7,
    null,
    undefined,
    {},
  ]) {
    expect(parseResourceVersion(bad), JSON.stringify(bad)).toBeUndefined();
  }
});
