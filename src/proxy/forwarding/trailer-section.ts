import { forwardTrailers } from "./forwarding.ts";
import { OCTETS, TOKEN, VALUE } from "../http1/octets.ts";
import { fieldsOf } from "../http1/scanned-head.ts";

/** What stands at the begin of some bytes. */
export type TrailerSection =
  | { readonly kind: "incomplete" }
  | { readonly kind: "malformed" }
  | {
      readonly kind: "trailers";
      /** Bytes of the section, its empty line included. */
      readonly length: number;
      /** What is passed on of it, the empty line included. */
      readonly text: string;
    };

/**
 * Reads the trailer section of a chunked body (RFC 9112 7.1.2), at most `maxBytes` of it. Fields that must not be merged
 * into a header are left out, see {@link forwardTrailers}. `known`: so many of the bytes were found incomplete before.
 */
export function readTrailers(
  bytes: Buffer,
  maxBytes: number,
  known = 0,
  routing?: ReadonlySet<string>,
): TrailerSection {
  const from = Math.max(0, known - 3);
  const emptyLine = bytes.subarray(0, 2).equals(CRLF) ? 0 : bytes.indexOf("\r\n\r\n", from, "latin1") + 2;
  if (emptyLine === 1) {
    // Who sends a bare LF is done, and would wait for ever.
    const isBroken = bytes.length > maxBytes || hasBareLineFeed(bytes, known);
    return isBroken ? { kind: "malformed" } : { kind: "incomplete" };
  }
  const length = emptyLine + 2;
  if (length > maxBytes) return { kind: "malformed" };
  const section = bytes.toString("latin1", 0, length);
  if (!isWellFormed(section)) return { kind: "malformed" };
  const kept = forwardTrailers(fieldsOf(section, 0), routing);
  return {
    kind: "trailers",
    length,
    text: `${kept.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
  };
}

const CRLF = Buffer.from("\r\n");
const CR = 13;
const LF = 10;

function hasBareLineFeed(bytes: Buffer, from: number): boolean {
  for (let at = bytes.indexOf(LF, from); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] !== CR) return true;
  }
  return false;
}

function isWellFormed(section: string): boolean {
  return section
    .split("\r\n")
    .slice(0, -2)
    .every((line) => {
      const colon = line.indexOf(":");
      return colon > 0 && isOf(line.slice(0, colon), TOKEN) && isOf(line.slice(colon + 1), VALUE);
    });
}

function isOf(text: string, octetClass: number): boolean {
  for (let i = 0; i < text.length; i++) {
    if (((OCTETS[text.charCodeAt(i)] ?? 0) & octetClass) === 0) return false;
  }
  return true;
}
