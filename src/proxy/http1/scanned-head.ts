import type { HeadScan } from "./head-scan.ts";
import type { RequestHead } from "./request-head.ts";

/** A request's head as text of one character per byte, taken apart only when somebody asks. */
export class ScannedHead implements RequestHead {
  readonly method: string;
  readonly isPlain: boolean;
  /** Up to and with the empty line. */
  readonly text: string;
  readonly #targetStart: number;
  readonly #targetEnd: number;
  readonly #fieldsStart: number;
  #rawHeaders: readonly string[] | undefined;
  /** Names that the scan has noted, and the values of those that are there. */
  #noted: readonly string[] = NOTHING;
  #notedValues: (readonly string[])[] | undefined;

  /** `start` is where `text` began for `scan`. */
  constructor(text: string, start: number, scan: HeadScan) {
    this.text = text;
    this.method = methodOf(text, scan.methodEnd - start);
    this.isPlain = scan.traits === 0;
    this.#targetStart = scan.targetStart - start;
    this.#targetEnd = scan.targetEnd - start;
    this.#fieldsStart = scan.fieldsStart - start;
  }

  get target(): string {
    return this.text.slice(this.#targetStart, this.#targetEnd);
  }

  get rawHeaders(): readonly string[] {
    this.#rawHeaders ??= fieldsOf(this.text, this.#fieldsStart);
    return this.#rawHeaders;
  }

  /** See {@link RequestHead}. */
  first(lowerCaseName: string): string | undefined {
    return this.#values(lowerCaseName, 1)[0];
  }

  /** See {@link RequestHead}. */
  all(lowerCaseName: string): readonly string[] {
    const at = this.#noted.indexOf(lowerCaseName);
    if (at >= 0) return this.#notedValues?.[at] ?? NOTHING;
    return this.#values(lowerCaseName, Infinity);
  }

  /**
   * Takes from the scan what it has noted of the fields called `names`, from the note `firstNote` on, so that nobody looks for them
   * again. `start` is where {@link text} began for it. Only for a head that is plain: of others a name may be there twice.
   */
  takeNotes(names: readonly string[], firstNote: number, scan: HeadScan, start: number): void {
    this.#noted = names;
    if ((scan.seen >> firstNote) % (1 << names.length) === 0) return;
    this.#notedValues = names.map((_name, index) => {
      const value = scan.valueOf(firstNote + index, this.text, start);
      return value === undefined ? NOTHING : [value];
    });
  }

  #values(lowerCaseName: string, most: number): string[] {
    const text = this.text;
    const found: string[] = [];
    for (let start = this.#fieldsStart; found.length < most;) {
      const end = text.indexOf("\r\n", start);
      if (end <= start) break;
      const colon = start + lowerCaseName.length;
      if (text.charCodeAt(colon) === COLON && text.slice(start, colon).toLowerCase() === lowerCaseName) {
        found.push(withoutBlanks(text, colon + 1, end));
      }
      start = end + 2;
    }
    return found;
  }

  /** The request-target begins with `prefix`. */
  targetStartsWith(prefix: string): boolean {
    return this.text.startsWith(prefix, this.#targetStart);
  }
}

const COLON = 0x3a;
const NOTHING: readonly string[] = [];

/** The common methods as the very strings that metrics look up, the hash of which is known. */
const METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] as const;

function methodOf(text: string, length: number): string {
  for (const method of METHODS) if (method.length === length && text.startsWith(method)) return method;
  return text.slice(0, length);
}

/** The fields of a well-formed head, flat: `name, value, …`, values without the white space around them. */
export function fieldsOf(head: string, start: number): string[] {
  const fields: string[] = [];
  let lineStart = start;
  for (;;) {
    const lineEnd = head.indexOf("\r\n", lineStart);
    if (lineEnd <= lineStart) return fields;
    const colon = head.indexOf(":", lineStart);
    fields.push(head.slice(lineStart, colon), withoutBlanks(head, colon + 1, lineEnd));
    lineStart = lineEnd + 2;
  }
}

/** `text` from `start` to `end`, without the white space around it (RFC 9110 5.6.3). */
function withoutBlanks(text: string, start: number, end: number): string {
  let from = start;
  let to = end;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
