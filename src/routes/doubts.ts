import { oneSpelling } from "./ip-index.ts";
import type { RouteInEffect } from "./lookup.ts";
import { hasPod, type Route } from "./route.ts";

/** What a sandbox in doubt may soon have, by what peers pushed of it: requests for these IDs and to these pod IPs are held. */
export interface DoubtNames {
  /** In lower case. */
  readonly ids: readonly string[];
  /** In one spelling. */
  readonly ips: readonly string[];
}

/** A peer may push as many updates of one key as it likes; the latest so many IDs and IPs of them hold requests. */
const MAX_NAMES = 16;

const NO_NAMES: DoubtNames = { ids: [], ips: [] };

/**
 * The sandboxes of which peers pushed something that no read of the API server has settled yet
 * (docs/route-table.md#rule-12), the oldest doubt first, and which requests are held for them. `K` stands for a sandbox.
 */
export class Doubts<K> {
  readonly #doubts = new Map<K, DoubtNames>();
  readonly #ids = new NameCounts();
  readonly #ips = new NameCounts();

  get size(): number {
    return this.#doubts.size;
  }

  /** The one that began first. */
  get oldest(): K | undefined {
    for (const key of this.#doubts.keys()) return key;
    return undefined;
  }

  namesOf(key: K): DoubtNames | undefined {
    return this.#doubts.get(key);
  }

  keys(): Iterable<K> {
    return this.#doubts.keys();
  }

  /** Begins a doubt, or keeps one that has begun. */
  begin(key: K): void {
    if (!this.#doubts.has(key)) this.#doubts.set(key, NO_NAMES);
  }

  /** Another update was pushed of a sandbox in doubt. */
  note(key: K, { id, ip, state }: Pick<Route, "id" | "ip" | "state">): void {
    const names = this.#doubts.get(key);
    if (names === undefined) return;
    const podIp = podIpOf({ ip, state });
    this.set(key, { ids: withName(names.ids, id.toLowerCase()), ips: withName(names.ips, podIp) });
  }

  /** Sets what a doubt names, and begins it if need be. */
  set(key: K, names: DoubtNames): void {
    const before = this.#doubts.get(key) ?? NO_NAMES;
    this.#count(before, -1);
    this.#doubts.set(key, names);
    this.#count(names, 1);
  }

  /** Ends a doubt; false when there was none. */
  end(key: K): boolean {
    const names = this.#doubts.get(key);
    if (names === undefined) return false;
    this.#doubts.delete(key);
    this.#count(names, -1);
    return true;
  }

  /**
   * Whether a request is to be held that asks for `id` and would be answered by `found`, which is `key`'s: while the sandbox
   * itself is in doubt, or the pod IP that the request would be sent to; and where no pod would answer, while a sandbox in
   * doubt may soon have that ID.
   */
  hold(id: string, key: K | undefined, found: RouteInEffect | undefined): boolean {
    if (key !== undefined && this.#doubts.has(key)) return true;
    if (found?.incarnation === undefined) return this.#ids.has(id.toLowerCase());
    const spelt = oneSpelling(found.incarnation.ip);
    return spelt !== undefined && this.#ips.has(spelt);
  }

  #count({ ids, ips }: DoubtNames, change: 1 | -1): void {
    for (const id of ids) this.#ids.add(id, change);
    for (const ip of ips) this.#ips.add(ip, change);
  }
}

/** Counts how many doubts name an ID or an IP. */
class NameCounts {
  readonly #counts = new Map<string, number>();

  has(name: string): boolean {
    return this.#counts.has(name);
  }

  add(name: string, change: 1 | -1): void {
    const count = (this.#counts.get(name) ?? 0) + change;
    if (count > 0) this.#counts.set(name, count);
    else this.#counts.delete(name);
  }
}

/** The pod IP that a route would hold, in one spelling. */
export function podIpOf({ ip, state }: Pick<Route, "ip" | "state">): string | undefined {
  return hasPod(state) ? oneSpelling(ip) : undefined;
}

/** The names with one more; of very many the latest. */
export function withName(names: readonly string[], name: string | undefined): readonly string[] {
  if (name === undefined || names.includes(name)) return names;
  return [...names.slice(-MAX_NAMES + 1), name];
}
