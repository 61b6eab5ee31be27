import { SocketAddress } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addressBits,
  cidrAt,
  contains,
  formatAddress,
  formatCidr,
  overlaps,
  parseAddress,
  parseCidr,
} from "../../src/node/cidr.ts";

const family = fc.constantFrom(4 as const, 6 as const);
const address = family.chain((of) =>
  fc.bigInt(0n, (1n << BigInt(addressBits(of))) - 1n).map((value) => ({ family: of, value })),
);
const cidr = address.chain((at) =>
  fc.integer({ min: 0, max: addressBits(at.family) }).map((length) => cidrAt(at, length)),
);

describe("addresses", () => {
  test("what is formatted is parsed to the same address", () => {
    fc.assert(
      fc.property(address, (one) => {
        expect(parseAddress(formatAddress(one))).toEqual(one);
      }),
    );
  });

  test("they are written as Node writes them (RFC 5952)", () => {
    fc.assert(
      fc.property(address, (one) => {
        const text = formatAddress(one);
        const { address: canonical } = new SocketAddress({ address: text, family: `ipv${one.family}` });
        // Node writes ::ffff:1.2.3.4 with a dotted end.
        if (!canonical.includes(".") || one.family === 4) expect(text).toBe(canonical);
      }),
    );
  });

  test.each(["010.1.1.0", "10", "1.2.3", "256.1.1.1", "1.2.3.4 ", "fe80::1%eth0", "::g", "", "0x10.1.1.1"])(
    "%j is none",
    (text) => expect(parseAddress(text)).toBeUndefined(),
  );

  test("an IPv4 address within an IPv6 one", () => {
    expect(formatAddress(parseAddress("::ffff:10.0.0.1") ?? { family: 6, value: 0n })).toBe("::ffff:a00:1");
  });
});

describe("blocks", () => {
  test("what is formatted is parsed to the same block", () => {
    fc.assert(
      fc.property(cidr, (one) => {
        expect(parseCidr(formatCidr(one), "cidr")).toEqual(one);
      }),
    );
  });

  test("two blocks overlap when one contains the other, and only then", () => {
    fc.assert(
      fc.property(cidr, cidr, (one, other) => {
        expect(overlaps(one, other)).toBe(contains(one, other) || contains(other, one));
      }),
    );
  });

  test("a bare address is a block of one", () => {
    expect(formatCidr(parseCidr("10.0.0.1", "cidr"))).toBe("10.0.0.1/32");
    expect(formatCidr(parseCidr("fd00::1", "cidr"))).toBe("fd00::1/128");
  });

  test.each([
    ["10.0.0.255/24", "not aligned", "write 10.0.0.0/24"],
    ["10/8", "no address or CIDR", "without leading zeros"],
    ["010.1.1.0/24", "no address or CIDR", "without leading zeros"],
    ["10.0.0.0/33", "bad prefix length", "from 0 to 32"],
    ["10.0.0.0/08", "bad prefix length", "from 0 to 32"],
    ["10.0.0.0/", "bad prefix length", "from 0 to 32"],
    ["fd00::1/64", "not aligned", "write fd00::/64"],
  ])("%s is refused, with what to write instead", (text, message, fix) => {
    expect(() => parseCidr(text, "cidr")).toThrow(
      expect.objectContaining({
        code: "invalid",
        message: expect.stringContaining(message),
        fix: expect.stringContaining(fix),
      }),
    );
  });
});
