import { compareNames, NAME, octetsOf, UNDERSCORE } from "./octets.ts";

/** What a scan does with a field by its name. Without any of these: nothing. */
export interface FieldRule {
  /** Such a head is special: it is taken apart into fields. */
  readonly special?: true;
  /** The line is left out. */
  readonly cut?: true;
  /** The scan notes where the value is, under this number (0 to `MAX_NOTES` - 1). A head that has two such fields is special. */
  readonly note?: number;
  /** A head is special if this is false for the value, which has no white space around it. Must not throw. */
  readonly accepts?: (bytes: Uint8Array, start: number, end: number) => boolean;
  /** A line whose name has `_` where this one has `-` is left out. */
  readonly cutsAlike?: true;
}

/** A name, and what is done with a field of that name. A name by itself: its head is special. */
export type RuledName = string | readonly [name: string, rule: FieldRule];

/** What frames a message, which the scanner itself takes care of. */
export type Framing =
  | "host"
  | "connection"
  | "keep-alive"
  | "content-length"
  | "transfer-encoding"
  | "upgrade"
  | "expect"
  | "date";

/** What stands for a field's name. */
export interface FieldEntry {
  readonly name: Uint8Array;
  readonly rule: FieldRule | undefined;
  readonly framing: Framing | undefined;
}

const FRAMING: readonly Framing[] = [
  "host",
  "connection",
  "keep-alive",
  "content-length",
  "transfer-encoding",
  "upgrade",
  "expect",
  "date",
];

const SLOTS = 512;
const SPECIAL: FieldRule = { special: true };
const CUT: FieldRule = { cut: true };
/** No name is so long. */
const NO_PREFIX = 0x7fff_ffff;

/**
 * Finds what is done with a field, by its name in any case. A name has a slot by its length, its first and its last octet, so
 * that all but a few others cost one look; names in one slot are compared octet by octet.
 */
export class FieldIndex {
  /** By {@link slotOf}: a name has this slot. */
  readonly taken = new Uint8Array(SLOTS);
  /** By first octet & 31: no name that begins with a prefix is shorter. */
  readonly prefixLengths = new Int32Array(32).fill(NO_PREFIX);
  readonly #entries: FieldEntry[][] = Array.from({ length: SLOTS }, () => []);
  readonly #prefixes: FieldEntry[] = [];

  /**
   * `names`, and what begins with one of `prefixes` (unless it is among the names), all in lower case; and what frames the
   * message: `host`, `connection`, `keep-alive`, `content-length`, `transfer-encoding`, `upgrade`, `expect`, `date`.
   */
  constructor(names: Iterable<RuledName>, prefixes: Iterable<RuledName> = []) {
    for (const framing of FRAMING) this.#put(framing, undefined, framing);
    for (const ruled of names) {
      const [name, rule] = typeof ruled === "string" ? [ruled, SPECIAL] : ruled;
      if (!FRAMING.some((framing) => framing === name)) this.#put(name, rule, undefined);
    }
    for (const ruled of prefixes) {
      const [prefix, rule] = typeof ruled === "string" ? [ruled, SPECIAL] : ruled;
      this.#prefixes.push({ name: octetsOf(prefix), rule, framing: undefined });
      const at = prefix.charCodeAt(0) & 31;
      this.prefixLengths[at] = Math.min(this.prefixLengths[at] ?? NO_PREFIX, prefix.length);
    }
  }

  /** The entry of the name that begins at `start`; `undefined` if there is none, or a field with it is passed on as it is. */
  find(bytes: Uint8Array, start: number, length: number, slot: number): FieldEntry | undefined {
    for (const entry of this.#entries[slot] ?? []) {
      if (entry.name.length !== length) continue;
      const likeness = compareNames(bytes, start, entry.name);
      if (likeness === NAME.same) return entry;
      if (likeness === NAME.alike && entry.rule?.cutsAlike === true) return CUT_ENTRY;
    }
    for (const entry of this.#prefixes) {
      if (length < entry.name.length) continue;
      const likeness = compareNames(bytes, start, entry.name);
      if (likeness === NAME.other) continue;
      if (entry.rule?.cutsAlike === true && hasUnderscore(bytes, start, length)) return CUT_ENTRY;
      if (likeness === NAME.same) return entry;
    }
    return undefined;
  }

  #put(name: string, rule: FieldRule | undefined, framing: Framing | undefined): void {
    const octets = octetsOf(name);
    const slot = slotOf(octets.length, octets[0] ?? 0, octets.at(-1) ?? 0);
    this.taken[slot] = 1;
    this.#entries[slot]?.push({ name: octets, rule, framing });
  }
}

const CUT_ENTRY: FieldEntry = { name: new Uint8Array(), rule: CUT, framing: undefined };

/**
 * Where a name stands in the index. The same for a letter in either case. The factors are such that of the names that need
 * nothing hardly any has the slot of one that does (test/proxy/field-index.test.ts, with the heads of real programs).
 */
export function slotOf(length: number, first: number, last: number): number {
  return (length * 7 + (first & 31) * 8 + (last & 31)) & (SLOTS - 1);
}

function hasUnderscore(bytes: Uint8Array, start: number, length: number): boolean {
  for (let p = start; p < start + length; p++) if (bytes[p] === UNDERSCORE) return true;
  return false;
}
