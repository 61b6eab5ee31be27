import type { ObjectStore } from "./object-store.ts";
import type { Random } from "./random.ts";
import { pooledSandbox } from "./sandbox-template.ts";
import { isPooled, isReady, POOL_LABEL, type StoredSandbox } from "./sandbox.ts";

/** A pool of sandboxes that are ready before anybody asks. */
export interface PoolOptions {
  readonly namespace: string;
  readonly name: string;
  /** How many wait at a time. */
  readonly size: number;
}

/** Keeps a pool full, as the SandboxSet controller does: what is claimed or deleted is replaced. */
export class SandboxSet {
  readonly options: PoolOptions;
  readonly #store: ObjectStore;
  readonly #random: Random;
  readonly #bulkBytes: number;
  readonly #members = new Set<string>();
  /** Members that a user was given and that still look as if they waited. */
  readonly #promised = new Set<string>();
  readonly #unsubscribe: () => void;

  /** Fills the pool at once. `bulkBytes` is what each object carries besides the facts. */
  constructor(options: PoolOptions, store: ObjectStore, random: Random, bulkBytes: number) {
    this.options = options;
    this.#store = store;
    this.#random = random;
    this.#bulkBytes = bulkBytes;
    for (const sandbox of store.values())
      if (this.#isMember(sandbox)) this.#members.add(sandbox.metadata.name);
    this.#unsubscribe = store.subscribe(({ type, object }) => {
      if (object.metadata.namespace !== options.namespace) return;
      if (type !== "DELETED" && this.#isMember(object)) this.#members.add(object.metadata.name);
      else if (this.#members.delete(object.metadata.name)) this.#promised.delete(object.metadata.name);
      this.#fill();
    });
    this.#fill();
  }

  /** The member that has waited longest and is ready, or `undefined`. It is the caller's: nobody else gets it. */
  takeAvailable(): StoredSandbox | undefined {
    for (const name of this.#members) {
      const sandbox = this.#store.get(this.options.namespace, name);
      if (!sandbox || !isReady(sandbox) || this.#promised.has(name)) continue;
      this.#promised.add(name);
      return sandbox;
    }
    return undefined;
  }

  /** Replaces nothing any more. */
  stop(): void {
    this.#unsubscribe();
  }

  #isMember(sandbox: StoredSandbox): boolean {
    const { namespace, labels, deletionTimestamp } = sandbox.metadata;
    return (
      namespace === this.options.namespace &&
      labels?.[POOL_LABEL] === this.options.name &&
      deletionTimestamp === undefined &&
      isPooled(sandbox)
    );
  }

  #fill(): void {
    while (this.#members.size < this.options.size) {
      const created = this.#store.create(pooledSandbox(this.#random, this.options, this.#bulkBytes));
      // The store tells of it later when it is telling of something else now: it counts at once.
      this.#members.add(created.metadata.name);
    }
  }
}
