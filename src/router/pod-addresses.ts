import { isIP } from "node:net";
import { bitsOf, type Cidr, isIn, isWithin, parseCidr } from "../system/cidrs.ts";
import { parseAddress } from "../system/ip-address.ts";

/** A range that no pod has its IP from, unless `routes.podCidrs` names it. */
interface SpecialRange {
  readonly cidr: Cidr;
  /** For people. */
  readonly what: string;
}

const special = (what: string, ...cidrs: readonly string[]): readonly SpecialRange[] =>
  cidrs.map((cidr) => ({ cidr: parseCidr(cidr), what }));

const LOOPBACK = special("loopback", "127.0.0.0/8", "::1/128");

/**
 * Addresses that mean the host itself, everybody, nobody or a translator (IANA's special-purpose registries, RFC 6890),
 * and those where clouds serve credentials to whoever asks. An IPv4 address in IPv6 spelling is judged as IPv4.
 *
 * Not here, as real clusters give them to pods: private ranges, shared address space (100.64.0.0/10), benchmarking
 * (198.18.0.0/15) and the reserved 240.0.0.0/4.
 */
const SPECIAL_RANGES: readonly SpecialRange[] = [
  ...LOOPBACK,
  // A connection to 0.0.0.0 or :: reaches the host itself.
  ...special("unspecified", "0.0.0.0/8", "::/128"),
  ...special("link-local", "169.254.0.0/16", "fe80::/10"),
  ...special("multicast", "224.0.0.0/4", "ff00::/8"),
  ...special("broadcast", "255.255.255.255/32"),
  // RFC 5737, RFC 3849, RFC 9637.
  ...special(
    "documentation",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "2001:db8::/32",
    "3fff::/20",
  ),
  // Each holds an IPv4 address that a translator or tunnel would reach: IPv4-compatible (RFC 4291 2.5.5.1), IPv4-translated
  // (RFC 2765), NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380), 6to4 (RFC 3056).
  ...special(
    "embedded IPv4",
    "::/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2001::/32",
    "2002::/16",
  ),
  // Of Alibaba Cloud, Azure, AWS and Google Cloud. Most others are link-local.
  ...special(
    "cloud metadata",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
  ),
];

/** Blocks whose answer is remembered: most pods of a node share one. Above, all are forgotten. */
const MAX_BLOCKS = 16_384;
const BLOCK_LENGTH = { 32: 24, 128: 112 } as const;

/**
 * Which addresses pods can have (docs/route-table.md#rule-13). Whatever a writer of routes says, a request must never be
 * sent to the router itself or to what only the router may reach.
 *
 * - An address of a {@link SPECIAL_RANGES} range is no pod's, unless an entry of `podCidrs` that lies within that range
 *   holds it. So `0.0.0.0/0` does not allow loopback, and `127.0.0.0/8` does.
 * - An address of the router itself (`own`) is no pod's, unless `podCidrs` has that very address (`10.0.0.7/32`).
 * - With `podCidrs`, no other address is a pod's.
 */
export class PodAddresses {
  readonly #podCidrs: readonly Cidr[];
  readonly #special: readonly SpecialRange[];
  /** By the text before the last separator: the answer for all of its /24 or /112; `undefined`: each has its own. */
  readonly #blocks = new Map<string, boolean | undefined>();

  /** `podCidrs`: CIDRs; none allows all that are not special. `own`: addresses of the router. */
  constructor(podCidrs: readonly string[], own: readonly string[]) {
    this.#podCidrs = podCidrs.map(parseCidr);
    const ownRanges = own
      .filter((ip) => parseAddress(ip))
      .map((ip) => ({ cidr: parseCidr(ip), what: "this router's own" }))
      // Every host has them, and all of 127.0.0.0/8: they are judged as what they are.
      .filter(({ cidr }) => !LOOPBACK.some((loopback) => isWithin(cidr, loopback.cidr)));
    this.#special = [...ownRanges, ...SPECIAL_RANGES];
  }

  /** Entries of `podCidrs` that allow special addresses. */
  get allowedSpecial(): readonly string[] {
    return this.#podCidrs
      .filter((cidr) => SPECIAL_RANGES.some((range) => isWithin(cidr, range.cidr)))
      .map(({ text }) => text);
  }

  /** Whether a pod can have the IP `text`. False for what is no IP. Quick: it is asked for each change of each route. */
  allows(text: string): boolean {
    const family = isIP(text);
    // The last part of `::ffff:10.0.0.7` is longer than a group.
    if (family === 0 || (family === 6 && text.includes("."))) return this.refusalOf(text) === undefined;
    const block = text.slice(0, text.lastIndexOf(family === 4 ? "." : ":"));
    const known = this.#blocks.get(block);
    if (known !== undefined) return known;
    const isAllowed = this.refusalOf(text) === undefined;
    if (!this.#blocks.has(block)) {
      if (this.#blocks.size >= MAX_BLOCKS) this.#blocks.clear();
      this.#blocks.set(block, this.#isCut(text) ? undefined : isAllowed);
    }
    return isAllowed;
  }

  /** Why no pod can have the IP `text`, for people; `undefined` when one can. */
  refusalOf(text: string): string | undefined {
    const address = parseAddress(text);
    if (!address) return "not an IP address";
    const named = this.#podCidrs.filter((cidr) => isIn(address, cidr));
    const range = this.#special.find(
      ({ cidr }) => isIn(address, cidr) && !named.some((one) => isWithin(one, cidr)),
    );
    if (range) return range.what;
    return this.#podCidrs.length > 0 && named.length === 0 ? "outside routes.podCidrs" : undefined;
  }

  /** Whether addresses that differ from `text` in the last part only may be judged otherwise. */
  #isCut(text: string): boolean {
    const address = parseAddress(text);
    if (!address || text.includes(":") !== (address.kind() === "ipv6")) return true;
    const block: Cidr = { text, base: address, length: BLOCK_LENGTH[bitsOf(address)] };
    const isPart = (cidr: Cidr): boolean => cidr.length > block.length && isIn(cidr.base, block);
    return this.#podCidrs.some(isPart) || this.#special.some(({ cidr }) => isPart(cidr));
  }
}
