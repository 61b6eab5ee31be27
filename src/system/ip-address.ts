import { isIP, isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";

/** An address, parsed. */
export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * Parses an address as `node:net` knows it, and keeps its family. `undefined` for anything else, and for an address with a
 * zone.
 */
export function parseAsWritten(text: string): Address | undefined {
  // ipaddr.js alone would take `0177.1` and `2130706433` too.
  const family = isIP(text);
  if (family === 0 || text.includes("%")) return undefined;
  return ipaddr.parse(family === 6 && text.includes(".") ? hexadecimal(text) : text);
}

/** The same, but an IPv4 address in an IPv6 spelling (`::ffff:10.0.0.7`, RFC 4291 2.5.5.2) is an IPv4 one. */
export function parseAddress(text: string): Address | undefined {
  const address = parseAsWritten(text);
  return address && unmapped(address);
}

/** The address of 4 or 16 bytes in network order, IPv4 also where it is mapped into IPv6; `undefined` for other lengths. */
export function addressOfBytes(bytes: Uint8Array): Address | undefined {
  if (bytes.length !== 4 && bytes.length !== 16) return undefined;
  return unmapped(ipaddr.fromByteArray([...bytes]));
}

/** The one spelling of an address (RFC 5952; IPv4 also where it is mapped into IPv6); `undefined` when it is none. */
export function canonicalAddress(text: string): string | undefined {
  // Node takes no IPv4 address that is spelt in another way.
  return isIPv4(text) ? text : parseAddress(text)?.toString();
}

/**
 * The same for the address of a socket, which has one spelling already: only an IPv4 client of a socket that takes both
 * families looks like `::ffff:10.0.0.7`. Quick: it is asked for each connection. `""` when the socket knows none any more.
 */
export function remoteAddressOf({
  remoteAddress = "",
}: {
  readonly remoteAddress?: string | undefined;
}): string {
  return remoteAddress.startsWith("::ffff:") && remoteAddress.includes(".")
    ? remoteAddress.slice(7)
    : remoteAddress;
}

function unmapped(address: Address): Address {
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/** An IPv6 address without its dotted end: ipaddr.js 2.5.0 takes `::10.0.0.7` for `::ffff:10.0.0.7`. */
function hexadecimal(text: string): string {
  const start = text.lastIndexOf(":") + 1;
  const [a = 0, b = 0, c = 0, d = 0] = text.slice(start).split(".").map(Number);
  return `${text.slice(0, start)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}
