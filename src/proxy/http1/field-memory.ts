import { HeadScan, TRAIT } from "./head-scan.ts";

/** Shorter fields are scanned as quickly as they are compared: not worth remembering. */
export const LEAST_REMEMBERED_BYTES = 200;
/** Longer ones are not kept: an idle connection would hold them. */
const MOST_BYTES = 4_096;
/** A connection whose heads differ each time is not that of one program: after so many in a row none is kept any more. */
const MOST_MISSES = 8;

/**
 * The fields of the last request of one connection, and what a scan found in them. A program sends the same fields with each
 * request: to compare 1,800 bytes takes a tenth of a microsecond, to scan them three (`node lab/bench/fast-lane.ts 100000
 * chrome-fetch`).
 */
export class FieldMemory {
  #fields: Buffer | undefined;
  /** Made when there is something to remember: many connections carry one request. */
  #found: HeadScan | undefined;
  #misses = 0;

  /**
   * When the fields that begin at `start` are the ones that it remembers, sets in `scan` what was found in them and returns
   * their end, behind the empty line; else 0.
   */
  recall(bytes: Buffer, start: number, end: number, scan: HeadScan): number {
    const fields = this.#fields;
    const found = this.#found;
    if (fields === undefined || found === undefined || end - start < fields.length) return 0;
    const fieldsEnd = start + fields.length;
    if (bytes.compare(fields, 0, fields.length, start, fieldsEnd) !== 0) {
      this.#misses += 1;
      return 0;
    }
    this.#misses = 0;
    copy(found, scan, start);
    return fieldsEnd;
  }

  /** Remembers the fields from `start` to `end`, as `scan` has them. */
  remember(bytes: Buffer, start: number, end: number, scan: HeadScan): void {
    const length = end - start;
    if (length > MOST_BYTES || this.#misses > MOST_MISSES) {
      this.#fields = undefined;
      this.#found = undefined;
      return;
    }
    this.#fields = Buffer.from(bytes.subarray(start, end));
    this.#found ??= new HeadScan();
    copy(scan, this.#found, -start);
  }
}

/** What {@link HeadScan} has of fields. Offsets move by `shift`. */
function copy(from: HeadScan, to: HeadScan, shift: number): void {
  to.traits = (to.traits & TRAIT.later) | (from.traits & ~TRAIT.later);
  to.hostStart = from.hostStart < 0 ? -1 : from.hostStart + shift;
  to.hostEnd = from.hostEnd + shift;
  to.contentLength = from.contentLength;
  to.lengthRepeated = from.lengthRepeated;
  to.chunked = from.chunked;
  to.close = from.close;
  to.hasDate = from.hasDate;
  to.keepAliveStart = from.keepAliveStart < 0 ? -1 : from.keepAliveStart + shift;
  to.keepAliveEnd = from.keepAliveEnd + shift;
  to.cutCount = from.cutCount;
  for (let i = 0; i < from.cutCount; i++) to.cuts[i] = (from.cuts[i] ?? 0) + shift;
  to.seen = from.seen;
  for (let note = 0; from.seen >>> note !== 0; note++) {
    to.notes[2 * note] = (from.notes[2 * note] ?? 0) + shift;
    to.notes[2 * note + 1] = (from.notes[2 * note + 1] ?? 0) + shift;
  }
}
