import type { ReadinessAnswer } from "../peers/readiness.ts";
import type { Milliseconds } from "../system/clock.ts";
import type { ReflectorStatus } from "../watch/reflector-status.ts";

/** The part of `watch` in the configuration that decides. */
export interface StalenessPolicy {
  readonly staleAfterMs: Milliseconds;
  readonly readyWhenStale: boolean;
}

/**
 * What `/readyz` says of the watch: ready while each scope was heard within `staleAfterMs`. Beyond it the table is stale:
 * it is served on, and the router stays ready unless the policy says otherwise, since another router would know no more.
 * Before the first list there is nothing to be stale; that is the check `synced`.
 */
export function watchReadiness(
  scopes: readonly Pick<ReflectorStatus, "scope" | "ageMs">[],
  { staleAfterMs, readyWhenStale }: StalenessPolicy,
): ReadinessAnswer {
  let oldest: { readonly scope: string; readonly ageMs: Milliseconds } | undefined;
  for (const { scope, ageMs } of scopes) {
    if (ageMs !== undefined && ageMs > (oldest?.ageMs ?? staleAfterMs)) oldest = { scope, ageMs };
  }
  if (oldest === undefined) return true;
  const where = oldest.scope === "" ? "" : ` for namespace ${oldest.scope}`;
  const text = `stale: the API server was last heard ${Math.round(oldest.ageMs / 1_000)} s ago${where}`;
  return readyWhenStale ? { remark: text } : text;
}

/** A CRD that is not installed keeps a router unready only if there is no other. */
export function syncReadiness(synced: boolean, missing: string | undefined): ReadinessAnswer {
  if (!synced) return missing ?? "the first list of sandboxes is not in";
  return missing === undefined ? true : { remark: missing };
}
