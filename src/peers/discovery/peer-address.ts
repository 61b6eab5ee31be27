import { isIP } from "node:net";
import { canonicalAddress } from "../../system/ip-address.ts";
import type { Endpoint } from "../memberlist/endpoint.ts";

/**
 * Where peers may be, as an operator writes it.
 *
 * | text | what it is |
 * |---|---|
 * | `10.0.0.7`, `10.0.0.7:7946`, `[fd00::7]:7946`, `fd00::7` | one address |
 * | `managers.example.com`, `managers.example.com:7946` | all addresses that the name has (A and AAAA) |
 * | `_memberlist._tcp.managers.example.com` | all targets and ports of the service record (SRV) |
 */
export type PeerAddress =
  | { readonly kind: "endpoint"; readonly endpoint: Endpoint }
  | { readonly kind: "name"; readonly name: string; readonly port: number }
  | { readonly kind: "service"; readonly name: string };

/** What a peer's address must look like, for messages. */
export const PEER_ADDRESS_FORM = "host[:port] or _service._tcp.name";

const NAME = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?$/i;
const SERVICE = /^(?=.{1,253}$)_[a-z0-9-]+\._(tcp|udp)\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?\.?$/i;

/** Reads a {@link PeerAddress}; without a port it gets `defaultPort`. Undefined when it is none. */
export function parsePeerAddress(text: string, defaultPort: number): PeerAddress | undefined {
  if (text.startsWith("_")) return SERVICE.test(text) ? { kind: "service", name: text } : undefined;
  // Alone, an IPv6 address has no port.
  const whole = canonicalAddress(text);
  if (whole !== undefined) return { kind: "endpoint", endpoint: { host: whole, port: defaultPort } };
  const [, bracketed, plain, portText] = /^(?:\[([^\]]*)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = portText === undefined ? defaultPort : Number(portText);
  if (port < 1 || port > 65_535) return undefined;
  const host = canonicalAddress(bracketed ?? plain ?? "");
  if (host !== undefined && host.includes(":") === (bracketed !== undefined))
    return { kind: "endpoint", endpoint: { host, port } };
  // `10.0.0.300` is no name: a mistake must not be looked up for ever.
  if (plain === undefined || !NAME.test(plain) || /^[\d.]+$/.test(plain)) return undefined;
  return { kind: "name", name: plain, port };
}

/** Asks DNS. Both reject when there is no answer; an answer may be empty. */
export interface Resolver {
  /** All IP addresses of a name. */
  addresses(name: string): Promise<readonly string[]>;
  /** All targets of a service record. */
  services(name: string): Promise<readonly { readonly name: string; readonly port: number }[]>;
}

/** Targets of one service record, at most. */
const MAX_SERVICES = 100;

/**
 * The endpoints of an address. Rejects when a name can't be looked up; of a service record, when none of its targets can.
 */
export async function resolvePeerAddress(
  address: PeerAddress,
  resolver: Resolver,
): Promise<readonly Endpoint[]> {
  switch (address.kind) {
    case "endpoint":
      return [address.endpoint];
    case "name":
      return endpointsOf(address, resolver);
    case "service": {
      const targets = (await resolver.services(address.name)).slice(0, MAX_SERVICES);
      const settled = await Promise.allSettled(targets.map((target) => endpointsOf(target, resolver)));
      const found = settled.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
      const failed = settled.find((result) => result.status === "rejected");
      if (found.length === 0 && failed) throw failed.reason;
      return found;
    }
  }
}

async function endpointsOf(
  { name, port }: { readonly name: string; readonly port: number },
  resolver: Resolver,
): Promise<Endpoint[]> {
  const texts = isIP(name) === 0 ? await resolver.addresses(name) : [name];
  return texts.flatMap((text) => {
    const host = canonicalAddress(text);
    return host === undefined ? [] : [{ host, port }];
  });
}
