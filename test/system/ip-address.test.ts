import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addressOfBytes,
  canonicalAddress,
  parseAsWritten,
  remoteAddressOf,
} from "../../src/system/ip-address.ts";

describe("an address has one spelling", () => {
  test.each([
    ["10.0.0.7", "10.0.0.7"],
    ["::ffff:10.0.0.7", "10.0.0.7"],
    ["::FFFF:a00:7", "10.0.0.7"],
    ["2001:DB8:0:0::1", "2001:db8::1"],
    ["2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"],
    // Compatible, but not mapped (RFC 4291 2.5.5.1): it stays IPv6.
    ["::10.0.0.7", "::a00:7"],
    ["64:ff9b::10.0.0.7", "64:ff9b::a00:7"],
  ])("%s: %s", (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical);
  });

  test.each(["", "10.0.0", "0177.0.0.1", "2130706433", "10.0.0.7 ", "fe80::1%eth0", "::g", "unknown"])(
    "%j is none",
    (text) => {
      expect(canonicalAddress(text)).toBeUndefined();
    },
  );

  test("bytes, the address and its text are one", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const canonical = canonicalAddress(text);
        expect(canonicalAddress(canonical ?? "")).toBe(canonical);
        const bytes = parseAsWritten(text)?.toByteArray() ?? [];
        expect(addressOfBytes(Uint8Array.from(bytes))?.toString()).toBe(canonical);
      }),
    );
  });
});

test("an IPv4 client of a socket that takes both families has its IPv4 address", async () => {
  const server = createServer({ pauseOnConnect: true }).listen({ host: "::", port: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  for (const address of ["127.0.0.1", "::1"]) {
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const client = connect(port, address);
    const [socket] = await accepted;
    expect(remoteAddressOf(socket)).toBe(address);
    client.destroy();
    socket.destroy();
  }
  server.close();
  expect(remoteAddressOf({})).toBe("");
});
