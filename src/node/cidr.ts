import ipaddr from "ipaddr.js";
import { parseAsWritten } from "../system/ip-address.ts";
import { NodeToolError } from "./node-tool-error.ts";

/** 4 or 6. */
export type IpFamily = 4 | 6;

/** An address as a number: what routes are compared by. */
export interface IpAddress {
  readonly family: IpFamily;
  /** 0 to 2^32-1, or to 2^128-1. */
  readonly value: bigint;
}

/** An aligned block of addresses. */
export interface Cidr {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
  /** 0 to 32, or to 128. */
  readonly prefixLength: number;
}

const BITS = { 4: 32, 6: 128 } as const;

/** Bits of an address of `family`. */
export function addressBits(family: IpFamily): 32 | 128 {
  return BITS[family];
}

/**
 * Parses an address as iproute2 prints it, and as a person should write it: four decimal numbers without leading zeros (iproute2
 * takes `010` for octal), or RFC 4291 section 2.2. Returns `undefined` for anything else, zone IDs included.
 */
export function parseAddress(text: string): IpAddress | undefined {
  const address = parseAsWritten(text);
  if (!address) return undefined;
  const value = BigInt(`0x${Buffer.from(address.toByteArray()).toString("hex")}`);
  return { family: address.kind() === "ipv4" ? 4 : 6, value };
}

/**
 * Parses `address/length`, or an address alone for a block of one. The address must be aligned: no bit set beyond the
 * length. Throws {@link NodeToolError} `invalid` that names `what`, with the fix.
 */
export function parseCidr(text: string, what: string): Cidr {
  const slash = text.indexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (!address) {
    throw new NodeToolError("invalid", `${what} ${JSON.stringify(text)} is no address or CIDR`, {
      fix: "write four decimal numbers without leading zeros, or an IPv6 address, and /length: 10.0.0.0/8",
    });
  }
  const bits = BITS[address.family];
  const lengthText = slash < 0 ? String(bits) : text.slice(slash + 1);
  const prefixLength = /^(0|[1-9]\d{0,2})$/.test(lengthText) ? Number(lengthText) : bits + 1;
  if (prefixLength > bits) {
    throw new NodeToolError("invalid", `${what} ${JSON.stringify(text)} has a bad prefix length`, {
      fix: `a number from 0 to ${bits} belongs after the slash`,
    });
  }
  const cidr = cidrAt(address, prefixLength);
  if (cidr.first !== address.value) {
    throw new NodeToolError("invalid", `${what} ${JSON.stringify(text)} is not aligned to its length`, {
      fix: `write ${formatCidr(cidr)}`,
    });
  }
  return cidr;
}

/** The block of `prefixLength` that `address` lies in. */
export function cidrAt({ family, value }: IpAddress, prefixLength: number): Cidr {
  const hostBits = BigInt(BITS[family] - prefixLength);
  const first = (value >> hostBits) << hostBits;
  return { family, first, last: first + (1n << hostBits) - 1n, prefixLength };
}

/** Whether all of `inner` lies in `outer`. */
export function contains(outer: Cidr, inner: Cidr | IpAddress): boolean {
  if (outer.family !== inner.family) return false;
  const [first, last] = "value" in inner ? [inner.value, inner.value] : [inner.first, inner.last];
  return outer.first <= first && last <= outer.last;
}

/** Whether two blocks share an address. Blocks are nested or apart, never half in each other. */
export function overlaps(one: Cidr, other: Cidr): boolean {
  return one.family === other.family && one.first <= other.last && other.first <= one.last;
}

/** The fewest blocks that hold exactly the addresses `first` to `last`, in order. */
export function cidrsOfRange(family: IpFamily, first: bigint, last: bigint): readonly Cidr[] {
  const blocks: Cidr[] = [];
  for (let from = first; from <= last;) {
    let hostBits = 0;
    // The largest that begins here and ends in time.
    while (hostBits < BITS[family]) {
      const size = 1n << BigInt(hostBits + 1);
      if (from % size !== 0n || from + size - 1n > last) break;
      hostBits += 1;
    }
    blocks.push(cidrAt({ family, value: from }, BITS[family] - hostBits));
    from += 1n << BigInt(hostBits);
  }
  return blocks;
}

/** `10.0.0.0/8`; the length is always there. IPv6 as RFC 5952 writes it. */
export function formatCidr({ family, first, prefixLength }: Cidr): string {
  return `${formatAddress({ family, value: first })}/${prefixLength}`;
}

/** The address as text; IPv6 as RFC 5952 writes it, without an embedded IPv4 form. */
export function formatAddress({ family, value }: IpAddress): string {
  const digits = value.toString(16).padStart(BITS[family] / 4, "0");
  return ipaddr.fromByteArray([...Buffer.from(digits, "hex")]).toString();
}
