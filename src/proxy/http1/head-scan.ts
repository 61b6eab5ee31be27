/** Something that must be looked at as fields, not as bytes. Bits of {@link HeadScan.traits}. */
export const TRAIT = {
  /** A field that admission or forwarding has a rule for, or whose name may be taken for that of one. */
  special: 1,
  /** `Upgrade`. */
  upgrade: 2,
  /** `Expect`. */
  expect: 4,
  /** `Connection` with more than one `keep-alive` or `close`. */
  connection: 8,
  /** HTTP/1.0. */
  old: 16,
  /** HTTP/1.2 to 1.9: taken as 1.1 (RFC 9110 2.5), and never passed on as what it says it is. */
  later: 32,
} as const;

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
  /** `Connection: close`. */
  close = false;
  hasDate = false;
  /** Value of a response's `Keep-Alive`; -1 without one. */
  keepAliveStart = -1;
  keepAliveEnd = 0;
  /** Lines of this connection alone, to be left out: offsets of the first and behind the last, in order. */
  readonly cuts = new Int32Array(16);
  /** How many numbers of `cuts` hold. */
  cutCount = 0;
}
