import { canonicalAddress, addressOfBytes } from "../../system/ip-address.ts";

/*
 * The PROXY protocol, versions 1 and 2, as its specification (HAProxy, doc/proxy-protocol.txt) has it: what a load balancer
 * sends before the client's own bytes, so that the router learns who the client is.
 */

/** What the begin of a connection says. */
export type ProxyHeader =
  /** More bytes are needed. */
  | { readonly kind: "incomplete" }
  /** It is no header, or a wrong one. `why` goes on from "the PROXY protocol header". */
  | { readonly kind: "malformed"; readonly why: string }
  /** The header is `length` bytes long. Without an address the client is the load balancer itself (`LOCAL`, `UNKNOWN`). */
  | { readonly kind: "header"; readonly length: number; readonly clientAddress: string | undefined };

/** `\r\n\r\n\0\r\nQUIT\n` (2.2). */
const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const PREFIX = Buffer.from("PROXY ", "latin1");
/** The longest line of version 1 with its CRLF (2.1). */
const MAX_LINE_BYTES = 107;
/** Of version 2 up to its addresses. */
const FIXED_BYTES = 16;
/**
 * Longest rest of a header of version 2. The format allows 65,535; what load balancers add to the addresses (names, ids, TLS
 * versions) is a few hundred bytes.
 */
const MAX_REST_BYTES = 4_096;

const LOCAL = 0x0;
const PROXY = 0x1;
/** Families with their transports (2.2), and how long their addresses are. */
const ADDRESS_BYTES: ReadonlyMap<number, { readonly each: number; readonly total: number }> = new Map([
  [0x11, { each: 4, total: 12 }],
  [0x21, { each: 16, total: 36 }],
]);
const UNSPECIFIED = 0x00;
const UNIX_STREAM = 0x31;
const UNIX_ADDRESS_BYTES = 216;

/** Reads the header at the begin of `bytes`. Strict: what the specification does not allow is malformed. Pure. */
export function readProxyHeader(bytes: Uint8Array): ProxyHeader {
  const first = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (beginsLike(first, SIGNATURE)) return first.length < FIXED_BYTES ? INCOMPLETE : readBinary(first);
  if (beginsLike(first, PREFIX)) return readLine(first);
  return malformed("is missing");
}

const INCOMPLETE: ProxyHeader = { kind: "incomplete" };

function malformed(why: string): ProxyHeader {
  return { kind: "malformed", why };
}

/** As far as both go. */
function beginsLike(bytes: Buffer, begin: Buffer): boolean {
  const length = Math.min(bytes.length, begin.length);
  return bytes.subarray(0, length).equals(begin.subarray(0, length));
}

/** Version 1: `PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n`. */
function readLine(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, MAX_LINE_BYTES).indexOf("\r\n", 0, "latin1");
  if (end === -1) return bytes.length < MAX_LINE_BYTES ? INCOMPLETE : malformed("has no end");
  const length = end + 2;
  const line = bytes.toString("latin1", 0, end);
  // Whatever follows is to be ignored (2.1).
  if (line === "PROXY UNKNOWN" || line.startsWith("PROXY UNKNOWN "))
    return { kind: "header", length, clientAddress: undefined };
  const [, family, source = "", destination = "", sourcePort = "", destinationPort = "", ...more] =
    line.split(" ");
  if ((family !== "TCP4" && family !== "TCP6") || more.length > 0) return malformed("is not well formed");
  const isFamily = (address: string): boolean =>
    canonicalAddress(address) !== undefined && address.includes(":") === (family === "TCP6");
  if (!isFamily(source) || !isFamily(destination)) return malformed("holds an invalid address");
  if (!isPort(sourcePort) || !isPort(destinationPort)) return malformed("holds an invalid port");
  return { kind: "header", length, clientAddress: canonicalAddress(source) };
}

function isPort(text: string): boolean {
  return /^(0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535;
}

/** Version 2, of which the fixed part is there. */
function readBinary(bytes: Buffer): ProxyHeader {
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const rest = bytes.readUInt16BE(14);
  if (command >> 4 !== 2) return malformed("has an unknown version");
  if ((command & 0xf) !== LOCAL && (command & 0xf) !== PROXY) return malformed("has an unknown command");
  if (rest > MAX_REST_BYTES) return malformed(`is longer than ${FIXED_BYTES + MAX_REST_BYTES} bytes`);
  const length = FIXED_BYTES + rest;
  if (bytes.length < length) return INCOMPLETE;
  // A receiver must ignore the addresses of LOCAL (2.2): a health check of the load balancer's own.
  if ((command & 0xf) === LOCAL || family === UNSPECIFIED)
    return { kind: "header", length, clientAddress: undefined };
  if (family === UNIX_STREAM) {
    if (rest < UNIX_ADDRESS_BYTES) return malformed("is too short for its addresses");
    return { kind: "header", length, clientAddress: undefined };
  }
  const addresses = ADDRESS_BYTES.get(family);
  if (addresses === undefined) return malformed("is not of a TCP connection");
  if (rest < addresses.total) return malformed("is too short for its addresses");
  const source = addressOfBytes(bytes.subarray(FIXED_BYTES, FIXED_BYTES + addresses.each));
  return { kind: "header", length, clientAddress: source?.toString() };
}
