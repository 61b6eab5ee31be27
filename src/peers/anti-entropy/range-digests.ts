import type { ObjectKey } from "../../routes/route.ts";

/** Ranges below the root, and below each of them: 4,096 leaves, about 25 objects in each of 100,000. */
export const FAN_OUT = 64;
export const LEAVES = FAN_OUT * FAN_OUT;

interface Item {
  readonly leaf: number;
  readonly text: string;
  /** 64 bits of the hash of key and text. */
  readonly high: number;
  readonly low: number;
}

/**
 * A Merkle tree over the objects of a table, by ranges of their keys' hashes: root, {@link FAN_OUT} branches, {@link LEAVES}
 * leaves. Two trees are equal where their digests are, but for a chance of 2^-64 in each range. A digest is the exclusive or
 * of its objects', so that a change of one costs the same however many there are.
 *
 * It finds drift, and does not keep liars out: who can choose an object's fields might make two differ unseen.
 */
export class RangeDigests {
  readonly #items = new Map<ObjectKey, Item>();
  readonly #keys: (Set<ObjectKey> | undefined)[] = [];
  /** Two numbers for each digest: the leaves, then the branches, then the root. */
  readonly #digests = new Uint32Array(2 * (LEAVES + FAN_OUT + 1));

  /** How many objects there are. */
  get size(): number {
    return this.#items.size;
  }

  get root(): string {
    return this.#digest(LEAVES + FAN_OUT);
  }

  /** Digests of all branches, in order. */
  get branches(): string[] {
    return Array.from({ length: FAN_OUT }, (_, branch) => this.#digest(LEAVES + branch));
  }

  /** Digests of a branch's leaves, in order. */
  leavesOf(branch: number): string[] {
    return Array.from({ length: FAN_OUT }, (_, at) => this.#digest(branch * FAN_OUT + at));
  }

  /** The objects of a leaf, in no particular order. */
  keysOf(leaf: number): Iterable<ObjectKey> {
    return this.#keys[leaf] ?? [];
  }

  /** Sets what an object is; `undefined` when it is nothing. O(1). */
  set(key: ObjectKey, text: string | undefined): void {
    const before = this.#items.get(key);
    if (before?.text === text) return;
    if (before) this.#toggle(before);
    if (text === undefined) {
      this.#items.delete(key);
      if (before) this.#keys[before.leaf]?.delete(key);
      return;
    }
    const leaf = before?.leaf ?? leafOf(key);
    const [high, low] = hash64(`${key}\n${text}`);
    const item: Item = { leaf, text, high, low };
    this.#items.set(key, item);
    (this.#keys[leaf] ??= new Set()).add(key);
    this.#toggle(item);
  }

  #toggle({ leaf, high, low }: Item): void {
    for (const at of [leaf, LEAVES + Math.floor(leaf / FAN_OUT), LEAVES + FAN_OUT]) {
      this.#digests[2 * at] = (this.#digests[2 * at] ?? 0) ^ high;
      this.#digests[2 * at + 1] = (this.#digests[2 * at + 1] ?? 0) ^ low;
    }
  }

  #digest(at: number): string {
    const hex = (half: number): string => (this.#digests[2 * at + half] ?? 0).toString(16).padStart(8, "0");
    return hex(0) + hex(1);
  }
}

/** The leaf in which an object stands, at every replica the same. */
export function leafOf(key: ObjectKey): number {
  return hash64(key)[0] % LEAVES;
}

/**
 * 64 bits that spread well, as two numbers of 32. It runs in each mutation: SHA-256 costs ten times as much, and would keep liars
 * out no better. After bryc's cyrb53, with MurmurHash3's finalizer.
 */
function hash64(text: string): [high: number, low: number] {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    high = Math.imul(high ^ unit, 0x9e3779b1);
    low = Math.imul(low ^ unit, 0x5f356495);
  }
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  return [high >>> 0, low >>> 0];
}
