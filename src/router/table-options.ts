import type { Config } from "../config/schema.ts";
import { type Provider, tableNamespace } from "../routes/provider.ts";
import type { RouteTableOptions } from "../routes/table.ts";
import { providersOf } from "./providers.ts";

/** The part of a table's options that the configuration has. */
export function tableOptionsOf(
  config: Config,
): Omit<RouteTableOptions, "distrusts" | "isPodAddress" | "rules"> {
  const { selector, source, peers, tombstones, routes } = config;
  return {
    scopes:
      source === "none" ? "none" : providersOf(config).flatMap(({ provider }) => scopesOf(provider, config)),
    hintTtlMs: peers.hintTtlMs,
    maxHints: peers.maxHints,
    tombstoneTtlMs: tombstones.ttlMs,
    maxTombstones: tombstones.max,
    onePodPerIp: routes.onePodPerIp,
    trust: peers.trust,
    selective: selector !== "",
    settleMs: peers.settleMs,
    unsettled: peers.unsettled,
    maxAheadHours: peers.maxAheadHours,
  };
}

function scopesOf(provider: Provider, { namespace }: Config): string[] {
  return (namespace.length > 0 ? namespace : [""]).map((name) => tableNamespace(provider, name));
}
