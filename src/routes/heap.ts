/**
 * A binary min-heap: what is due first comes out first. Items are never removed from the middle; whoever pops one
 * checks that it still counts, and calls {@link Heap.compact} when too many no longer do.
 */
export class Heap<T> {
  #items: T[] = [];
  readonly #compare: (a: T, b: T) => number;

  /** `compare` is negative when its first argument is due before its second. */
  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The first item, left in place. */
  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    const items = this.#items;
    let index = items.length;
    items.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = items[parent] as T;
      if (this.#compare(above, item) <= 0) break;
      items[index] = above;
      index = parent;
    }
    items[index] = item;
  }

  /** Removes and returns the first item. */
  pop(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (items.length > 0) this.#sink(last as T);
    return first;
  }

  /** Keeps only the items for which `keep` holds. O(n log n), so call it rarely. */
  compact(keep: (item: T) => boolean): void {
    // A sorted array is a heap.
    this.#items = this.#items.filter(keep).sort(this.#compare);
  }

  #sink(item: T): void {
    const items = this.#items;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      const right = child + 1;
      if (right < items.length && this.#compare(items[right] as T, items[child] as T) < 0) child = right;
      const below = items[child] as T;
      if (this.#compare(item, below) <= 0) break;
      items[index] = below;
      index = child;
    }
    items[index] = item;
  }
}
