import { isUtf8 } from "node:buffer";

/**
 * Text of `bytes` as Go reads UTF-8: every byte that is not part of a well-formed sequence becomes one U+FFFD. (The
 * WHATWG decoder differs: it makes one U+FFFD of a whole truncated sequence.) A byte order mark is kept. Never throws.
 */
export function decodeUtf8LikeGo(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  const parts: string[] = [];
  let completeFrom = 0;
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    parts.push(bytes.toString("utf8", completeFrom, at), "\u{FFFD}");
    at += 1;
    completeFrom = at;
  }
  parts.push(bytes.toString("utf8", completeFrom));
  return parts.join("");
}

/**
 * Length of the sequence at `at` when its lead byte is followed by all the bytes that it announces, else 0. One that is
 * complete but ill-formed (overlong, a surrogate) may pass: any decoder replaces it byte by byte.
 */
function sequenceLength(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  if (lead < 0xc0 || lead > 0xf7) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  for (let i = at + 1; i < at + length; i += 1) {
    if (((bytes[i] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}
