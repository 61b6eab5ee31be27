import { addressBits, type Cidr, cidrAt, contains, parseAddress, parseCidr } from "../cidr.ts";

/** Each pod IP stands for the block around it: 256 addresses, or an IPv6 subnet. */
const BLOCK_LENGTH = { 4: 24, 6: 64 } as const;

/**
 * The blocks that hold these pod IPs: /24 (IPv6: /64) around each, neighbours joined where they make up a whole larger block. What is no IP
 * is left out. In order: IPv4 first.
 */
export function cidrsOfPodIps(ips: Iterable<string>): readonly Cidr[] {
  const blocks = new Map<string, Cidr>();
  for (const ip of ips) {
    const address = parseAddress(ip);
    if (!address) continue;
    const block = cidrAt(address, BLOCK_LENGTH[address.family]);
    blocks.set(`${block.family} ${block.first}`, block);
  }
  return joined([...blocks.values()]);
}

/** Parses CIDRs that a person gave; the same one twice is one. Throws `NodeToolError` `invalid`. */
export function parseExpected(texts: readonly string[], what: string): readonly Cidr[] {
  const found = new Map<string, Cidr>();
  for (const text of texts) {
    const cidr = parseCidr(text, what);
    found.set(`${cidr.family} ${cidr.first}/${cidr.prefixLength}`, cidr);
  }
  return [...found.values()];
}

/** Addresses that no host elsewhere has: this network, loopback, link-local (IPv6: on every link), multicast, broadcast. */
const NEVER_ROUTED = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/127",
  "fe80::/10",
  "ff00::/8",
].map((text) => parseCidr(text, "a block"));

/**
 * The addresses of a CIDR that can be judged, in order: without the blocks inside it that no kernel routes. A CIDR that lies in such a block is
 * judged whole: someone named it.
 */
export function judgedParts(cidr: Cidr): readonly { readonly first: bigint; readonly last: bigint }[] {
  const blocks = NEVER_ROUTED.filter(
    (block) => contains(cidr, block) && block.prefixLength > cidr.prefixLength,
  ).toSorted((one, other) => (one.first < other.first ? -1 : 1));
  const parts: { first: bigint; last: bigint }[] = [];
  let next = cidr.first;
  for (const { first, last } of blocks) {
    if (last < next) continue;
    if (first > next) parts.push({ first: next, last: first - 1n });
    next = last + 1n;
  }
  if (next <= cidr.last) parts.push({ first: next, last: cidr.last });
  return parts;
}

/** Joins halves of one block, again and again; the blocks don't overlap. */
function joined(blocks: readonly Cidr[]): readonly Cidr[] {
  const result: Cidr[] = [];
  for (const block of blocks.toSorted(byAddress)) {
    let whole = block;
    for (let before = result.at(-1); before && areHalves(before, whole); before = result.at(-1)) {
      result.pop();
      whole = cidrAt({ family: before.family, value: before.first }, before.prefixLength - 1);
    }
    result.push(whole);
  }
  return result;
}

function areHalves(one: Cidr, other: Cidr): boolean {
  if (one.family !== other.family || one.prefixLength !== other.prefixLength || one.prefixLength === 0)
    return false;
  const size = 1n << BigInt(addressBits(one.family) - one.prefixLength);
  return one.first + size === other.first && one.first % (2n * size) === 0n;
}

function byAddress(one: Cidr, other: Cidr): number {
  if (one.family !== other.family) return one.family - other.family;
  return one.first < other.first ? -1 : one.first > other.first ? 1 : 0;
}
