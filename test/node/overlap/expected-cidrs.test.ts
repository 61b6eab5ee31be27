import * as fc from "fast-check";
import { expect, test } from "vitest";
import { addressBits, contains, formatAddress, formatCidr, parseAddress } from "../../../src/node/cidr.ts";
import { cidrsOfPodIps, parseExpected } from "../../../src/node/overlap/expected-cidrs.ts";

const blocks = (ips: readonly string[]) => cidrsOfPodIps(ips).map(formatCidr);

test("pods stand for the block around them; neighbours make one, and what is no IP is left out", () => {
  expect(blocks([])).toEqual([]);
  expect(blocks(["10.244.1.7", "10.244.1.200"])).toEqual(["10.244.1.0/24"]);
  expect(blocks(["10.244.0.7", "10.244.1.7", "10.244.2.1", "", "pod"])).toEqual([
    "10.244.0.0/23",
    "10.244.2.0/24",
  ]);
  expect(blocks(["10.244.1.7", "10.244.2.7"])).toEqual(["10.244.1.0/24", "10.244.2.0/24"]);
  expect(blocks(["2001:db8::7", "10.0.0.1"])).toEqual(["10.0.0.0/24", "2001:db8::/64"]);
});

test("every pod lies in exactly one block, and none could be joined with another", () => {
  const ip = fc
    .nat(4095)
    .map((value) => formatAddress({ family: 4, value: (10n << 24n) + BigInt(value * 61) }));
  fc.assert(
    fc.property(fc.array(ip, { maxLength: 60 }), (ips) => {
      const found = cidrsOfPodIps(ips);
      for (const text of ips) {
        const address = parseAddress(text);
        expect(found.filter((cidr) => address && contains(cidr, address))).toHaveLength(1);
      }
      for (const { family, first, prefixLength } of found) {
        const sibling = first ^ (1n << BigInt(addressBits(family) - prefixLength));
        expect(found.some((other) => other.first === sibling && other.prefixLength === prefixLength)).toBe(
          false,
        );
      }
    }),
  );
});

test("a CIDR that is given twice is one; a faulty one is named with the fix", () => {
  expect(parseExpected(["10.0.0.0/8", "10.0.0.0/8", "192.0.2.1"], "CIDR").map(formatCidr)).toEqual([
    "10.0.0.0/8",
    "192.0.2.1/32",
  ]);
  expect(() => parseExpected(["10.1.0.0/8"], "CIDR")).toThrow(/CIDR "10.1.0.0\/8" is not aligned/);
});
