import type { Milliseconds } from "../system/clock.ts";
import type { DoubtNames } from "./doubts.ts";
import type { Entry } from "./entry.ts";
import type { ResourceVersion } from "./resource-version.ts";
import type { Route } from "./route.ts";
import type { Facts, IpHold } from "./rules.ts";

/**
 * Everything that a table knows of one object, for snapshots and replicas. Holds access tokens: do not log or show it. The
 * parts are immutable, so it stays as it was when the table goes on.
 */
export interface ObjectFacts {
  readonly namespace: string;
  readonly name: string;
  readonly confirmed: Facts["confirmed"];
  /** Since when the informer has seen the object with its pod IP (rule 10). */
  readonly hold: IpHold | undefined;
  /** An update that a peer pushed, settled or not. */
  readonly hint: PushedFactOf<{ readonly route: Route }> | undefined;
  /** A deletion that a peer pushed, settled or not. */
  readonly tombstone: PushedFactOf<{ readonly version: ResourceVersion }> | undefined;
  /** A read has shown the object at this version, ahead of the watermark (rule 12). */
  readonly read: ResourceVersion | undefined;
  /** Peers pushed something that no read has settled: the IDs and IPs in it, also those of pushes that were not kept. */
  readonly doubt: (DoubtNames & { readonly isPartlyKept: boolean }) | undefined;
}

/** A fact from a peer. */
export type PushedFactOf<T> = T & {
  /** Address of the peer. */
  readonly from: string;
  /** It counts; otherwise it waits for a read (rule 12). */
  readonly trusted: boolean;
  /** Not heard from who made the change: another replica passed it on, or a snapshot did. */
  readonly isRelayed: boolean;
};

/** What the informer of a scope had delivered when a snapshot was taken. */
export interface ScopeSnapshot {
  /** The watched namespace, `""` for all. */
  readonly name: string;
  readonly watermark: ResourceVersion;
  /** See `ScopeView.barredUntil`. */
  readonly barredUntil: ResourceVersion | undefined;
}

/** What a table knew at one moment. */
export interface TableSnapshot {
  /** When it was taken, in milliseconds since the epoch. */
  readonly takenAtMs: Milliseconds;
  readonly scopes: readonly ScopeSnapshot[];
  readonly objects: Iterable<ObjectFacts>;
}

/** Everything that is known of an object. `names`: what requests are held for. */
export function factsOf(
  { namespace, name, confirmed, hold, ahead }: Entry,
  names: DoubtNames | undefined,
): ObjectFacts {
  const { hint, tombstone, read, doubt } = ahead ?? {};
  return {
    namespace: namespace.name,
    name,
    confirmed,
    hold,
    hint: hint?.route && { route: hint.route, ...howPushed(hint) },
    tombstone: tombstone && { version: tombstone.version, ...howPushed(tombstone) },
    read: read?.version,
    doubt: doubt && { ...(names ?? { ids: [], ips: doubt.ips }), isPartlyKept: doubt.isPartlyKept },
  };
}

function howPushed({ from, trusted, isRelayed }: PushedFactOf<object>): PushedFactOf<object> {
  return { from, trusted, isRelayed };
}
