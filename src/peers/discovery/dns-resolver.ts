import { lookup, Resolver as DnsResolver } from "node:dns/promises";
import type { Resolver } from "./peer-address.ts";

/** Longest wait for one server, and tries of each. */
const TIMEOUT_MS = 2_000;
const TRIES = 2;

/**
 * The system's names: addresses as the C library finds them (hosts file, search domains), service records from the
 * nameservers of /etc/resolv.conf.
 */
export function systemResolver(): Resolver {
  const dns = new DnsResolver({ timeout: TIMEOUT_MS, tries: TRIES });
  return {
    addresses: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
    services: (name) => dns.resolveSrv(name),
  };
}
