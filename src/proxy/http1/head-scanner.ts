/* oxlint-disable typescript/no-non-null-assertion -- every offset that is read lies below `end`, which was compared */
import { type FieldEntry, type FieldIndex, FRAMING, slotOf } from "./field-index.ts";
import { type FieldMemory, LEAST_REMEMBERED_BYTES } from "./field-memory.ts";
import { type HeadScan, TRAIT } from "./head-scan.ts";
import { isSameIgnoringCase, OCTETS, octetsOf, TARGET, TOKEN, VALUE } from "./octets.ts";

/*
 * Strict, and over bytes: a string of the head is made once, by who needs it. The loops are written out since this runs
 * for each request and each response: in the prototype they took 0.2 µs a head where a parser with a regular expression
 * per line took 1 µs and node:http's own 1.3 µs. `lab/bench/fast-lane.ts` measures the lane that they are part of.
 */

/** What became of a scan: {@link scanRequestHead}, {@link scanResponseHead}. A positive result is the head's end. */
export const INCOMPLETE = 0;
/** No such message may be forwarded. */
export const MALFORMED = -1;
/** A legal head that the fast lane does not take: HTTP/1.0, a target in another form. */
export const UNUSUAL = -2;
/** The request line is well formed, but its version is HTTP/2 or above. */
export const OTHER_VERSION = -3;

const KEEP_ALIVE = octetsOf("keep-alive");
const CLOSE = octetsOf("close");
const CHUNKED = octetsOf("chunked");
const TE = octetsOf("te");

/**
 * Scans the request head that begins at `start` (RFC 9112 2.1, 3, 5). Returns its end, {@link INCOMPLETE},
 * {@link MALFORMED}, {@link UNUSUAL} or {@link OTHER_VERSION}; only with the first does `scan` hold, and of the third its
 * `targetEnd` and `minor`. `memory`: of the connection, so that fields that come again are not scanned again.
 */
export function scanRequestHead(
  bytes: Buffer,
  start: number,
  end: number,
  index: FieldIndex,
  scan: HeadScan,
  memory?: FieldMemory,
): number {
  let p = start;
  scan.minor = 1;
  while (p < end && (OCTETS[bytes[p]!]! & TOKEN) !== 0) p++;
  if (p === end) return p - start > MAX_METHOD ? MALFORMED : INCOMPLETE;
  // The begin of an empty line, which whoever calls skips.
  if (bytes[p] === CR && p === start && p + 1 === end) return INCOMPLETE;
  if (bytes[p] !== SP || p === start || p - start > MAX_METHOD) return MALFORMED;
  scan.methodEnd = p;
  const targetStart = ++p;
  scan.targetStart = targetStart;
  while (p < end && (OCTETS[bytes[p]!]! & TARGET) !== 0) p++;
  if (p === end) return INCOMPLETE;
  // Octets above ASCII: node:http has the last word on them.
  if (bytes[p]! > 0x7e) return UNUSUAL;
  if (bytes[p] !== SP || p === targetStart) return MALFORMED;
  scan.targetEnd = p;
  if (end - p < 11) return isPrefix(bytes, p + 1, end, VERSION, MAJOR) ? INCOMPLETE : MALFORMED;
  const major = bytes[p + 6]! - 0x30;
  const minor = bytes[p + 8]! - 0x30;
  // " HTTP/1.1\r\n", written out.
  if (
    bytes[p + 1] !== 0x48 ||
    bytes[p + 2] !== 0x54 ||
    bytes[p + 3] !== 0x54 ||
    bytes[p + 4] !== 0x50 ||
    bytes[p + 5] !== 0x2f ||
    major < 1 ||
    major > 9 ||
    bytes[p + 7] !== 0x2e ||
    minor < 0 ||
    minor > 9 ||
    bytes[p + 9] !== CR ||
    bytes[p + 10] !== LF
  )
    return MALFORMED;
  if (major !== 1) return OTHER_VERSION;
  scan.minor = minor;
  if (minor === 0 || bytes[targetStart] !== SLASH) return UNUSUAL;
  scan.fieldsStart = p + 11;
  scan.traits = minor === 1 ? 0 : TRAIT.later;
  const known = memory === undefined ? 0 : memory.recall(bytes, p + 11, end, scan);
  if (known > 0) return known;
  const headEnd = scanFields(bytes, p + 11, end, index, scan);
  // Which of two fields frames the message is what request smuggling is about (RFC 9112 6.1, 6.3).
  const isAmbiguous = scan.contentLength >= 0 && (scan.chunked || scan.lengthRepeated);
  if (headEnd > 0 && isAmbiguous) return MALFORMED;
  if (headEnd - p > LEAST_REMEMBERED_BYTES && memory !== undefined) {
    memory.remember(bytes, p + 11, headEnd, scan);
  }
  return headEnd;
}

