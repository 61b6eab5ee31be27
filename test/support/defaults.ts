import { configFrom } from "../../src/config/load.ts";
import { createTargetParser, type TargetOptions, type TargetParser } from "../../src/proxy/target/target.ts";
import { Upstreams, type UpstreamOptions } from "../../src/proxy/upstream/upstreams.ts";
import { tableOptionsOf } from "../../src/router/table-options.ts";
import { RouteTable, type RouteTableOptions } from "../../src/routes/table.ts";
import { reflectorSettings } from "../../src/watch/reflector-settings.ts";

/** What the schema has where nobody says otherwise: the only place with defaults. */
export const DEFAULTS = configFrom();

const connectionsOf = ({
  maxConnections,
  maxConnectionsPerAddress,
}: typeof DEFAULTS.peers | typeof DEFAULTS.admin) => ({
  maxConnections,
  maxConnectionsPerAddress,
});

/** How many connections the peer port and the admin port have. */
export const CONNECTIONS = { peers: connectionsOf(DEFAULTS.peers), admin: connectionsOf(DEFAULTS.admin) };

/** How a reflector works by default. */
export const REFLECTOR_SETTINGS = reflectorSettings(DEFAULTS.watch);

const TABLE_DEFAULTS = tableOptionsOf(DEFAULTS);

/** A table as the router makes it by default, but for `options`, and but for this: it believes pushes at once. */
export function newTable(options: Partial<RouteTableOptions>): RouteTable {
  return new RouteTable({ ...TABLE_DEFAULTS, trust: "serve", ...options });
}

/** Connections to pods as the router has them by default, but for `options`. */
export function newUpstreams(options: Partial<UpstreamOptions> = {}): Upstreams {
  return new Upstreams({ ...DEFAULTS.upstream, ...options });
}

/** A parser of targets as the router has it by default, but for `options`. */
export function newTargetParser(options: Partial<TargetOptions> = {}): TargetParser {
  return createTargetParser({ ...DEFAULTS.target, ...options });
}
