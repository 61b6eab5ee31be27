import { isIPv6 } from "node:net";

/** Where a URI or a Host field points. */
export interface Authority {
  /** As sent; an IPv6 address without its brackets. */
  readonly host: string;
  /** 0–65535, or `undefined` when not given. */
  readonly port: number | undefined;
}

/** Longer than any DNS name with a port, yet short enough to be cheap. */
const MAX_LENGTH = 512;
const NAME = /^[A-Za-z0-9._-]+$/;

/**
 * Reads `host[:port]` (RFC 9110 7.2, RFC 3986 3.2.2), or gives `undefined`. Stricter than the grammar on purpose:
 * names hold letters, digits, `-`, `_` and `.`, since what else the grammar allows (percent-encoding, commas) is read
 * differently by different servers, and user information is refused. At most 512 characters.
 */
export function parseAuthority(text: string): Authority | undefined {
  if (text.length === 0 || text.length > MAX_LENGTH) return undefined;
  const bracketed = text.startsWith("[");
  const afterHost = bracketed ? text.indexOf("]") + 1 : indexOrEnd(text, ":");
  const host = bracketed ? text.slice(1, afterHost - 1) : text.slice(0, afterHost);
  if (bracketed ? afterHost === 0 || !isAddress(host) : !NAME.test(host)) return undefined;
  if (afterHost === text.length) return { host, port: undefined };
  if (text[afterHost] !== ":") return undefined;
  const digits = text.slice(afterHost + 1);
  if (digits === "") return { host, port: undefined };
  if (!/^[0-9]{1,5}$/.test(digits) || Number(digits) > 65_535) return undefined;
  return { host, port: Number(digits) };
}

/** A TCP port that can be connected to, 1–65535 in canonical digits (no sign, no leading zero), or `undefined`. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

/** IPv6 without a zone: that means something on one machine only. */
function isAddress(host: string): boolean {
  return isIPv6(host) && !host.includes("%");
}

function indexOrEnd(text: string, search: string): number {
  const index = text.indexOf(search);
  return index === -1 ? text.length : index;
}
