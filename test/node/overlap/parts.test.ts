import * as fc from "fast-check";
import { expect, test } from "vitest";
import { addressBits, parseAddress, parseCidr } from "../../../src/node/cidr.ts";
import { formatPart } from "../../../src/node/overlap/verdict.ts";

const part = (first: string, last: string) => {
  const [from, to] = [parseAddress(first), parseAddress(last)];
  if (!from || !to) throw new Error("no addresses");
  return formatPart(from.family, from.value, to.value);
};

test.each([
  ["10.0.0.0", "10.0.0.255", "10.0.0.0/24"],
  ["10.0.0.7", "10.0.0.7", "10.0.0.7/32"],
  ["fd00::", "fd00::ff", "fd00::/120"],
  // As many as a /24, but not one.
  ["10.0.0.128", "10.0.1.127", "10.0.0.128-10.0.1.127"],
  ["10.0.0.1", "10.0.0.2", "10.0.0.1-10.0.0.2"],
  ["10.0.0.0", "10.0.0.2", "10.0.0.0-10.0.0.2"],
  ["fd00::80", "fd00::17f", "fd00::80-fd00::17f"],
])("%s to %s is printed as %s", (first, last, text) => {
  expect(part(first, last)).toBe(text);
});

test("what is printed says exactly these addresses, whatever they are", () => {
  const value = fc.integer({ min: 0, max: 2 ** 12 });
  fc.assert(
    fc.property(value, value, (a, b) => {
      const [first, last] = [BigInt(Math.min(a, b)), BigInt(Math.max(a, b))];
      const text = formatPart(4, first, last);
      const cidr = text.includes("/") ? parseCidr(text, "part") : undefined;
      const [from, to] = text.split("-").map((end) => parseAddress(end)?.value);
      expect(cidr ? [cidr.first, cidr.last] : [from, to]).toEqual([first, last]);
      expect(cidr === undefined || cidr.prefixLength <= addressBits(4)).toBe(true);
    }),
  );
});