/**
 * Scans the response head that begins at `start` (RFC 9112 4, 5), like {@link scanRequestHead} but that HTTP/1.0 is the
 * trait `old`.
 */
export function scanResponseHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  index: FieldIndex,
  scan: HeadScan,
): number {
  let p = start;
  if (end - p < 13) {
    const mayGoOn =
      isPrefix(bytes, p, Math.min(end, p + 7), VERSION, MINOR) && !bytes.subarray(p, end).includes(LF);
    return mayGoOn ? INCOMPLETE : MALFORMED;
  }
  if (
    bytes[p] !== 0x48 ||
    bytes[p + 1] !== 0x54 ||
    bytes[p + 2] !== 0x54 ||
    bytes[p + 3] !== 0x50 ||
    bytes[p + 4] !== 0x2f ||
    bytes[p + 5] !== 0x31 ||
    bytes[p + 6] !== 0x2e ||
    bytes[p + 8] !== SP
  )
    return MALFORMED;
  const minor = bytes[p + 7];
  if (minor !== 0x31 && minor !== 0x30) return MALFORMED;
  const hundreds = bytes[p + 9]! - 0x30;
  const tens = bytes[p + 10]! - 0x30;
  const ones = bytes[p + 11]! - 0x30;
  if (hundreds < 1 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return MALFORMED;
  scan.status = hundreds * 100 + tens * 10 + ones;
  scan.traits = minor === 0x30 ? TRAIT.old : 0;
  p += 12;
  // The phrase and the space before it may both be missing: many servers leave them out.
  if (bytes[p] !== SP && bytes[p] !== CR) return MALFORMED;
  while (p < end && (OCTETS[bytes[p]!]! & VALUE) !== 0) p++;
  if (p === end) return INCOMPLETE;
  if (bytes[p] !== CR) return MALFORMED;
  if (p + 1 === end) return INCOMPLETE;
  if (bytes[p + 1] !== LF) return MALFORMED;
  scan.fieldsStart = p + 2;
  const headEnd = scanFields(bytes, p + 2, end, index, scan);
  // A length that is repeated or beside chunks is understood (RFC 9110 8.6, RFC 9112 6.3), and brought in order.
  if (scan.contentLength >= 0 && (scan.chunked || scan.lengthRepeated)) scan.traits |= TRAIT.special;
  return headEnd;
}

const CR = 13;
const LF = 10;
const SP = 0x20;
const HTAB = 0x09;
const COLON = 0x3a;
const COMMA = 0x2c;
const SLASH = 0x2f;
const VERSION = octetsOf("HTTP/1.1\r\n");
/** Where the numbers stand in it. */
const MAJOR = 5;
const MINOR = 7;
/** Longer than any method that is registered. */
const MAX_METHOD = 64;

/** The numbers of the version, from the one at `open` on, are judged once the line is whole. */
function isPrefix(
  bytes: Uint8Array,
  start: number,
  end: number,
  text: readonly number[],
  open: number,
): boolean {
  for (let p = start; p < end; p++) {
    const at = p - start;
    if (bytes[p] !== text[at] && at !== open && at !== MINOR) return false;
  }
  return true;
}

function scanFields(
  bytes: Uint8Array,
  start: number,
  end: number,
  index: FieldIndex,
  scan: HeadScan,
): number {
  scan.hostStart = -1;
  scan.contentLength = -1;
  scan.lengthRepeated = false;
  scan.chunked = false;
  scan.close = false;
  scan.hasDate = false;
  scan.keepAliveStart = -1;
  scan.cutCount = 0;
  scan.seen = 0;
  const { prefixLengths, taken } = index;
  let p = start;
  for (;;) {
    if (p >= end) return INCOMPLETE;
    if (bytes[p] === CR) {
      if (p + 1 >= end) return INCOMPLETE;
      if (bytes[p + 1] !== LF) return MALFORMED;
      return p + 2;
    }
    const nameStart = p;
    while (p < end && (OCTETS[bytes[p]!]! & TOKEN) !== 0) p++;
    if (p >= end) return INCOMPLETE;
    if (bytes[p] !== COLON || p === nameStart) return MALFORMED;
    const nameLength = p - nameStart;
    p++;
    while (p < end && (bytes[p] === SP || bytes[p] === HTAB)) p++;
    const valueStart = p;
    while (p < end && (OCTETS[bytes[p]!]! & VALUE) !== 0) p++;
    if (p >= end) return INCOMPLETE;
    if (bytes[p] !== CR) return MALFORMED;
    if (p + 1 >= end) return INCOMPLETE;
    if (bytes[p + 1] !== LF) return MALFORMED;
    const valueEnd = p;
    p += 2;
    const first = bytes[nameStart]!;
    const slot = slotOf(nameLength, first, bytes[nameStart + nameLength - 1]!);
    if (
      (taken[slot] !== 0 || nameLength >= prefixLengths[first & 31]!) &&
      !noteField(bytes, index, slot, nameStart, nameLength, valueStart, valueEnd, scan)
    )
      return MALFORMED;
  }
}

/** False when the field makes the message malformed. */
function noteField(
  bytes: Uint8Array,
  index: FieldIndex,
  slot: number,
  nameStart: number,
  nameLength: number,
  valueStart: number,
  valueEnd: number,
  scan: HeadScan,
): boolean {
  const entry = index.find(bytes, nameStart, nameLength, slot);
  if (entry === undefined) return true;
  let end = valueEnd;
  while (end > valueStart && (bytes[end - 1] === SP || bytes[end - 1] === HTAB)) end--;
  switch (entry.framing) {
    case FRAMING.host:
      // Two Hosts are answered with the reason why, which takes them as fields.
      if (scan.hostStart >= 0) scan.traits |= TRAIT.special;
      scan.hostStart = valueStart;
      scan.hostEnd = end;
      return true;
    case FRAMING.connection:
      noteConnection(bytes, nameStart, valueStart, end, valueEnd + 2, scan);
      return true;
    case FRAMING["keep-alive"]:
      scan.keepAliveStart = valueStart;
      scan.keepAliveEnd = end;
      cut(scan, nameStart, valueEnd + 2);
      return true;
    case FRAMING["content-length"]:
      noteSpaces(bytes, nameStart + nameLength, valueStart, end, valueEnd, scan);
      return noteContentLength(bytes, valueStart, end, scan);
    case FRAMING["transfer-encoding"]:
      noteSpaces(bytes, nameStart + nameLength, valueStart, end, valueEnd, scan);
      if (scan.chunked || end - valueStart !== 7 || !isSameIgnoringCase(bytes, valueStart, CHUNKED))
        return false;
      scan.chunked = true;
      return true;
    case FRAMING.upgrade:
      scan.traits |= TRAIT.upgrade;
      return true;
    case FRAMING.expect:
      scan.traits |= TRAIT.expect;
      return true;
    case FRAMING.date:
      scan.hasDate = true;
      return true;
    case FRAMING.none:
      applyRule(entry, bytes, nameStart, valueStart, end, valueEnd + 2, scan);
      return true;
  }
}

function applyRule(
  entry: FieldEntry,
  bytes: Uint8Array,
  lineStart: number,
  valueStart: number,
  valueEnd: number,
  lineEnd: number,
  scan: HeadScan,
): void {
  const { accepts, note } = entry;
  if (entry.special || (accepts !== undefined && !accepts(bytes, valueStart, valueEnd))) {
    scan.traits |= TRAIT.special;
  }
  if (entry.cut) cut(scan, lineStart, lineEnd);
  if (note < 0) return;
  const bit = 1 << note;
  if ((scan.seen & bit) !== 0) scan.traits |= TRAIT.special;
  scan.seen |= bit;
  scan.notes[2 * note] = valueStart;
  scan.notes[2 * note + 1] = valueEnd;
}

/**
 * A field that frames the message is passed on in one spelling: who is behind us may see another value in one with tabs or
 * spaces around it, and so another message.
 */
function noteSpaces(
  bytes: Uint8Array,
  colon: number,
  valueStart: number,
  trimmedEnd: number,
  valueEnd: number,
  scan: HeadScan,
): void {
  const isOneSpace = valueStart === colon + 2 && bytes[colon + 1] === SP;
  if (trimmedEnd !== valueEnd || !(isOneSpace || valueStart === colon + 1)) scan.traits |= TRAIT.special;
}

function noteConnection(
  bytes: Uint8Array,
  lineStart: number,
  valueStart: number,
  valueEnd: number,
  lineEnd: number,
  scan: HeadScan,
): void {
  const whole = valueEnd - valueStart;
  // Nearly always it is one of these alone.
  let p = whole === 10 && isSameIgnoringCase(bytes, valueStart, KEEP_ALIVE) ? valueEnd : valueStart;
  for (;;) {
    while (p < valueEnd && isBetweenItems(bytes[p]!)) p++;
    if (p >= valueEnd) break;
    const start = p;
    while (p < valueEnd && !isBetweenItems(bytes[p]!)) p++;
    const length = p - start;
    while (p < valueEnd && (bytes[p] === SP || bytes[p] === HTAB)) p++;
    const isItem = p === valueEnd || bytes[p] === COMMA;
    if (isItem && length === 5 && isSameIgnoringCase(bytes, start, CLOSE)) {
      scan.close = true;
    } else if (
      !(isItem && length === 10 && isSameIgnoringCase(bytes, start, KEEP_ALIVE)) &&
      !(isItem && length === 2 && isSameIgnoringCase(bytes, start, TE))
    ) {
      // A field of another name is this connection's too.
      scan.traits |= TRAIT.connection;
      return;
    }
  }
  cut(scan, lineStart, lineEnd);
}

/** White space or the comma of a list (RFC 9110 5.6.1). */
function isBetweenItems(octet: number): boolean {
  return octet === COMMA || octet === SP || octet === HTAB;
}

function noteContentLength(bytes: Uint8Array, start: number, end: number, scan: HeadScan): boolean {
  // 15 digits are below 2^53.
  if (start === end || end - start > 15) return false;
  let value = 0;
  for (let p = start; p < end; p++) {
    const digit = bytes[p]! - 0x30;
    if (digit < 0 || digit > 9) return false;
    value = value * 10 + digit;
  }
  if (scan.contentLength >= 0) {
    if (scan.contentLength !== value) return false;
    scan.lengthRepeated = true;
  }
  scan.contentLength = value;
  return true;
}

function cut(scan: HeadScan, from: number, to: number): void {
  const { cuts, cutCount } = scan;
  if (cutCount > 0 && cuts[cutCount - 1] === from) {
    cuts[cutCount - 1] = to;
  } else if (cutCount < cuts.length) {
    cuts[cutCount] = from;
    cuts[cutCount + 1] = to;
    scan.cutCount = cutCount + 2;
  } else {
    scan.traits |= TRAIT.special;
  }
}
