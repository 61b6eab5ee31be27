import { isIP, SocketAddress } from "node:net";
import type { Entry } from "./entry.ts";
import { compareResourceVersions } from "./resource-version.ts";
import type { IpHold, Rules } from "./rules.ts";

/**
 * An IP with more holders than this is served for none of them. Two or three may hold one for a moment; a crowd is a
 * fault, or pods on the host network with the rule left on, and must not cost time that grows with its square.
 */
const CROWD = 16;

/** Several holders of one IP, and the one of them that is served. */
class SharedIp {
  readonly holders = new Set<Entry>();
  served: Entry | undefined;
}

/** Which routes hold which pod IP, and who may be served behind an IP that several hold (rule 10). */
export class IpIndex {
  readonly #slots = new Map<string, Entry | SharedIp>();
  /** Held by several, but by no crowd. */
  readonly #contested = new Set<string>();
  readonly #rules: Rules;
  readonly #holdOf: (entry: Entry) => IpHold;
  #conflicts = 0;

  /** `holdOf` tells since when an entry has its IP; it is asked anew for each decision. */
  constructor(rules: Rules, holdOf: (entry: Entry) => IpHold) {
    this.#rules = rules;
    this.#holdOf = holdOf;
  }

  /** How many IPs more than one route holds at this moment. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** The IPs for which a moved watermark may change who is served. */
  get contested(): ReadonlySet<string> {
    return this.#contested;
  }

  add(ip: string, entry: Entry): void {
    const slot = this.#slots.get(ip);
    if (slot === undefined || slot === entry) {
      this.#slots.set(ip, entry);
    } else if (slot instanceof SharedIp) {
      slot.holders.add(entry);
      this.#classify(ip, slot);
    } else {
      const shared = new SharedIp();
      shared.holders.add(slot).add(entry);
      shared.served = slot;
      this.#slots.set(ip, shared);
      this.#conflicts++;
      this.#classify(ip, shared);
    }
  }

  /** Says whether others still hold the IP. */
  remove(ip: string, entry: Entry): "free" | "held" {
    const slot = this.#slots.get(ip);
    if (slot === entry) {
      this.#slots.delete(ip);
    } else if (slot instanceof SharedIp && slot.holders.delete(entry)) {
      if (slot.served === entry) slot.served = undefined;
      this.#classify(ip, slot);
      if (slot.holders.size > 0) return "held";
      this.#slots.delete(ip);
      this.#conflicts--;
    }
    return "free";
  }

  /** Who holds the IP. */
  holdersOf(ip: string): Iterable<Entry> {
    const slot = this.#slots.get(ip);
    if (slot instanceof SharedIp) return slot.holders;
    return slot ? [slot] : [];
  }

  /** Whether more than one holds the IP, or did until the last decision. */
  isShared(ip: string): boolean {
    return this.#slots.get(ip) instanceof SharedIp;
  }

  /**
   * Decides anew who is served behind `ip`: the only holder, or the one that surely took it later than every other.
   * `before` is who was served until now, unless it has let go.
   */
  decide(ip: string): { readonly before: Entry | undefined; readonly now: Entry | undefined } {
    const slot = this.#slots.get(ip);
    if (!(slot instanceof SharedIp)) return { before: slot, now: slot };
    const before = slot.served;
    const now = slot.holders.size > CROWD ? undefined : this.#latest(slot.holders);
    slot.served = now;
    const [only] = slot.holders;
    if (only && slot.holders.size === 1) {
      this.#slots.set(ip, only);
      this.#conflicts--;
    }
    return { before, now };
  }

  #latest(holders: ReadonlySet<Entry>): Entry | undefined {
    let latest: { entry: Entry; hold: IpHold } | undefined;
    const holds = new Map<Entry, IpHold>();
    for (const entry of holders) {
      const hold = this.#holdOf(entry);
      holds.set(entry, hold);
      if (!latest || compareResourceVersions(latest.hold.after, hold.after) < 0) latest = { entry, hold };
    }
    if (!latest) return undefined;
    const { provider } = latest.entry.scope;
    // Only the one with the highest `after` can be later than all others.
    for (const [entry, hold] of holds) {
      if (entry === latest.entry) continue;
      if (!this.#rules.areComparable(provider, entry.scope.provider)) return undefined;
      if (!this.#rules.tookIpLater(latest.hold, hold)) return undefined;
    }
    return latest.entry;
  }

  #classify(ip: string, { holders }: SharedIp): void {
    if (holders.size > 1 && holders.size <= CROWD) this.#contested.add(ip);
    else this.#contested.delete(ip);
  }
}

/**
 * A pod IP in the one spelling by which it is compared, or `undefined` when it is no IP: an IPv6 address has many, and an
 * IPv4 one may wear a prefix (RFC 4291 2.5.5.2).
 */
export function oneSpelling(ip: string): string | undefined {
  switch (isIP(ip)) {
    case 4:
      return ip;
    case 6:
      return new SocketAddress({ address: ip, family: "ipv6" }).address.replace(/^::ffff:(?=\d+\.)/, "");
    default:
      return undefined;
  }
}
