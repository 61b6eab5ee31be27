/** Where a URI or a Host field points. */
export interface Authority {
  /** As sent; an IPv6 address without its brackets. */
  readonly host: string;
  /** 0–65535, or `undefined` when not given. */
  readonly port: number | undefined;
  readonly ipv6: boolean;
}

/** Longer than any DNS name with a port, yet short enough to be cheap. */
const MAX_LENGTH = 512;
const NAME = /^[A-Za-z0-9._-]+$/;
const IPV6 = /^[0-9A-Fa-f:.]+$/;

/**
 * Reads `host[:port]` (RFC 9110 7.2, RFC 3986 3.2.2), or gives `undefined`. Stricter than the grammar on purpose:
 * names hold letters, digits, `-`, `_` and `.`, since what else the grammar allows (percent-encoding, commas) is read
 * differently by different servers, and user information is refused. At most 512 characters.
 */
export function parseAuthority(text: string): Authority | undefined {
  if (text.length === 0 || text.length > MAX_LENGTH) return undefined;
  const ipv6 = text.startsWith("[");
  const close = ipv6 ? text.indexOf("]") : -1;
  if (ipv6 && close === -1) return undefined;
  const afterHost = ipv6 ? close + 1 : indexOrEnd(text, ":");
  const host = ipv6 ? text.slice(1, close) : text.slice(0, afterHost);
  if (!(ipv6 ? IPV6 : NAME).test(host)) return undefined;
  if (afterHost === text.length) return { host, port: undefined, ipv6 };
  if (text[afterHost] !== ":") return undefined;
  const digits = text.slice(afterHost + 1);
  if (digits === "") return { host, port: undefined, ipv6 };
  if (!/^[0-9]{1,5}$/.test(digits) || Number(digits) > 65_535) return undefined;
  return { host, port: Number(digits), ipv6 };
}

/** A TCP port that can be connected to, 1–65535 in canonical digits (no sign, no leading zero), or `undefined`. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

function indexOrEnd(text: string, search: string): number {
  const index = text.indexOf(search);
  return index === -1 ? text.length : index;
}
