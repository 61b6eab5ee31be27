import type { Config } from "../config/schema.ts";
import type { RouteTableOptions } from "../routes/table.ts";

/** The part of a table's options that the configuration has. */
export function tableOptionsOf(
  config: Config,
): Omit<RouteTableOptions, "distrusts" | "isPodAddress" | "rules"> {
  const { namespace, selector, source, peers, tombstones, routes } = config;
  return {
    scopes: source === "none" ? "none" : namespace.length > 0 ? namespace : [""],
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
