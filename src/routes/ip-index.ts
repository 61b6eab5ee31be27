import type { Entry } from "./entry.ts";
import { compareResourceVersions } from "./resource-version.ts";
import type { IpHold, Rules } from "./rules.ts";

/** Which routes hold which pod IP, and who may be served behind an IP that several hold (rule 10). */
export class IpIndex {
  readonly #holders = new Map<string, Entry | Set<Entry>>();
  readonly #conflicted = new Set<string>();
  readonly #rules: Rules;
  readonly #holdOf: (entry: Entry) => IpHold;

  /** `holdOf` tells since when an entry has its IP; it is asked anew for each decision. */
  constructor(rules: Rules, holdOf: (entry: Entry) => IpHold) {
    this.#rules = rules;
    this.#holdOf = holdOf;
  }

  /** The IPs that more than one route holds at this moment. */
  get conflicted(): ReadonlySet<string> {
    return this.#conflicted;
  }

  add(ip: string, entry: Entry): void {
    const held = this.#holders.get(ip);
    if (held === undefined || held === entry) {
      this.#holders.set(ip, entry);
    } else if (held instanceof Set) {
      held.add(entry);
    } else {
      this.#holders.set(ip, new Set([held, entry]));
      this.#conflicted.add(ip);
    }
  }

  remove(ip: string, entry: Entry): void {
    const held = this.#holders.get(ip);
    if (held === entry) {
      this.#holders.delete(ip);
    } else if (held instanceof Set && held.delete(entry)) {
      const [only] = held;
      if (only !== undefined && held.size === 1) {
        this.#holders.set(ip, only);
        this.#conflicted.delete(ip);
      }
    }
  }

  /** All routes that hold `ip`. */
  holders(ip: string): readonly Entry[] {
    const held = this.#holders.get(ip);
    if (held === undefined) return [];
    return held instanceof Set ? [...held] : [held];
  }

  /** The one holder of `ip` that may be served: alone, or surely later than every other. */
  served(ip: string): Entry | undefined {
    const held = this.#holders.get(ip);
    if (!(held instanceof Set)) return held;
    let latest: { entry: Entry; hold: IpHold } | undefined;
    const holds = new Map<Entry, IpHold>();
    for (const entry of held) {
      const hold = this.#holdOf(entry);
      holds.set(entry, hold);
      if (!latest || compareResourceVersions(latest.hold.after, hold.after) < 0) latest = { entry, hold };
    }
    // Only the one with the highest `after` can be later than all others.
    for (const [entry, hold] of holds) {
      if (latest && entry !== latest.entry && !this.#rules.tookIpLater(latest.hold, hold)) return undefined;
    }
    return latest?.entry;
  }
}
