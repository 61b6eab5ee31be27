/** Something that must be looked at as fields, not as bytes. Bits of {@link HeadScan.traits}. */
export const TRAIT = {
  /** A field that only the rules for ordered fields can take, see `FieldRule`. */
  special: 1,
  /** `Upgrade`. */
  upgrade: 2,
  /** `Expect`. */
  expect: 4,
  /** `Connection` with another option than `keep-alive`, `close` and `te`. */
  connection: 8,
  /** HTTP/1.0. */
  old: 16,
  /** HTTP/1.2 to 1.9: taken as 1.1 (RFC 9110 2.5), and never passed on as what it says it is. */
  later: 32,
} as const;

/** Fields of which a scan can note where their values are. */
export const MAX_NOTES = 16;

/** What a scan found. One is used again and again; numbers are offsets into the bytes. */
export class HeadScan {
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  /** Of the first field line. */
  fieldsStart = 0;
  /** Of a request's version HTTP/1.x, as far as it was read. */
  minor = 1;
  status = 0;
  traits = 0;
  /** -1 without a Host. */
  hostStart = -1;
  hostEnd = 0;
  /** -1 without one. */
  contentLength = -1;
  /** Content-Length stands there more than once, always the same. */
  lengthRepeated = false;
  chunked = false;
  /** `Connection` with `close`, as long as it has no other option than the usual ones. */
  close = false;
  hasDate = false;
  /** Value of a response's `Keep-Alive`; -1 without one. */
  keepAliveStart = -1;
  keepAliveEnd = 0;
  /** Lines to be left out: offsets of the first and behind the last, in order. */
  readonly cuts = new Int32Array(16);
  /** How many numbers of `cuts` hold. */
  cutCount = 0;
  /** Which fields were noted (`FieldRule.note`): one bit each. */
  seen = 0;
  /** Where the value of the field with note n is: it begins at `[2n]` and ends before `[2n + 1]`, if it was seen. */
  readonly notes = new Int32Array(2 * MAX_NOTES);

  /** The field with this note is there. */
  has(note: number): boolean {
    return (this.seen & (1 << note)) !== 0;
  }

  /** Value of the field with this note, in the text that began at `start`; `undefined` without one. */
  valueOf(note: number, text: string, start: number): string | undefined {
    if (!this.has(note)) return undefined;
    return text.slice((this.notes[2 * note] ?? 0) - start, (this.notes[2 * note + 1] ?? 0) - start);
  }
}
