import { asRouteInEffect, type Entry } from "./entry.ts";
import type { Lookup } from "./lookup.ts";
import type { Rules } from "./rules.ts";

/** Two or more objects under one ID. Rare, so it may cost a little more; but never more than each change is worth. */
class SharedId {
  readonly entries = new Set<Entry>();
  readonly living = new Set<Entry>();
  /** Counted as a conflict at this moment. */
  disputed = false;
  /** Made when it is asked for, and again after a change. */
  lookup: Lookup | undefined;
}

const UNKNOWN: Lookup = { kind: "unknown" };

/** Finds routes in effect by routing ID, ignoring case, since IDs travel in host names. */
export class IdIndex {
  readonly #slots = new Map<string, Entry | SharedId>();
  readonly #rules: Rules;
  /** How many slots are shared: mostly none, and then nothing need be looked up for a change of state. */
  #shared = 0;
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
    return slot instanceof SharedId ? (slot.lookup ??= this.#lookupOf(slot)) : asRouteInEffect(slot);
  }

  add(id: string, entry: Entry): void {
    const key = id.toLowerCase();
    const slot = this.#slots.get(key);
    if (slot === undefined || slot === entry) {
      this.#slots.set(key, entry);
    } else if (slot instanceof SharedId) {
      this.#join(slot, entry);
    } else {
      const shared = new SharedId();
      this.#slots.set(key, shared);
      this.#shared++;
      this.#join(shared, slot);
      this.#join(shared, entry);
    }
  }

  remove(id: string, entry: Entry): void {
    const key = id.toLowerCase();
    const slot = this.#slots.get(key);
    if (slot === entry) {
      this.#slots.delete(key);
    } else if (slot instanceof SharedId && slot.entries.delete(entry)) {
      slot.living.delete(entry);
      this.#changed(slot);
      const [only] = slot.entries;
      if (only && slot.entries.size === 1) {
        this.#slots.set(key, only);
        this.#shared--;
      }
    }
  }

  /** To be called after the state of an entry under `id` changed. */
  touch(id: string, entry: Entry): void {
    const slot = this.#shared === 0 ? undefined : this.#slots.get(id.toLowerCase());
    if (slot instanceof SharedId) this.#join(slot, entry);
  }

  #join(slot: SharedId, entry: Entry): void {
    slot.entries.add(entry);
    if (this.#rules.isTerminal(entry.state)) slot.living.delete(entry);
    else slot.living.add(entry);
    this.#changed(slot);
  }

  #changed(slot: SharedId): void {
    slot.lookup = undefined;
    const disputed = slot.living.size > 0 && this.#rules.idHolder(slot.living.size) === undefined;
    this.#conflicts += Number(disputed) - Number(slot.disputed);
    slot.disputed = disputed;
  }

  #lookupOf({ entries, living, disputed }: SharedId): Lookup {
    if (disputed) return { kind: "id_conflict", keys: [...living].map((entry) => entry.key).sort() };
    // With nobody alive, any of the dead tells the client what it needs to know.
    const candidates = living.size > 0 ? [...living] : [...entries];
    const served = candidates[this.#rules.idHolder(1) ?? 0];
    return served ? asRouteInEffect(served) : UNKNOWN;
  }
}
