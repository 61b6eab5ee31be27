import { asRouteInEffect, type Entry } from "./entry.ts";
import type { Lookup } from "./lookup.ts";
import type { Rules } from "./rules.ts";

/** Two or more objects under one ID. Rare, so it may cost a little more. */
class SharedId {
  readonly entries = new Set<Entry>();
  lookup: Lookup = { kind: "unknown" };
}

const UNKNOWN: Lookup = { kind: "unknown" };

/** Finds routes in effect by routing ID, ignoring case, since IDs travel in host names. */
export class IdIndex {
  readonly #slots = new Map<string, Entry | SharedId>();
  readonly #rules: Rules;
  #conflicts = 0;

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  /** How many IDs are claimed by more than one living object. */
  get conflicts(): number {
    return this.#conflicts;
  }

  /** One map read for an ID in lower case, as the router asks; one more for any other. */
  lookup(id: string): Lookup {
    const slot = this.#slots.get(id) ?? this.#slots.get(id.toLowerCase());
    if (slot === undefined) return UNKNOWN;
    return slot instanceof SharedId ? slot.lookup : asRouteInEffect(slot);
  }

  add(id: string, entry: Entry): void {
    const key = id.toLowerCase();
    const slot = this.#slots.get(key);
    if (slot === undefined) {
      this.#slots.set(key, entry);
    } else if (slot instanceof SharedId) {
      slot.entries.add(entry);
      this.#resolve(slot);
    } else if (slot !== entry) {
      const shared = new SharedId();
      shared.entries.add(slot).add(entry);
      this.#slots.set(key, shared);
      this.#resolve(shared);
    }
  }

  remove(id: string, entry: Entry): void {
    const key = id.toLowerCase();
    const slot = this.#slots.get(key);
    if (slot === entry) {
      this.#slots.delete(key);
    } else if (slot instanceof SharedId && slot.entries.delete(entry)) {
      this.#resolve(slot);
      const [only] = slot.entries;
      if (only !== undefined && slot.entries.size === 1) this.#slots.set(key, only);
    }
  }

  /** Decides anew who is served under `id`, after the state of an entry under it changed. */
  touch(id: string): void {
    const slot = this.#slots.get(id.toLowerCase());
    if (slot instanceof SharedId) this.#resolve(slot);
  }

  #resolve(slot: SharedId): void {
    const before = slot.lookup;
    const entries = [...slot.entries];
    const living = entries.filter((entry) => !this.#rules.isTerminal(entry.state));
    // With nobody alive, any of the dead tells the client what it needs to know.
    const candidates = living.length > 0 ? living : entries.slice(0, 1);
    const holder = this.#rules.idHolder(candidates.length);
    const served = holder === undefined ? undefined : candidates[holder];
    slot.lookup = served
      ? asRouteInEffect(served)
      : { kind: "id-conflict", keys: candidates.map((entry) => entry.key).sort() };
    this.#conflicts += Number(slot.lookup.kind === "id-conflict") - Number(before.kind === "id-conflict");
  }
}
