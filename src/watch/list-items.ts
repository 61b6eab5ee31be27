import { GrowingBytes } from "../system/growing-bytes.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const ITEMS = Buffer.from("items");

/**
 * Reads the body of a Kubernetes list and parses each of its items alone, as soon as its bytes are there. It holds the bytes of one
 * item, and of what stands around the items. `JSON.parse` of a whole page would hold the page three times, as bytes, as text and as
 * objects: for 10,000 Sandboxes of 2 KiB in pages of 500 that cost 35 MB of resident memory.
 *
 * The JSON grammar is left to `JSON.parse`: here only strings, brackets and commas are told apart, to find where an item ends.
 */
export class ListItems {
  readonly #onItem: (item: unknown) => void;
  /** The list without its items. */
  readonly #frame = new GrowingBytes();
  /** The begin of an item that a chunk cut. */
  readonly #item = new GrowingBytes({ firstBytes: 16 * 1024 });
  #items = 0;
  #inItems = false;
  /** Open brackets and braces; within the items those of the item alone. */
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** Octets of `items` that the string at hand begins with; -1: it is another string. */
  #matched = -1;
  #isItemsKey = false;

  constructor(onItem: (item: unknown) => void) {
    this.#onItem = onItem;
  }

  /**
   * Takes the next bytes and calls `onItem` for each item that they complete. `chunk` may be overwritten afterwards.
   * @throws {SyntaxError} for an item that is not JSON.
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) at = this.#inItems ? this.#readItems(chunk, at) : this.#readFrame(chunk, at);
  }

  /**
   * The list, whose `items` are empty if they were given to `onItem`.
   * @throws {SyntaxError} when what came is not JSON, or not whole.
   */
  end(): unknown {
    return JSON.parse(this.#frame.bytes.toString());
  }

  /** From `from` to the begin of the items, or to the end of the chunk; returns where it stopped. */
  #readFrame(chunk: Buffer, from: number): number {
    for (let at = from; at < chunk.length; at += 1) {
      const octet = chunk[at] ?? 0;
      if (this.#inString) {
        this.#readFrameString(octet);
        continue;
      }
      switch (octet) {
        case QUOTE:
          this.#inString = true;
          this.#matched = 0;
          break;
        case COLON:
          if (this.#depth === 1) this.#isItemsKey = this.#matched === ITEMS.length;
          break;
        case OPEN_BRACE:
          this.#depth += 1;
          this.#isItemsKey = false;
          break;
        case OPEN_BRACKET:
          if (this.#isItemsKey) {
            this.#inItems = true;
            this.#depth = 0;
            this.#frame.append(chunk, from, at + 1);
            return at + 1;
          }
          this.#depth += 1;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          this.#depth -= 1;
          break;
        default:
      }
    }
    this.#frame.append(chunk, from);
    return chunk.length;
  }

  #readFrameString(octet: number): void {
    if (this.#escaped) {
      this.#escaped = false;
    } else if (octet === QUOTE) {
      this.#inString = false;
    } else {
      this.#escaped = octet === BACKSLASH;
      if (this.#matched >= 0) this.#matched = octet === ITEMS[this.#matched] ? this.#matched + 1 : -1;
    }
  }

  /** From `from` to the end of the items, or of the chunk; returns where it stopped. */
  #readItems(chunk: Buffer, from: number): number {
    // In variables: each octet of a list comes by here.
    const { length } = chunk;
    let depth = this.#depth;
    let inString = this.#inString;
    let begin = from;
    let at = this.#escaped ? from + 1 : from;
    for (; at < length; at += 1) {
      let octet = chunk[at] ?? 0;
      if (inString) {
        while (octet !== QUOTE && octet !== BACKSLASH && at < length - 1) octet = chunk[(at += 1)] ?? 0;
        if (octet === QUOTE) inString = false;
        // What it escapes does not end the string.
        else if (octet === BACKSLASH) at += 1;
        continue;
      }
      switch (octet) {
        case QUOTE:
          inString = true;
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          depth += 1;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          depth -= 1;
          if (depth >= 0) break;
          this.#endItem(chunk, begin, at, true);
          this.#inItems = false;
          this.#inString = false;
          this.#isItemsKey = false;
          // The list's own brace and the bracket of the items, which is read next.
          this.#depth = 2;
          return at;
        case COMMA:
          if (depth > 0) break;
          this.#endItem(chunk, begin, at, false);
          begin = at + 1;
          break;
        default:
      }
    }
    this.#depth = depth;
    this.#inString = inString;
    // A backslash was the last octet.
    this.#escaped = at > chunk.length;
    this.#item.append(chunk, begin);
    return chunk.length;
  }

  #endItem(chunk: Buffer, begin: number, end: number, isLast: boolean): void {
    let text: string;
    if (this.#item.length === 0) {
      text = chunk.toString("utf8", begin, end);
    } else {
      this.#item.append(chunk, begin, end);
      text = this.#item.bytes.toString();
      this.#item.clear();
    }
    if (isLast && this.#items === 0 && text.trim() === "") return;
    this.#items += 1;
    this.#onItem(JSON.parse(text));
  }
}
