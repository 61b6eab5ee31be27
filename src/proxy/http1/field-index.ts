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

/** Fields that frame a message, which the scanner takes care of itself. */
export const FRAMING = {
  none: 0,
  host: 1,
  connection: 2,
  "keep-alive": 3,
  "content-length": 4,
  "transfer-encoding": 5,
  upgrade: 6,
  expect: 7,
  date: 8,
} as const;

type Framing = (typeof FRAMING)[keyof typeof FRAMING];

/** A name and its rule. Of one shape, since a scan reads several of them for each head. */
export class FieldEntry {
  /** Its octets. */
  readonly name: readonly number[];
  /** Of {@link FRAMING}; `none`: the rule counts, see {@link FieldRule}. */
  readonly framing: Framing;
  readonly special: boolean;
  readonly cut: boolean;
  /** -1: none. */
  readonly note: number;
  readonly accepts: FieldRule["accepts"];
  readonly cutsAlike: boolean;
  /** The next one in the same slot, or of the prefixes. */
  readonly next: FieldEntry | undefined;

  constructor(name: string, framing: Framing, rule: FieldRule, next: FieldEntry | undefined) {
    this.name = octetsOf(name);
    this.framing = framing;
    // `compareNames` takes another name for it.
    this.special = rule.special === true || name.includes("~");
    this.cut = rule.cut === true;
    this.note = rule.note ?? -1;
    this.accepts = rule.accepts;
    this.cutsAlike = rule.cutsAlike === true;
    this.next = next;
  }
}

const SLOTS = 512;
const NOTHING: FieldRule = {};
const SPECIAL: FieldRule = { special: true };
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
  readonly #entries: (FieldEntry | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  #prefixes: FieldEntry | undefined;

  /**
   * `names`, and what begins with one of `prefixes` (unless it is among the names), all in lower case; and what frames the
   * message, see {@link FRAMING}, whatever `names` says of it.
   */
  constructor(names: Iterable<RuledName>, prefixes: Iterable<RuledName> = []) {
    for (const ruled of names) {
      const [name, rule] = typeof ruled === "string" ? [ruled, SPECIAL] : ruled;
      if (!(name in FRAMING)) this.#put(name, rule, FRAMING.none);
    }
    for (const [name, framing] of Object.entries(FRAMING)) {
      if (framing !== FRAMING.none) this.#put(name, NOTHING, framing);
    }
    for (const ruled of prefixes) {
      const [prefix, rule] = typeof ruled === "string" ? [ruled, SPECIAL] : ruled;
      this.#prefixes = new FieldEntry(prefix, FRAMING.none, rule, this.#prefixes);
      const at = prefix.charCodeAt(0) & 31;
      this.prefixLengths[at] = Math.min(this.prefixLengths[at] ?? NO_PREFIX, prefix.length);
    }
  }

  /** The entry of the name that begins at `start`; `undefined` if there is none: then the field is passed on as it is. */
  find(bytes: Uint8Array, start: number, length: number, slot: number): FieldEntry | undefined {
    for (let entry = this.#entries[slot]; entry !== undefined; entry = entry.next) {
      if (entry.name.length !== length) continue;
      const likeness = compareNames(bytes, start, entry.name);
      if (likeness === NAME.same) return entry;
      if (likeness === NAME.alike && entry.cutsAlike) return CUT_ENTRY;
    }
    for (let entry = this.#prefixes; entry !== undefined; entry = entry.next) {
      if (length < entry.name.length) continue;
      const likeness = compareNames(bytes, start, entry.name);
      if (likeness === NAME.other) continue;
      if (entry.cutsAlike && hasUnderscore(bytes, start, length)) return CUT_ENTRY;
      if (likeness === NAME.same) return entry;
    }
    return undefined;
  }

  /** The last that is put into a slot is the first that is found. */
  #put(name: string, rule: FieldRule, framing: Framing): void {
    const slot = slotOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
    this.taken[slot] = 1;
    this.#entries[slot] = new FieldEntry(name, framing, rule, this.#entries[slot]);
  }
}

const CUT_ENTRY = new FieldEntry("", FRAMING.none, { cut: true }, undefined);

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
