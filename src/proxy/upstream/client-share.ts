import { isIP } from "node:net";

import { canonicalAddress } from "../../system/ip-address.ts";
import { allValues } from "../http1/request-head.ts";
import type { RequestHead } from "../http1/request-head.ts";

/**
 * Whose share of a sandbox a client at `address` uses: its own; of an IPv6 address its /64, which one host has whole (RFC
 * 4291 2.5.4, RFC 8981).
 */
export function shareOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [before = "", after = ""] = address.split("%", 1)[0]?.split("::") ?? [];
  const head = before === "" ? [] : before.split(":");
  const tail = after === "" ? [] : after.split(":");
  const zeros = Array<string>(8 - head.length - tail.length).fill("0");
  return `${[...head, ...zeros, ...tail].slice(0, 4).join(":")}::/64`;
}

/**
 * The same where every client is a proxy that tells the truth (`client.trustForwarded`): the last address in
 * X-Forwarded-For, which is the one that this proxy saw itself. Those before it are what its client claimed. Where it is
 * missing or no address, the proxy's own.
 */
export function forwardedShareOf(head: RequestHead, address: string): string {
  return shareOf(forwardedAddressOf(head, address));
}

/** The address of a request's client: where fronts are trusted, the one that {@link forwardedShareOf} goes by. */
export function clientAddressOf(
  { head, clientAddress }: { readonly head: RequestHead; readonly clientAddress: string },
  trustForwarded: boolean,
): string {
  return trustForwarded ? forwardedAddressOf(head, clientAddress) : clientAddress;
}

function forwardedAddressOf(head: RequestHead, address: string): string {
  const last = allValues(head.rawHeaders, "x-forwarded-for").at(-1)?.split(",").at(-1)?.trim() ?? "";
  // Some load balancers add the port.
  const text = last.replace(/^\[([^\]]*)\](?::\d+)?$/, "$1").replace(/^([\d.]+):\d+$/, "$1");
  // Only an IPv4 address within an IPv6 one needs another spelling here: to parse each would cost every request.
  const ip = text.includes(":") && text.includes(".") ? (canonicalAddress(text) ?? "") : text;
  return isIP(ip) === 0 ? address : ip;
}

/** Whose share a request uses. */
export function shareOfRequest(
  { head, clientAddress }: { readonly head: RequestHead; readonly clientAddress: string },
  trustForwarded: boolean,
): string {
  return trustForwarded ? forwardedShareOf(head, clientAddress) : shareOf(clientAddress);
}

/** How much of a limit one client may have: at least one, so that a limit of one is one client's at a time. `Infinity` when a share is all. */
export function shareOfLimit(limit: number, percent: number): number {
  return percent >= 100 ? Infinity : Math.max(1, Math.ceil((limit * percent) / 100));
}
