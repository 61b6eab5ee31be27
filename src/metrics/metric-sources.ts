import type { Milliseconds } from "../system/clock.ts";

/** What the table says of itself for gauges. */
export interface TableGauges {
  /** Routes in effect by state; unknown states are added up as `other`. */
  readonly states: ReadonlyMap<string, number>;
  readonly hints: number;
  readonly reads: number;
  readonly doubtful: number;
  readonly tombstones: number;
  readonly idConflicts: number;
  readonly ipConflicts: number;
}

/** What one reflector says of itself for gauges. */
export interface WatchGauges {
  /** The watched namespace, `""` for all; that of another CRD begins with its group and a colon. */
  readonly scope: string;
  /** The watch is open and answered. */
  readonly connected: boolean;
  /** When the API server was last heard, since the epoch; undefined before the first list. */
  readonly lastHeardAtMs: Milliseconds | undefined;
  /** When the last event of an object was delivered, since the epoch. */
  readonly lastEventAtMs: Milliseconds | undefined;
}

/** What the supervisor of workers says of them for gauges. */
export interface WorkerGauges {
  readonly wanted: number;
  readonly ready: number;
  /** One per worker. */
  readonly lags: readonly { readonly worker: number; readonly lagMs: Milliseconds }[];
}

/** What a memberlist says of itself for gauges. */
export interface MemberGauges {
  /** The status of each other member. */
  readonly statuses: readonly string[];
  readonly healthScore: number;
}

/**
 * Where gauges are read when `/metrics` is. Each is called at most a few times per scrape, must be quick and must not
 * throw. One that is absent leaves its gauges at 0, or without series where they have labels.
 */
export interface MetricSources {
  readonly requestsInFlight?: () => number;
  readonly upgradesOpen?: () => number;
  readonly clientConnectionsOpen?: () => number;
  readonly clientConnectionsLimit?: () => number;
  /** Certificates of the TLS listener; absent without one. */
  readonly tlsCertificates?: () => readonly { readonly file: string; readonly validToMs: Milliseconds }[];
  /** Requests that wait for a doubt to end. */
  readonly requestsHeld?: () => number;
  readonly wakeRequestsHeld?: () => number;
  readonly upstreamPools?: () => number;
  /** Requests that wait for a connection to their pod. */
  readonly upstreamWaiting?: () => number;
  readonly table?: () => TableGauges;
  /** Objects that stood different at other replicas in the last comparison. */
  readonly antiEntropyDrift?: () => number;
  /** When the last snapshot was saved, since the epoch. */
  readonly snapshotSavedAtMs?: () => Milliseconds | undefined;
  /** When the snapshot was taken that is served, since the epoch; undefined when none is. */
  readonly snapshotServedAtMs?: () => Milliseconds | undefined;
  /** The most hints and tombstones that the table keeps. */
  readonly tableLimits?: () => { readonly hints: number; readonly tombstones: number };
  /** One per watched scope; empty without an informer. */
  readonly watch?: () => readonly WatchGauges[];
  /** Undefined when the memberlist is off: then there are none. */
  readonly members?: () => MemberGauges | undefined;
  readonly ready?: () => boolean;
  /** Absent when one process does everything. */
  readonly workers?: () => WorkerGauges;
}
