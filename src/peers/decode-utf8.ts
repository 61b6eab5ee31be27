import { isUtf8 } from "node:buffer";

/**
 * Text of `bytes` as Go reads UTF-8: every byte that is not part of a well-formed sequence becomes one U+FFFD. (The
 * WHATWG decoder differs: it makes one U+FFFD of a whole truncated sequence.) A byte order mark is kept. Never throws.
 */
export function decodeUtf8LikeGo(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  const parts: string[] = [];
  let wellFormedFrom = 0;
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    parts.push(bytes.toString("utf8", wellFormedFrom, at), "\u{FFFD}");
    at += 1;
    wellFormedFrom = at;
  }
  parts.push(bytes.toString("utf8", wellFormedFrom));
  return parts.join("");
}

/** Length of the well-formed sequence at `at` (Unicode 15, table 3-7), or 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // Overlong forms, surrogates and code points above U+10FFFF are excluded by the second byte.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  const second = bytes[at + 1] ?? 0;
  if (second < low || second > high) return 0;
  for (let i = at + 2; i < at + length; i += 1) {
    if (((bytes[i] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}
