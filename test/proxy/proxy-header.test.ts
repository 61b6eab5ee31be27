import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { readProxyHeader } from "../../src/proxy/client/proxy-header.ts";
import { canonicalAddress } from "../../src/system/ip-address.ts";

const SIGNATURE = "\r\n\r\n\0\r\nQUIT\n";
const latin1 = (text: string) => Buffer.from(text, "latin1");

/** A header of version 2. */
function binary(command: number, family: number, rest: Buffer, length = rest.length): Buffer {
  const fixed = Buffer.alloc(16);
  fixed.write(SIGNATURE, "latin1");
  fixed.writeUInt8(command, 12);
  fixed.writeUInt8(family, 13);
  fixed.writeUInt16BE(length, 14);
  return Buffer.concat([fixed, rest]);
}

const ports = fc.integer({ min: 0, max: 65_535 });
const tlvs = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
/** Headers that are right, and the client that each names. */
const headers: fc.Arbitrary<{ readonly bytes: Buffer; readonly client: string | undefined }> = fc.oneof(
  fc.tuple(fc.ipV4(), fc.ipV4(), ports, ports).map(([from, to, fromPort, toPort]) => {
    return {
      bytes: latin1(`PROXY TCP4 ${from} ${to} ${fromPort} ${toPort}\r\n`),
      client: from,
    };
  }),
  fc
    .tuple(fc.ipV6(), fc.ipV6(), ports, ports)
    // The format has no room for IPv4 addresses within.
    .filter(([from, to]) => !from.includes(".") && !to.includes("."))
    .map(([from, to, fromPort, toPort]) => {
      const bytes = latin1(`PROXY TCP6 ${from} ${to} ${fromPort} ${toPort}\r\n`);
      return { bytes, client: canonicalAddress(from) };
    }),
  fc
    .stringMatching(/^( [!-~]{1,20}){0,3}$/)
    .map((rest) => ({ bytes: latin1(`PROXY UNKNOWN${rest}\r\n`), client: undefined })),
  fc.tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), tlvs).map(([addresses, more]) => {
    return {
      bytes: binary(0x21, 0x11, Buffer.concat([addresses, more])),
      client: addresses.slice(0, 4).join("."),
    };
  }),
  fc.tuple(fc.ipV6(), tlvs).map(([, more]) => {
    const addresses = Buffer.alloc(36);
    addresses.writeUInt16BE(0x2001, 0);
    addresses.writeUInt8(7, 15);
    return { bytes: binary(0x21, 0x21, Buffer.concat([addresses, more])), client: "2001::7" };
  }),
  tlvs.map((rest) => ({ bytes: binary(0x20, 0x11, rest), client: undefined })),
  tlvs.map((rest) => ({ bytes: binary(0x21, 0x00, rest), client: undefined })),
);

test("a header names its client and its own length, whatever follows it", () => {
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 50 }), ({ bytes, client }, rest) => {
      const read = readProxyHeader(Buffer.concat([bytes, rest]));
      expect(read).toEqual({ kind: "header", length: bytes.length, clientAddress: client });
    }),
  );
});

test("every part of a header is incomplete", () => {
  fc.assert(
    fc.property(headers, ({ bytes }) => {
      for (let length = 0; length < bytes.length; length++)
        expect(readProxyHeader(bytes.subarray(0, length))).toEqual({ kind: "incomplete" });
    }),
    { numRuns: 50 },
  );
});

test("any bytes are judged without an exception, and those that are incomplete are few", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom("", "PROXY ", SIGNATURE),
      (bytes, begin) => {
        const all = Buffer.concat([latin1(begin), bytes]);
        const read = readProxyHeader(all);
        if (read.kind === "incomplete") expect(all.length).toBeLessThan(16 + 4_096);
        if (read.kind === "header") expect(read.length).toBeLessThanOrEqual(all.length);
      },
    ),
  );
});

describe("what is no header is malformed", () => {
  test.each([
    ["a request", "GET / HTTP/1.1\r\n"],
    ["a ClientHello", "\x16\x03\x01"],
    ["another word", "PROXX TCP4 1.2.3.4 1.2.3.4 1 2\r\n"],
    ["lower case", "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"],
    ["another family", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n"],
    ["an address of the other family", "PROXY TCP4 ::1 1.2.3.4 1 2\r\n"],
    ["an address in another spelling", "PROXY TCP4 127.1 1.2.3.4 1 2\r\n"],
    ["a zone", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"],
    ["a port too high", "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"],
    ["a port with a zero in front", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"],
    ["two spaces", "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"],
    ["too few fields", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"],
    ["too many fields", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"],
    ["a bare LF", `PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n${"x".repeat(107)}`],
    ["a line without an end", `PROXY UNKNOWN ${"x".repeat(107)}`],
  ])("version 1: %s", (_, text) => {
    expect(readProxyHeader(latin1(text)).kind).toBe("malformed");
  });

  test.each([
    ["another version", binary(0x11, 0x11, Buffer.alloc(12))],
    ["another command", binary(0x22, 0x11, Buffer.alloc(12))],
    ["UDP", binary(0x21, 0x12, Buffer.alloc(12))],
    ["too short for IPv4", binary(0x21, 0x11, Buffer.alloc(11))],
    ["too short for IPv6", binary(0x21, 0x21, Buffer.alloc(35))],
    ["too short for a path", binary(0x21, 0x31, Buffer.alloc(215))],
    ["longer than we hold", binary(0x21, 0x11, Buffer.alloc(12), 5_000)],
  ])("version 2: %s", (_, bytes) => {
    expect(readProxyHeader(bytes).kind).toBe("malformed");
  });
});

test("an IPv4 client within an IPv6 address has its own spelling", () => {
  const addresses = Buffer.alloc(36);
  addresses.writeUInt16BE(0xffff, 10);
  addresses.set([10, 0, 0, 7], 12);
  const read = readProxyHeader(binary(0x21, 0x21, addresses));
  expect(read).toMatchObject({ clientAddress: "10.0.0.7" });
});
