import { isIPv4, isIPv6, SocketAddress } from "node:net";

/** An IP address in its canonical text form and a port from 1 to 65535. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, IPv6 in brackets: for maps and logs. */
export function endpointText({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * The text of 4 or 16 bytes in network order; undefined for any other number. An IPv4 address mapped into IPv6 comes out
 * as IPv4, as in Go.
 */
export function hostOfBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const groups = Array.from({ length: 8 }, (_, i) => view.readUInt16BE(i * 2));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return view.subarray(12).join(".");
  return canonicalIpv6(groups.map((group) => group.toString(16)).join(":"));
}

/**
 * 4 or 16 bytes of an IP address in network order; undefined when `host` is none, or has a zone.
 */
export function bytesOfHost(host: string): Buffer | undefined {
  if (isIPv4(host)) return Buffer.from(host.split(".").map(Number));
  if (!isIPv6(host) || host.includes("%")) return undefined;
  const [head = "", tail] = canonicalIpv6(host).split("::");
  const front = groupsOf(head);
  const back = groupsOf(tail ?? "");
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => 0);
  const bytes = Buffer.alloc(16);
  [...front, ...zeros, ...back].forEach((group, i) => bytes.writeUInt16BE(group, i * 2));
  return bytes;
}

/** The canonical form of an IP address as the system or a user writes it; undefined when it is none. */
export function canonicalHost(host: string): string | undefined {
  const bytes = bytesOfHost(host);
  return bytes && hostOfBytes(bytes);
}

/** True for an address that a packet to one host can be sent to: not unspecified, multicast or broadcast. */
export function isUnicast(bytes: Uint8Array): boolean {
  const first = bytes[0] ?? 0;
  if (bytes.length === 4) return first !== 0 && first < 224;
  return first !== 0xff && bytes.some((byte) => byte !== 0);
}

function canonicalIpv6(text: string): string {
  return new SocketAddress({ address: text, family: "ipv6" }).address;
}

/** Groups of one side of `::`; the last may be written as IPv4. */
function groupsOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}
