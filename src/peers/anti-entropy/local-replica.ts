import type { ObjectFacts } from "../../routes/object-facts.ts";
import { providerOf } from "../../routes/provider.ts";
import type { ObjectKey } from "../../routes/route.ts";
import type { ScopeStats } from "../../routes/table-view.ts";
import { RangeDigests } from "./range-digests.ts";
import type { FactsPage, ReplicaDigest } from "./replica.ts";
import { agreementText, offeredFact, type ReplicaFact, type ReplicaScope } from "./replica-fact.ts";

/** What a replica needs of its route table. */
export interface ReplicaTable {
  keys(): Iterable<ObjectKey>;
  factsOf(key: ObjectKey): ObjectFacts | undefined;
  watchFacts(watcher: (namespace: string, name: string) => void): () => void;
  stats(): { readonly scopes: readonly ScopeStats[] };
}

/** Options of {@link LocalReplica}. */
export interface LocalReplicaOptions {
  readonly table: ReplicaTable;
  /** Whether an informer writes the table. */
  readonly watched: boolean;
  readonly selector: string;
  /** See `ReplicaDigest`. */
  readonly instance: string;
}

/** What a page of facts holds at most: so many objects, or characters of their texts. */
const MAX_FACTS = 500;
const MAX_PAGE_CHARACTERS = 512 * 1024;

/** This replica: digests of its table, kept up to date with each mutation, and the facts that it offers. */
export class LocalReplica {
  readonly #options: LocalReplicaOptions;
  readonly #digests = new RangeDigests();
  readonly #stop: () => void;

  constructor(options: LocalReplicaOptions) {
    this.#options = options;
    const { table } = options;
    const take = (key: ObjectKey): void => {
      // Only objects of the first CRD can be pushed, and so repaired.
      if (providerOf(key) === "") this.#digests.set(key, agreementText(table.factsOf(key)));
    };
    for (const key of table.keys()) take(key);
    this.#stop = table.watchFacts((namespace, name) => take(`${namespace}/${name}`));
  }

  get scopes(): readonly ReplicaScope[] {
    const { table, watched } = this.#options;
    const scopes = table.stats().scopes.filter(({ name }) => providerOf(name) === "");
    return scopes.map(({ name, watermark }) => ({ name, watched, watermark }));
  }

  digest(): ReplicaDigest {
    const { instance, selector } = this.#options;
    const { root, branches } = this.#digests;
    return { instance, selector, scopes: this.scopes, root, branches };
  }

  leaves(branch: number): readonly string[] {
    return this.#digests.leavesOf(branch);
  }

  /** The keys of some leaves above `after`, in order. */
  keys(leaves: readonly number[], after: string | undefined): ObjectKey[] {
    const keys = leaves.flatMap((leaf) => [...this.#digests.keysOf(leaf)]);
    return keys.filter((key) => after === undefined || key > after).sort();
  }

  factsOf(key: ObjectKey): ObjectFacts | undefined {
    return this.#options.table.factsOf(key);
  }

  facts(leaves: readonly number[], after: string | undefined): FactsPage {
    const { watched } = this.#options;
    const facts: ReplicaFact[] = [];
    let characters = 0;
    const keys = this.keys(leaves, after);
    for (const [index, key] of keys.entries()) {
      const known = this.factsOf(key);
      const offered = known && offeredFact(known, watched);
      if (!offered) continue;
      facts.push(offered);
      characters += JSON.stringify(offered).length;
      if ((facts.length >= MAX_FACTS || characters >= MAX_PAGE_CHARACTERS) && index < keys.length - 1)
        return { scopes: this.scopes, facts, next: key };
    }
    return { scopes: this.scopes, facts, next: undefined };
  }

  /** Follows the table no more. */
  stop(): void {
    this.#stop();
  }
}

/** The scope of a namespace among some. */
export function scopeIn(scopes: readonly ReplicaScope[], namespace: string): ReplicaScope | undefined {
  return scopes.find(({ name }) => name === "" || name === namespace);
}
