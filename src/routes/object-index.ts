import { Entry, type Namespace } from "./entry.ts";
import type { IncarnationNumbers } from "./incarnations.ts";
import type { ObjectKey } from "./route.ts";
import type { Scope } from "./scope.ts";

/**
 * Finds entries by namespace and name. Two maps in place of one by `namespace/name`: such a key would have to be built,
 * hashed and kept for each object, 56 bytes and a third of the time of an update.
 */
export class ObjectIndex {
  readonly #namespaces = new Map<string, Namespace>();
  readonly #numbers: IncarnationNumbers;
  #size = 0;

  constructor(numbers: IncarnationNumbers) {
    this.#numbers = numbers;
  }

  /** How many entries there are. */
  get size(): number {
    return this.#size;
  }

  /** How many entries a namespace has. */
  sizeOf(namespace: string): number {
    return this.#namespaces.get(namespace)?.entries.size ?? 0;
  }

  get(namespace: string, name: string): Entry | undefined {
    return this.#namespaces.get(namespace)?.entries.get(name);
  }

  /** The entry of an object; a new one, which `scope` watches, when nothing is known of it yet. */
  getOrAdd(namespace: string, name: string, scope: Scope<Entry>): Entry {
    let home = this.#namespaces.get(namespace);
    if (home === undefined) {
      home = { name: namespace, scope, entries: new Map(), numbers: this.#numbers };
      this.#namespaces.set(namespace, home);
    }
    let entry = home.entries.get(name);
    if (entry === undefined) {
      entry = new Entry(home, name);
      home.entries.set(name, entry);
      this.#size++;
    }
    return entry;
  }

  /** Lets an entry go. One that was let go before, and may have a successor, is left alone. */
  remove(entry: Entry): void {
    const { namespace: home, name } = entry;
    if (home.entries.get(name) !== entry) return;
    home.entries.delete(name);
    this.#size--;
    if (home.entries.size === 0) this.#namespaces.delete(home.name);
  }

  /** The entries that `scope` watches. One may be removed while it is at hand. */
  *ofScope(scope: Scope<Entry>): Generator<Entry, void, undefined> {
    for (const home of this.#namespaces.values()) if (home.scope === scope) yield* home.entries.values();
  }

  /** The keys of all entries. */
  *keys(): Generator<ObjectKey, void, undefined> {
    for (const home of this.#namespaces.values()) for (const entry of home.entries.values()) yield entry.key;
  }
}
