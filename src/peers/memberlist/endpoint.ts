import { addressOfBytes, parseAsWritten } from "../../system/ip-address.ts";

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
  return addressOfBytes(bytes)?.toString();
}

/**
 * 4 or 16 bytes of an IP address in network order; undefined when `host` is none, or has a zone.
 */
export function bytesOfHost(host: string): Buffer | undefined {
  const address = parseAsWritten(host);
  return address && Buffer.from(address.toByteArray());
}

/** True for an address that a packet to one host can be sent to: not unspecified, multicast or broadcast. */
export function isUnicast(bytes: Uint8Array): boolean {
  const first = bytes[0] ?? 0;
  if (bytes.length === 4) return first !== 0 && first < 224;
  return first !== 0xff && bytes.some((byte) => byte !== 0);
}
