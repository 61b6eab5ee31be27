import type { Milliseconds } from "../system/clock.ts";
import type { Books } from "./books.ts";
import { asRouteInEffect, type Entry } from "./entry.ts";
import type { FactView, Lookup, RouteInEffect } from "./lookup.ts";
import type { ResourceVersion } from "./resource-version.ts";
import type { ObjectKey } from "./route.ts";

/** One object for people to look at. Has no field for a token; do not show `inEffect.route` whole. */
export interface EntryView {
  readonly key: ObjectKey;
  readonly facts: readonly FactView[];
  readonly inEffect: RouteInEffect | undefined;
  /** Another living object claims the same ID. */
  readonly idConflict: boolean;
  /** Peers pushed something that no read has settled yet (rule 12); `overdue` when requests are held no longer for it. */
  readonly doubt: "held" | "overdue" | undefined;
}

/** What a scope's informer has delivered. */
export interface ScopeStats {
  readonly name: string;
  readonly watermark: ResourceVersion;
  readonly synced: boolean;
  /** The API server does not know the CRD. */
  readonly missing: boolean;
  readonly live: boolean;
  /** Pushes are refused until the watermark has passed this version (a restore from a backup, rule 5). */
  readonly barredUntil: ResourceVersion | undefined;
  /** Not synced, and served from a snapshot that was taken then, in milliseconds since the epoch. */
  readonly snapshotAtMs: Milliseconds | undefined;
}

/** Sizes, for gauges. `states` counts the routes in effect by their state at this moment. */
export interface TableStats {
  readonly states: ReadonlyMap<string, number>;
  readonly entries: number;
  /** Routes with a living incarnation. */
  readonly servable: number;
  readonly hints: number;
  readonly tombstones: number;
  /** Objects that a read has shown ahead of the watermark. */
  readonly reads: number;
  /** Sandboxes for which requests are held until a read settles what peers pushed. */
  readonly doubtful: number;
  readonly idConflicts: number;
  readonly ipConflicts: number;
  readonly scopes: readonly ScopeStats[];
}

/** What is to be seen of an entry. `ids` tells whether its ID is disputed. */
export function viewOf(entry: Entry, ids: { lookup(id: string): Lookup }): EntryView {
  const { confirmed, hint, tombstone, readVersion, doubt, inEffect } = entry;
  const facts: FactView[] = [];
  if (confirmed) {
    const { resourceVersion, route } = confirmed;
    facts.push({ kind: "confirmed", resourceVersion, state: route?.state ?? "ending" });
  }
  if (hint) facts.push({ kind: "hint", resourceVersion: hint.resourceVersion, state: hint.state });
  if (tombstone) facts.push({ kind: "tombstone", resourceVersion: tombstone, state: "dead" });
  if (readVersion) {
    const state = confirmed?.route?.state ?? (confirmed ? "ending" : "gone");
    facts.push({ kind: "read", resourceVersion: readVersion, state });
  }
  const byId = inEffect && ids.lookup(inEffect.id);
  return {
    key: entry.key,
    facts,
    inEffect: inEffect && asRouteInEffect(entry),
    idConflict: byId?.kind === "id_conflict" && byId.keys.includes(entry.key),
    doubt: doubt && (doubt.overdue ? "overdue" : "held"),
  };
}

/** The sizes of all that is known. */
export function statsOf({ ahead, effects, entries, scopes }: Books): TableStats {
  return {
    states: effects.states,
    entries: entries.size,
    servable: effects.incarnations,
    hints: ahead.counts.hint,
    tombstones: ahead.counts.tombstone,
    reads: ahead.counts.read,
    doubtful: ahead.doubts.size,
    idConflicts: effects.idConflicts,
    ipConflicts: effects.ipConflicts,
    scopes: Array.from(
      scopes.values(),
      ({ name, watermark, synced, missing, live, barredUntil, snapshotAtMs }) => {
        return { name, watermark, synced, missing, live, barredUntil, snapshotAtMs };
      },
    ),
  };
}
