import { formatAddress, parseAddress } from "../cidr.ts";

/**
 * What a backend may be given.
 *
 * - `eligible`: ready and not told to end. Only these make an address announced.
 * - `terminating`: told to end, whatever its readiness says: a pod is often Ready for seconds after SIGTERM.
 * - `not_ready`: the rest.
 */
export type BackendState = "eligible" | "terminating" | "not_ready";

/** Something on this node that binds anycast addresses: a pod, or an entry of the file. */
export interface Backend {
  /** Unique among all sources, and new for each life: `pod edge/one (uid)`, `file edge-1`. */
  readonly key: string;
  /** The anycast addresses that it binds, in canonical text. Those that are not committed are passed over. */
  readonly addresses: readonly string[];
  /** Its own addresses, in canonical text: packets for an anycast address are sent to the one of the same family. */
  readonly nexthops: readonly string[];
  readonly state: BackendState;
}

/** The state that readiness and end make. */
export function backendState(ready: boolean, terminating: boolean): BackendState {
  if (terminating) return "terminating";
  return ready ? "eligible" : "not_ready";
}

/** An address in the one text that all parts compare by (RFC 5952), or `undefined` when `text` is no address. */
export function canonicalAddress(text: string): string | undefined {
  const address = parseAddress(text);
  return address && formatAddress(address);
}

/** `true` for IPv6 text in canonical form. */
export function isV6(address: string): boolean {
  return address.includes(":");
}

/** The nexthop of `backend` that packets for `address` can take: of the same family. */
export function nexthopFor(backend: Backend, address: string): string | undefined {
  return backend.nexthops.find((nexthop) => isV6(nexthop) === isV6(address));
}
