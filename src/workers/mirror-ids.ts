import type { Incarnation, Lookup, RouteInEffect } from "../routes/lookup.ts";
import { isTerminal, type ObjectKey, type Route } from "../routes/route.ts";

/** A route in effect, handed out as it is: a lookup allocates nothing. */
export class MirroredRoute implements RouteInEffect {
  readonly kind = "found";
  readonly key: ObjectKey;
  route: Route;
  state = "";
  incarnation: Incarnation | undefined = undefined;
  ipReassigned = false;
  /** The incarnation that ended as paused and that the sandbox has not been heard of since. */
  resting: Incarnation | undefined = undefined;

  constructor(key: ObjectKey, route: Route) {
    this.key = key;
    this.route = route;
  }

  get access(): string | undefined {
    return this.route.access;
  }

  get previewEpoch(): string | undefined {
    return this.route.previewEpoch;
  }
}

/** Several objects under one ID. */
class SharedId {
  readonly entries = new Set<MirroredRoute>();
  /** Made when it is asked for, and again after a change. */
  lookup: Lookup | undefined;
}

const UNKNOWN: Lookup = { kind: "unknown" };

/** Finds mirrored routes by routing ID, ignoring case; an ID of several living objects is a conflict (rule 9). */
export class MirrorIds {
  readonly #slots = new Map<string, MirroredRoute | SharedId>();

  /** One map read for an ID in lower case, as the router asks; one more for any other. */
  lookup(id: string): Lookup {
    const slot = this.#slots.get(id) ?? this.#slots.get(id.toLowerCase());
    if (slot === undefined) return UNKNOWN;
    return slot instanceof SharedId ? (slot.lookup ??= lookupOf(slot)) : slot;
  }

  /** To be called when an entry is new and when its state has changed. */
  put(entry: MirroredRoute): void {
    const key = entry.route.id.toLowerCase();
    const slot = this.#slots.get(key);
    if (slot === undefined) this.#slots.set(key, entry);
    else if (slot instanceof SharedId) {
      slot.entries.add(entry);
      slot.lookup = undefined;
    } else if (slot !== entry) {
      const shared = new SharedId();
      shared.entries.add(slot).add(entry);
      this.#slots.set(key, shared);
    }
  }

  /** To be called before an entry goes, or gets another ID. */
  remove(entry: MirroredRoute): void {
    const key = entry.route.id.toLowerCase();
    const slot = this.#slots.get(key);
    if (slot === entry) this.#slots.delete(key);
    else if (slot instanceof SharedId && slot.entries.delete(entry)) {
      slot.lookup = undefined;
      const [only] = slot.entries;
      if (only && slot.entries.size === 1) this.#slots.set(key, only);
    }
  }
}

function lookupOf({ entries }: SharedId): Lookup {
  const living = [...entries].filter(({ state }) => !isTerminal(state));
  if (living.length > 1) return { kind: "id_conflict", keys: living.map(({ key }) => key).sort() };
  // With nobody alive, any of the dead tells the client what it needs to know.
  const [found = UNKNOWN] = living.length > 0 ? living : entries;
  return found;
}
