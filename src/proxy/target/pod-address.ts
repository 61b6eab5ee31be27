import { isIPv6 } from "node:net";

import type { Milliseconds } from "../../system/clock.ts";

/** Where a pod listens. */
export interface PodAddress {
  /** IPv4, or IPv6 without brackets. Never a name: nothing is resolved. */
  readonly ip: string;
  readonly port: number;
}

/** `ip:port`, IPv6 in brackets. */
export function authorityOf({ ip, port }: PodAddress): string {
  return `${isIPv6(ip) ? `[${ip}]` : ip}:${port}`;
}

/** What is told of the connection that a request went out on. */
export interface UsedConnection {
  /** By {@link authorityOf}. */
  readonly authority: string;
  /** It has carried a request before. */
  readonly used: boolean;
  /** How long connecting took. */
  readonly connectMs: Milliseconds;
}
