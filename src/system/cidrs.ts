import ipaddr from "ipaddr.js";
import { type Address, parseAddress, parseAsWritten } from "./ip-address.ts";

/** A block of addresses. */
export interface Cidr {
  /** As a person wrote it. */
  readonly text: string;
  readonly base: Address;
  /** 0 to 32, or to 128. */
  readonly length: number;
}

/**
 * Whether `text` is an address, or a CIDR whose address has no bit set beyond the length: what a person must write where
 * {@link parseCidr} reads it.
 */
export function isAlignedCidr(text: string): boolean {
  const [address = "", lengthText, ...more] = text.split("/");
  // The family as it is written: in ::ffff:10.0.0.0/104 the length counts the bits of an IPv6 address.
  const bytes = parseAsWritten(address)?.toByteArray();
  if (bytes === undefined || more.length > 0) return false;
  if (lengthText === undefined) return true;
  const length = /^(0|[1-9]\d{0,2})$/.test(lengthText) ? Number(lengthText) : Infinity;
  const isSetBeyond = bytes.some(
    (byte, index) => (byte & (0xff >> Math.min(8, Math.max(0, length - 8 * index)))) !== 0,
  );
  return length <= 8 * bytes.length && !isSetBeyond;
}

/**
 * Parses `address/length`, or an address alone for a block of one. Throws for anything else: the schema has let only
 * right ones pass.
 */
export function parseCidr(text: string): Cidr {
  const [address = "", lengthText] = text.split("/");
  const base = parseAddress(address);
  if (!base) throw new Error(`${JSON.stringify(text)} is no CIDR`);
  const written = lengthText === undefined ? undefined : Number(lengthText);
  const bits = bitsOf(base);
  // Of a block of IPv4 addresses in their IPv6 spelling the first 96 bits are the prefix.
  const length = written === undefined ? bits : address.includes(":") ? written - (128 - bits) : written;
  if (!(length >= 0 && length <= bits)) throw new Error(`${JSON.stringify(text)} is no CIDR`);
  return { text, base, length };
}

/** 32 or 128. */
export function bitsOf(address: Address): 32 | 128 {
  return address.kind() === "ipv4" ? 32 : 128;
}

/** Whether `address` is one of `cidr`. */
export function isIn(address: Address, { base, length }: Cidr): boolean {
  if (address instanceof ipaddr.IPv4) return base instanceof ipaddr.IPv4 && address.match(base, length);
  return base instanceof ipaddr.IPv6 && address.match(base, length);
}

/** Whether every address of `inner` is one of `outer`. */
export function isWithin(inner: Cidr, outer: Cidr): boolean {
  return inner.length >= outer.length && isIn(inner.base, outer);
}

/** Whether an address of a socket is one of `cidrs`, for each that is asked. A zone makes no difference. */
export function addressIn(cidrs: readonly string[]): (text: string) => boolean {
  const parsed = cidrs.map(parseCidr);
  return (text) => {
    const address = parseAddress(text.replace(/%.*/, ""));
    return address !== undefined && parsed.some((cidr) => isIn(address, cidr));
  };
}
