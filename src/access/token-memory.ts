import { LRUCache } from "lru-cache";

/** Slots for the tokens of the last requests. */
const SLOTS = 1_024;
/** What an entry takes beside its token, in characters. */
const ENTRY_CHARACTERS = 300;

interface Remembered<Value> {
  readonly token: string;
  readonly value: Value;
}

/**
 * Remembers what tokens came to, those that were used last, up to `maxCharacters` of them.
 *
 * Before the LRU stands a table that is indexed by a few of a token's letters: its end is a signature, so they are as good as a hash. To
 * compare a token of 500 letters takes 0.04 µs; to look it up in a Map, which hashes it all, 0.7 (a request's text is new each time).
 */
export class TokenMemory<Value extends object> {
  readonly #recent: (Remembered<Value> | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  readonly #all: LRUCache<string, Remembered<Value>>;

  constructor(maxCharacters: number) {
    this.#all = new LRUCache({
      maxSize: maxCharacters,
      sizeCalculation: (_value, token) => token.length + ENTRY_CHARACTERS,
    });
  }

  get(token: string): Value | undefined {
    const slot = slotOf(token);
    const recent = this.#recent[slot];
    if (recent !== undefined && recent.token === token) return recent.value;
    const known = this.#all.get(token);
    if (known !== undefined) this.#recent[slot] = known;
    return known?.value;
  }

  set(token: string, value: Value): void {
    // A copy: the token is a part of a request's head, which it would keep.
    const kept = { token: Buffer.from(token, "latin1").toString("latin1"), value };
    this.#all.set(kept.token, kept);
    this.#recent[slotOf(token)] = kept;
  }

  clear(): void {
    this.#all.clear();
    this.#recent.fill(undefined);
  }
}

/** By letters that lie wholly in the signature: the very last one has only some of its bits. */
function slotOf(token: string): number {
  const end = token.length - 1;
  const mixed = token.charCodeAt(end - 1) * 961 + token.charCodeAt(end - 2) * 31 + token.charCodeAt(end - 3);
  // NaN of a token that is shorter becomes 0.
  return mixed & (SLOTS - 1);
}
